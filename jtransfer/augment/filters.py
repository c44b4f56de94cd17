"""Filters over neighbouring pixels: Pillow's sharpness and torchvision's Gaussian blur, one strength per image."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jtransfer.augment import tone

# A Gaussian this narrow has no weight but its centre's; narrower ones would divide by zero.
_NARROWEST = 1e-3


def sharpness(
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    factors: Float[Array, ' batch'],
) -> UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel']:
    """`ImageEnhance.Sharpness`, exactly: blends each image with its smoothed self (Pillow's `ImageFilter.SMOOTH`).

    There is one definition, that of 8-bit images, for uint8 and float alike: the smoothed picture is rounded, the blend
    truncated. The outermost pixels are not smoothed and so never change; nor does an image with a side below 3.

    Args:
        images: values in [0, 255]; floats are rounded to whole numbers first.
        factors: ≥ 0; 0 gives the smoothed image, 1 the image itself, above 1 a sharper one.

    Returns:
        Whole numbers in [0, 255], in the dtype of `images`.
    """
    whole = tone.to_uint8(images)
    blended = tone.blend(smooth(whole).astype(jnp.float32), whole.astype(jnp.float32), factors)
    return blended.astype(images.dtype)


def smooth(
    images: UInt8[Array, 'batch height width channel'],
) -> UInt8[Array, 'batch height width channel']:
    """Pillow's `ImageFilter.SMOOTH`, exactly: means of 3×3 pixels in which the middle counts five times.

    The outermost pixels stay as they are, and so does an image with a side below 3.
    """
    batch, height, width, channels = images.shape
    if min(height, width) < 3:
        return images
    # Rows of width × channel values: a loop over three channels would be too short for vector instructions.
    flat = images.astype(jnp.int16).reshape(batch, height, width * channels)
    padded = jnp.pad(flat, ((0, 0), (1, 1), (channels, channels)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    square = rows[:, :, : -2 * channels] + rows[:, :, channels:-channels] + rows[:, :, 2 * channels :]
    # A thirteenth of a whole number plus a half is never nearer to a whole one than 1/26: float32 cuts it rightly.
    means = jnp.floor((square + 4 * flat).astype(jnp.float32) * (1 / 13) + 0.5).astype(jnp.uint8)
    inner = np.zeros((height, width, channels), bool)
    inner[1:-1, 1:-1] = True
    return jnp.where(inner.reshape(height, -1), means, images.reshape(flat.shape)).reshape(images.shape)


def gaussian_blur(
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    sigmas: Float[Array, ' batch'],
    kernel_size: int,
) -> Float[Array, 'batch height width channel']:
    """Gaussian blur as torchvision's `gaussian_blur`: sampled, normalised weights, reflected at the edges.

    Args:
        images: values in [0, 255].
        sigmas: standard deviations, pixels, ≥ 0, one per image; 0 gives the image itself.
        kernel_size: odd number of weights in either direction, for all images (see `blur_kernel_size`). It may exceed
            the images: the reflection is then repeated, to and fro (torchvision refuses such images).

    Returns:
        Values in [0, 255], not rounded (torchvision rounds those of uint8 images).

    Raises:
        ValueError: when the kernel size is not odd and positive.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f'kernel_size={kernel_size} must be odd and positive')
    radius = kernel_size // 2
    distance = jnp.arange(radius + 1) / jnp.maximum(sigmas, _NARROWEST)[:, None]
    weights = jnp.exp(-0.5 * distance**2)
    weights = weights / (2 * jnp.sum(weights, axis=1, keepdims=True) - weights[:, :1])
    blurred = images.astype(jnp.float32)
    for axis in (1, 2):
        blurred = _convolve(blurred, weights, axis)
    return jnp.clip(blurred, 0, 255)


def _convolve(images: Array, weights: Array, axis: int) -> Array:
    """Weighs neighbours along the height (axis 1) or width (2); `weights` is [batch, distance], as on either side."""
    batch, height, width, channels = images.shape
    radius = weights.shape[1] - 1
    margins = [(radius, radius) if i == axis else (0, 0) for i in range(4)]
    # Rows of width × channel values: a loop over three channels would be too short for vector instructions.
    padded = jnp.pad(images, margins, mode='reflect')
    padded = padded.reshape(batch, padded.shape[1], -1)
    flat = images.reshape(batch, height, width * channels)
    pixel = 1 if axis == 1 else channels

    def shifted(offset: int) -> Array:
        return jax.lax.slice_in_dim(
            padded, (radius + offset) * pixel, (radius + offset) * pixel + flat.shape[axis], axis=axis
        )

    weights = weights[:, :, None, None]
    total = weights[:, 0] * flat
    for offset in range(1, radius + 1):
        total = total + weights[:, offset] * (shifted(-offset) + shifted(offset))
    return total.reshape(images.shape)


def blur_kernel_size(sigma: float) -> int:
    """The smallest odd kernel size that reaches 3 standard deviations (`sigma`, pixels, ≥ 0) to either side."""
    return 2 * math.ceil(3 * sigma) + 1
