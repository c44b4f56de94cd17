"""Colour jitter on float images of 0 to 255: brightness, contrast, saturation and hue, in a random order per image.

Definitions as in torchvision's `ColorJitter` (Pillow's `ImageEnhance` for the first three); the order of the
operations, like their factors, is drawn for every image by itself.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

# ITU-R BT.601 luma, as Pillow converts to grey.
_LUMA = (0.299, 0.587, 0.114)
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)


def jitter(
    keys: Key[Array, ' batch'],
    images: Float[Array, 'batch height width 3'],
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
) -> Float[Array, 'batch height width 3']:
    """Changes brightness, contrast, saturation and hue of every image by its own factors, in its own order.

    Args:
        keys: one per image.
        images: RGB, values in [0, 255].
        brightness: largest relative change b ≥ 0; the factor is uniform in [max(0, 1 - b), 1 + b].
        contrast: likewise.
        saturation: likewise.
        hue: largest shift around the colour circle h in [0, 0.5]; the shift is uniform in [-h, h].

    Returns:
        RGB, clipped to [0, 255] after each operation.
    """
    strengths = (brightness, contrast, saturation, hue)
    operations = tuple(i for i, strength in enumerate(strengths) if strength > 0)
    if not operations:
        return images

    # One draw for factors and order: every separate one costs compile time.
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (4 + len(operations),)))(keys)
    low = jnp.array([max(0.0, 1 - brightness), max(0.0, 1 - contrast), max(0.0, 1 - saturation), -hue])
    high = jnp.array([1 + brightness, 1 + contrast, 1 + saturation, hue])
    factors = low + (high - low) * uniform[:, :4]
    orders = jnp.array(operations)[jnp.argsort(uniform[:, 4:], axis=1)]
    for position in range(len(operations)):
        images = _apply(images, orders[:, position], factors, operations)
    return images


def _apply(images: Array, chosen: Array, factors: Array, operations: tuple[int, ...]) -> Array:
    """One operation per image, by number. Three of the four are one blend towards different references."""
    chosen = chosen[:, None, None, None]
    factors = factors[:, :, None, None, None]
    factor = jnp.where(
        chosen == _BRIGHTNESS, factors[:, 0], jnp.where(chosen == _CONTRAST, factors[:, 1], factors[:, 2])
    )
    result = images
    if set(operations) - {_HUE}:
        grey = _grey(images)
        level = jnp.where(chosen == _CONTRAST, jnp.mean(grey, axis=(1, 2), keepdims=True), 0)
        result = _blend(images, jnp.where(chosen == _SATURATION, grey, level), factor)
    if _HUE in operations:
        result = jnp.where(chosen == _HUE, _shift_hue(images, factors[:, 3]), result)
    return result


def adjust_brightness(
    images: Float[Array, 'batch height width 3'], factors: Float[Array, ' batch']
) -> Float[Array, 'batch height width 3']:
    """Scales the images (values in [0, 255]) by factors ≥ 0: 0 gives black, 1 the image itself."""
    return _blend(images, jnp.zeros(()), factors[:, None, None, None])


def adjust_contrast(
    images: Float[Array, 'batch height width 3'], factors: Float[Array, ' batch']
) -> Float[Array, 'batch height width 3']:
    """Blends with the mean grey of each image (values in [0, 255]): 0 gives that grey, 1 the image itself."""
    return _blend(images, jnp.mean(_grey(images), axis=(1, 2), keepdims=True), factors[:, None, None, None])


def adjust_saturation(
    images: Float[Array, 'batch height width 3'], factors: Float[Array, ' batch']
) -> Float[Array, 'batch height width 3']:
    """Blends with each image's grey version (values in [0, 255]): 0 gives the grey image, 1 the image itself."""
    return _blend(images, _grey(images), factors[:, None, None, None])


def adjust_hue(
    images: Float[Array, 'batch height width 3'], shifts: Float[Array, ' batch']
) -> Float[Array, 'batch height width 3']:
    """Turns the hue (HSV) of the images (values in [0, 255]) by shifts in [-0.5, 0.5] of the colour circle."""
    return _shift_hue(images, shifts[:, None, None, None])


def _grey(images: Array) -> Array:
    """Luma, [batch, height, width, 1]."""
    red, green, blue = (weight * images[..., i : i + 1] for i, weight in enumerate(_LUMA))
    return red + green + blue


def _blend(images: Array, reference: Array, factor: Array) -> Array:
    return jnp.clip(reference + factor * (images - reference), 0, 255)


def _shift_hue(images: Array, shift: Array) -> Array:
    """`shift` is [batch, 1, 1, 1]. Value and chroma stay; the hue, 0 to 6 sextants, turns."""
    red, green, blue = images[..., 0:1], images[..., 1:2], images[..., 2:3]
    value = jnp.max(images, axis=3, keepdims=True)
    chroma = value - jnp.min(images, axis=3, keepdims=True)
    scale = 1 / jnp.where(chroma > 0, chroma, 1)
    hue = jnp.where(
        value == red,
        (green - blue) * scale,
        jnp.where(value == green, 2 + (blue - red) * scale, 4 + (red - green) * scale),
    )
    # A channel is `value` less the chroma times how far, in sextants, the hue is from the channel's plateau:
    # https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative
    sextant = hue + 6 * shift + jnp.array([5.0, 3.0, 1.0])
    sextant = sextant - 6 * jnp.floor(sextant / 6)
    return jnp.clip(value - chroma * jnp.clip(jnp.minimum(sextant, 4 - sextant), 0, 1), 0, 255)
