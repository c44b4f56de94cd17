"""3-Augment: grayscale, solarize or Gaussian blur, one of the three per image.

Touvron, Cord and Jégou (2022), "DeiT III: Revenge of the ViT". The recipe has more, which are operations of their own
here: before it a crop and a horizontal flip, after it colour jitter of 0.3 (brightness, contrast, saturation).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int32, Key, UInt8

from jtransfer.augment import filters, tone
from jtransfer.augment.layers import NUMBERS, Layer, apply_layers

CHOICES = ('grayscale', 'solarize', 'gaussian_blur')
SIGMAS = (0.1, 2.0)
_THRESHOLD = 128


class Choice(NamedTuple):
    """One of `CHOICES` by number, and the standard deviation of the blur in pixels, per image."""

    number: Int32[Array, ' batch']
    sigma: Float32[Array, ' batch']


def apply(
    keys: Key[Array, ' batch'],
    images: UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3'],
) -> UInt8[Array, 'batch height width 3'] | Float[Array, 'batch height width 3']:
    """Augments every image by its own draw (`draw`).

    `solarize` inverts grey values of 128 and more. The blur is the true Gaussian, rounded to whole numbers; the
    authors' code has Pillow's approximation of it.

    Args:
        keys: one per image.
        images: RGB in [0, 255]; floats are rounded to 8 bits first.

    Returns:
        Images of the same type, of whole numbers.
    """
    number, sigma = draw(keys)
    pixels = tone.to_uint8(images)
    solarize = number == CHOICES.index('solarize')
    layer = Layer(
        op=jnp.where(solarize, NUMBERS['solarize'], NUMBERS['color']).astype(jnp.int32),
        # A colour factor of 0 is grayscale (also of the images that are blurred instead, below).
        level=jnp.where(solarize, float(_THRESHOLD), 0.0),
    )
    coloured = apply_layers(pixels, [layer], frozenset({'solarize', 'color'}))
    blurred = tone.to_uint8(filters.gaussian_blur(pixels, sigma, filters.blur_kernel_size(SIGMAS[1])))
    blur = (number == CHOICES.index('gaussian_blur'))[:, None, None, None]
    return jnp.where(blur, blurred, coloured).astype(images.dtype)


def draw(keys: Key[Array, ' batch']) -> Choice:
    """Draws one of the three with equal probability, and a standard deviation uniform in [0.1, 2] pixels."""
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys)
    number = jnp.floor(uniform[:, 0] * len(CHOICES)).astype(jnp.int32)
    return Choice(number, SIGMAS[0] + (SIGMAS[1] - SIGMAS[0]) * uniform[:, 1])
