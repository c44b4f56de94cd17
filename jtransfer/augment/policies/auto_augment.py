"""AutoAugment: one of 25 learned pairs of operations per image.

Cubuk et al. (2019), "AutoAugment: Learning augmentation strategies from data": the policies found for ImageNet,
CIFAR-10 and SVHN, with the magnitudes, signs and probabilities of torchvision's `AutoAugment`. torchvision
interpolates by the nearest pixel and fills with black unless told otherwise; here the defaults are bilinear and grey.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from jtransfer.augment.layers import GREY, Fill, Layer, apply_layers, skip
from jtransfer.augment.policies import binned
from jtransfer.errors import UserError

BINS = 10
# Every pair: (operation, probability, bin), twice. The bin is 0 where an operation has no magnitude.
Step = tuple[str, float, int]
POLICIES: dict[str, tuple[tuple[Step, Step], ...]] = {
    'imagenet': (
        (('posterize', 0.4, 8), ('rotate', 0.6, 9)),
        (('solarize', 0.6, 5), ('autocontrast', 0.6, 0)),
        (('equalize', 0.8, 0), ('equalize', 0.6, 0)),
        (('posterize', 0.6, 7), ('posterize', 0.6, 6)),
        (('equalize', 0.4, 0), ('solarize', 0.2, 4)),
        (('equalize', 0.4, 0), ('rotate', 0.8, 8)),
        (('solarize', 0.6, 3), ('equalize', 0.6, 0)),
        (('posterize', 0.8, 5), ('equalize', 1.0, 0)),
        (('rotate', 0.2, 3), ('solarize', 0.6, 8)),
        (('equalize', 0.6, 0), ('posterize', 0.4, 6)),
        (('rotate', 0.8, 8), ('color', 0.4, 0)),
        (('rotate', 0.4, 9), ('equalize', 0.6, 0)),
        (('equalize', 0.0, 0), ('equalize', 0.8, 0)),
        (('invert', 0.6, 0), ('equalize', 1.0, 0)),
        (('color', 0.6, 4), ('contrast', 1.0, 8)),
        (('rotate', 0.8, 8), ('color', 1.0, 2)),
        (('color', 0.8, 8), ('solarize', 0.8, 7)),
        (('sharpness', 0.4, 7), ('invert', 0.6, 0)),
        (('shear_x', 0.6, 5), ('equalize', 1.0, 0)),
        (('color', 0.4, 0), ('equalize', 0.6, 0)),
        (('equalize', 0.4, 0), ('solarize', 0.2, 4)),
        (('solarize', 0.6, 5), ('autocontrast', 0.6, 0)),
        (('invert', 0.6, 0), ('equalize', 1.0, 0)),
        (('color', 0.6, 4), ('contrast', 1.0, 8)),
        (('equalize', 0.8, 0), ('equalize', 0.6, 0)),
    ),
    'cifar10': (
        (('invert', 0.1, 0), ('contrast', 0.2, 6)),
        (('rotate', 0.7, 2), ('translate_x', 0.3, 9)),
        (('sharpness', 0.8, 1), ('sharpness', 0.9, 3)),
        (('shear_y', 0.5, 8), ('translate_y', 0.7, 9)),
        (('autocontrast', 0.5, 0), ('equalize', 0.9, 0)),
        (('shear_y', 0.2, 7), ('posterize', 0.3, 7)),
        (('color', 0.4, 3), ('brightness', 0.6, 7)),
        (('sharpness', 0.3, 9), ('brightness', 0.7, 9)),
        (('equalize', 0.6, 0), ('equalize', 0.5, 0)),
        (('contrast', 0.6, 7), ('sharpness', 0.6, 5)),
        (('color', 0.7, 7), ('translate_x', 0.5, 8)),
        (('equalize', 0.3, 0), ('autocontrast', 0.4, 0)),
        (('translate_y', 0.4, 3), ('sharpness', 0.2, 6)),
        (('brightness', 0.9, 6), ('color', 0.2, 8)),
        (('solarize', 0.5, 2), ('invert', 0.0, 0)),
        (('equalize', 0.2, 0), ('autocontrast', 0.6, 0)),
        (('equalize', 0.2, 0), ('equalize', 0.6, 0)),
        (('color', 0.9, 9), ('equalize', 0.6, 0)),
        (('autocontrast', 0.8, 0), ('solarize', 0.2, 8)),
        (('brightness', 0.1, 3), ('color', 0.7, 0)),
        (('solarize', 0.4, 5), ('autocontrast', 0.9, 0)),
        (('translate_y', 0.9, 9), ('translate_y', 0.7, 9)),
        (('autocontrast', 0.9, 0), ('solarize', 0.8, 3)),
        (('equalize', 0.8, 0), ('invert', 0.1, 0)),
        (('translate_y', 0.7, 9), ('autocontrast', 0.9, 0)),
    ),
    'svhn': (
        (('shear_x', 0.9, 4), ('invert', 0.2, 0)),
        (('shear_y', 0.9, 8), ('invert', 0.7, 0)),
        (('equalize', 0.6, 0), ('solarize', 0.6, 6)),
        (('invert', 0.9, 0), ('equalize', 0.6, 0)),
        (('equalize', 0.6, 0), ('rotate', 0.9, 3)),
        (('shear_x', 0.9, 4), ('autocontrast', 0.8, 0)),
        (('shear_y', 0.9, 8), ('invert', 0.4, 0)),
        (('shear_y', 0.9, 5), ('solarize', 0.2, 6)),
        (('invert', 0.9, 0), ('autocontrast', 0.8, 0)),
        (('equalize', 0.6, 0), ('rotate', 0.9, 3)),
        (('shear_x', 0.9, 4), ('solarize', 0.3, 3)),
        (('shear_y', 0.8, 8), ('invert', 0.7, 0)),
        (('equalize', 0.9, 0), ('translate_y', 0.6, 6)),
        (('invert', 0.9, 0), ('equalize', 0.6, 0)),
        (('contrast', 0.3, 3), ('rotate', 0.8, 4)),
        (('invert', 0.8, 0), ('translate_y', 0.0, 2)),
        (('shear_y', 0.7, 6), ('solarize', 0.4, 8)),
        (('invert', 0.6, 0), ('rotate', 0.8, 4)),
        (('shear_y', 0.3, 7), ('translate_x', 0.9, 3)),
        (('shear_x', 0.1, 6), ('invert', 0.6, 0)),
        (('solarize', 0.7, 2), ('translate_y', 0.6, 7)),
        (('shear_y', 0.8, 4), ('invert', 0.8, 0)),
        (('shear_x', 0.7, 9), ('translate_y', 0.8, 3)),
        (('shear_y', 0.8, 5), ('autocontrast', 0.7, 0)),
        (('shear_x', 0.7, 2), ('invert', 0.1, 0)),
    ),
}


def apply(
    keys: Key[Array, ' batch'],
    images: UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3'],
    *,
    policy: str = 'imagenet',
    interpolation: str = 'bilinear',
    fill: Fill = GREY,
) -> UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3']:
    """Augments every image by its own draw (`draw`).

    Args:
        keys: one per image.
        images: RGB in [0, 255]; floats are rounded to 8 bits first.
        policy: `imagenet`, `cifar10` or `svhn`.
        interpolation: of the geometry, as `warp.warp`.
        fill: grey value of what comes into the picture from outside: one, or one a channel.

    Returns:
        Images of the same type, of whole numbers.

    Raises:
        UserError: there is no policy of that name.
    """
    drawn = draw(keys, (images.shape[1], images.shape[2]), policy=policy)
    return apply_layers(images, drawn, used(policy), interpolation, fill)


def used(policy: str) -> frozenset[str]:
    """The operations that occur in a policy.

    Args:
        policy: `imagenet`, `cifar10` or `svhn`.

    Returns:
        Names of `layers.OPS`.

    Raises:
        UserError: there is no policy of that name.
    """
    return frozenset(name for pair in _pairs(policy) for name, _, _ in pair)


def space(shape: tuple[int, int]) -> binned.Space:
    """All operations and their magnitudes, 10 bins each.

    Args:
        shape: height and width of the images, pixels; translations reach to 150/331 of them, in whole pixels.

    Returns:
        Magnitudes by name.
    """
    height, width = shape
    return {
        'shear_x': binned.ramp(0.3, BINS),
        'shear_y': binned.ramp(0.3, BINS),
        'translate_x': binned.pixels(150 / 331 * width, BINS),
        'translate_y': binned.pixels(150 / 331 * height, BINS),
        'rotate': binned.ramp(30.0, BINS),
        'brightness': binned.ramp(0.9, BINS),
        'color': binned.ramp(0.9, BINS),
        'contrast': binned.ramp(0.9, BINS),
        'sharpness': binned.ramp(0.9, BINS),
        'posterize': binned.bits(8, 4, BINS),
        'solarize': binned.thresholds(BINS),
        'autocontrast': np.zeros(1),
        'equalize': np.zeros(1),
        'invert': np.zeros(1),
    }


def draw(keys: Key[Array, ' batch'], shape: tuple[int, int], *, policy: str = 'imagenet') -> list[Layer]:
    """Draws a pair of operations per image, uniformly; each of the two happens with its own probability.

    Geometry and enhancers have a random sign.

    Args:
        keys: one per image.
        shape: height and width of the images, pixels.
        policy: `imagenet`, `cifar10` or `svhn`.

    Returns:
        Two layers; `identity` where an operation does not happen.

    Raises:
        UserError: there is no policy of that name.
    """
    pairs = _pairs(policy)
    magnitudes = space(shape)
    names = list(magnitudes)
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (5,)))(keys)
    which = jnp.floor(uniform[:, 0] * len(pairs)).astype(jnp.int32)
    drawn = []
    for place in range(2):
        steps = [pair[place] for pair in pairs]
        choice = jnp.array([names.index(name) for name, _, _ in steps], jnp.int32)[which]
        probability = jnp.array([chance for _, chance, _ in steps], jnp.float32)[which]
        bin_number = jnp.array([number for _, _, number in steps], jnp.int32)[which]
        layer = binned.make_layer(magnitudes, choice, bin_number, uniform[:, 3 + place] < 0.5)
        drawn.append(skip(layer, uniform[:, 1 + place] >= probability))
    return drawn


def _pairs(policy: str) -> tuple[tuple[Step, Step], ...]:
    if policy not in POLICIES:
        raise UserError(f'auto_augment: policy {policy!r} is not one of {", ".join(POLICIES)}')
    return POLICIES[policy]
