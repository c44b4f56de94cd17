"""From a named operation on pixels to a function of (keys, images): what it draws, and whether it happens.

The kernels are in the modules beside this one, where the definition of each is stated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jtransfer.augment import colour, erase, filters, grid_mask, matrices, ranges, tables, tone
from jtransfer.augment.layers import layers_geometry
from jtransfer.augment.policies import (
    augmix,
    auto_augment,
    rand_augment,
    simple_augment,
    three_augment,
    trivial_augment,
)
from jtransfer.config.operations import Operation

Images = Float[Array, 'batch height width channel']
PixelOperation = Callable[[Key[Array, ' batch'], Images], Images]


def make_pixel_operation(operation: Operation, mean: tuple[float, ...], std: tuple[float, ...]) -> PixelOperation:
    """The function that an operation on pixels names.

    Args:
        operation: one that works on pixels.
        mean: of the channels, in [0, 255]: what erasing and masks leave, which is nothing once it is normalised.
        std: of the channels, in units of [0, 255]: of the noise that erasing leaves.

    Returns:
        A pure function of keys, one per image, and float32 images in [0, 255], to such images of the same shape.
    """
    values = dict(operation.values)
    if operation.name == 'random_erasing':
        return lambda keys, images: erase.random_erasing(keys, images, mean=mean, std=std, **values)
    if operation.name == 'grid_mask':
        return lambda keys, images: grid_mask.grid_mask(keys, images, value=mean, **values)
    probability = values.pop('probability')
    apply = _function(operation.name, values, mean)

    def function(keys: Key[Array, ' batch'], images: Images) -> Images:
        chosen = ranges.happens(keys, probability)
        return ranges.where(chosen, apply(keys, images), images)

    return function


def make_moves(operation: Operation) -> Callable[[Key[Array, ' batch'], tuple[int, int]], Array] | None:
    """Where an operation on pixels moves things, as policies do.

    Args:
        operation: as for `make_pixel_operation`.

    Returns:
        A function of the same keys, and of height and width of the images, to maps from output to input pixels
        [batch, 3, 3]. None for an operation that moves nothing, and for `augmix`, which lays several pictures over each
        other.
    """
    values = dict(operation.values)
    probability = values.pop('probability')
    name = operation.name

    def moves(keys: Array, shape: tuple[int, int]) -> Array:
        if name == 'simple_augment':
            flipped = simple_augment.draw_flips(keys)
            drawn = matrices.flips(flipped, jnp.zeros_like(flipped), shape)
        else:
            settings = {key: value for key, value in values.items() if key not in ('interpolation', 'fill')}
            module = _LAYERED[name]
            used = module.used(values['policy']) if name == 'auto_augment' else module.USED
            drawn = layers_geometry(module.draw(keys, shape, **settings), used, shape)
        return ranges.where(ranges.happens(keys, probability), drawn, matrices.identity(len(keys)))

    return moves if name == 'simple_augment' or name in _LAYERED else None


def _function(name: str, values: Mapping[str, Any], mean: tuple[float, ...]) -> PixelOperation:
    """What the operation does where it happens."""
    if name in _DRAWN:
        kernel = _DRAWN[name]
        return lambda keys, images: kernel(images, *ranges.draw(keys, *values.values()))
    if name in _FIXED:
        kernel = _FIXED[name]
        return lambda keys, images: kernel(images)
    if name in _POLICIES:
        policy = _POLICIES[name]
        return lambda keys, images: policy(keys, images, **values).astype(jnp.float32)
    return {
        'color_jitter': lambda keys, images: colour.jitter(keys, images, **values),
        'cutout': lambda keys, images: erase.cutout(keys, images, values['size'], mean),
        'gaussian_blur': lambda keys, images: _blur(keys, images, values['sigma']),
        'gaussian_noise': lambda keys, images: _noise(keys, images, values['std']),
        'lighting': lambda keys, images: _lighting(keys, images, values['std']),
        'posterize': lambda keys, images: _posterize(keys, images, values['bits']),
        'solarize_add': lambda keys, images: _solarize_add(keys, images, values['amount'], values['threshold']),
    }[name]


def _blur(keys: Array, images: Array, sigma: tuple[float, float]) -> Array:
    (sigmas,) = ranges.draw(keys, sigma)
    return filters.gaussian_blur(images, sigmas, filters.blur_kernel_size(sigma[1]))


def _noise(keys: Array, images: Array, std: tuple[float, float]) -> Array:
    strength, noise = jnp.moveaxis(jax.vmap(lambda key: jax.random.split(key, 2))(keys), 1, 0)
    return tone.gaussian_noise(noise, images, *ranges.draw(strength, std))


def _lighting(keys: Array, images: Array, std: float) -> Array:
    return tone.lighting(images, std * jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys))


def _posterize(keys: Array, images: Array, bits: tuple[int, int]) -> Array:
    (drawn,) = ranges.draw(keys, (float(bits[0]), float(bits[1] + 1)))
    whole = jnp.minimum(jnp.floor(drawn), bits[1]).astype(jnp.int32)
    return tables.apply_tables(images, tables.posterize(whole))


def _solarize_add(keys: Array, images: Array, amount: tuple[float, float], threshold: int) -> Array:
    (amounts,) = ranges.draw(keys, amount)
    return tables.apply_tables(images, tables.solarize_add(amounts, threshold))


def _solarize(images: Array, thresholds: Array) -> Array:
    return tables.apply_tables(images, tables.solarize(thresholds))


# Policies of which each image's geometry is one map.
_LAYERED: Mapping[str, Any] = {
    'rand_augment': rand_augment,
    'trivial_augment_wide': trivial_augment,
    'auto_augment': auto_augment,
}

# Kernels that take images and one drawn number a parameter.
_DRAWN: Mapping[str, Callable[..., Array]] = {
    'brightness': colour.adjust_brightness,
    'contrast': colour.adjust_contrast,
    'saturation': colour.adjust_saturation,
    'hue': colour.adjust_hue,
    'gamma': tone.adjust_gamma,
    'sharpness': filters.sharpness,
    'solarize': _solarize,
}

# Kernels that take the images alone.
_FIXED: Mapping[str, Callable[[Array], Array]] = {
    'grayscale': tone.grayscale,
    'equalize': lambda images: tables.apply_tables(images, tables.equalize(images)),
    'autocontrast': lambda images: tables.apply_tables(images, tables.autocontrast(images)),
    'invert': lambda images: 255 - images,
}

_POLICIES: Mapping[str, Callable[..., Array]] = {
    'rand_augment': rand_augment.apply,
    'trivial_augment_wide': trivial_augment.apply,
    'auto_augment': auto_augment.apply,
    'augmix': augmix.apply,
    'three_augment': three_augment.apply,
    'simple_augment': simple_augment.apply,
}
