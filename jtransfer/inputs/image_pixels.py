"""From a decoded image of any size to the pixels a network was trained on, and to its input numbers.

Training, evaluation and prediction share this code. The geometry is that of timm's, torchvision's and transformers'
evaluation transforms, to the pixel.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from jtransfer.errors import UserError
from jtransfer.inputs.image import FILTERS, ImagePreprocessor

# Side of the picture from which random crops are taken, over the side of the network input (He et al. 2015 took
# 224-pixel crops from pictures of 256 pixels).
CROP_MARGIN = 256 / 224
# Longer pictures are cut to this ratio before resizing: the centre crop never sees the rest, and a strip of
# 1 x 100,000 pixels would otherwise grow to billions.
LONGEST_ASPECT = 32

# Shares of red, green and blue in the brightness of a pixel (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)

Pixels = Callable[[np.ndarray], np.ndarray]


def evaluation_pixels(
    image: UInt8[np.ndarray, 'h w channel'], preprocessing: ImagePreprocessor
) -> UInt8[np.ndarray, 'h2 w2 channel']:
    """The picture a network sees in evaluation: resized (antialiased), then cropped from the centre.

    The shorter side becomes floor(image_size / crop_fraction), the longer one int(shorter * long / short) (with
    `squash` both become the former); the crop starts at half the margin, rounded by `crop_rounding`. For an input that
    is not square, the picture is scaled by one factor until it covers floor(side / crop_fraction) on both sides. That
    is `timm.data.create_transform`'s evaluation transform, or with `floor` that of transformers' image processors, bit
    for bit in uint8, for aspect ratios up to 32.

    Args:
        image: a picture, RGB or of any other channels.
        preprocessing: whose shape, interpolation, crop_fraction, squash and crop_rounding apply.

    Returns:
        Pixels, (h2, w2) = `preprocessing.shape`.
    """
    pixels = resized_picture(image, preprocessing)
    height, width = preprocessing.shape
    top, left = preprocessing.crop_start(pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def resized_picture(
    image: UInt8[np.ndarray, 'h w channel'], preprocessing: ImagePreprocessor
) -> UInt8[np.ndarray, 'h2 w2 channel']:
    """The whole picture, resized, from which evaluation takes its crop; see `evaluation_pixels`."""
    image = image if preprocessing.squash else _within_longest_aspect(image)
    return _resize(image, *resized_shape(image.shape[:2], preprocessing), preprocessing.interpolation)


def resized_shape(sides: tuple[int | float, ...], preprocessing: ImagePreprocessor) -> tuple[int, int]:
    """Height and width of the whole picture before the crop, pixels, from those of the original, in any unit."""
    scaled = [math.floor(side / preprocessing.crop_fraction) for side in preprocessing.shape]
    if preprocessing.squash:
        return scaled[0], scaled[1]
    height, width = sides
    if scaled[0] == scaled[1]:
        longer = int(scaled[0] * max(sides) / min(sides))
        return (longer, scaled[0]) if height > width else (scaled[0], longer)
    ratio = min(height / scaled[0], width / scaled[1])
    return round(height / ratio), round(width / ratio)


def whole_picture(
    image: UInt8[np.ndarray, 'h w 3'], side: int, interpolation: str = 'bicubic'
) -> UInt8[np.ndarray, 'side side 3']:
    """The whole picture squashed into a square, from which random crops are taken later on the device.

    Args:
        image: RGB picture.
        side: of the square, pixels.
        interpolation: `bilinear` or `bicubic`, Pillow's (antialiased).
    """
    return _resize(image, side, side, interpolation)


def training_pixels(preprocessing: ImagePreprocessor, crops: bool, sizes: Sequence[int] = ()) -> Pixels:
    """The function from a picture to the pixels that training keeps (picklable).

    Args:
        preprocessing: of the network.
        crops: whether augmentation takes random crops. It then gets the whole picture, squashed into a square of side
            round(longer side * 256 / 224) (the aspect is kept beside it); otherwise the picture that evaluation sees.
        sizes: sides of the square network input that training takes instead of the network's own, pixels; the pixels
            kept are those for the largest.
    """
    if sizes:
        preprocessing = dataclasses.replace(preprocessing, image_size=max(sizes), image_width=0)
    if not crops:
        return functools.partial(evaluation_pixels, preprocessing=preprocessing)
    side = round(max(preprocessing.shape) * CROP_MARGIN)
    return functools.partial(whole_picture, side=side, interpolation=preprocessing.interpolation)


def normalise(
    images: UInt8[Array, 'batch h w channel'] | Float[Array, 'batch h w channel'],
    preprocessing: ImagePreprocessor,
    dtype: Any = jnp.float32,
) -> Float[Array, 'batch h w channel2']:
    """The network's input, on the device: (x / 255 - mean) / std, computed in float32.

    Args:
        images: values in [0, 255]; RGB pictures become grey (ITU-R 601-2 luma, as Pillow's) for a network of one
            channel.
        preprocessing: whose mean and std apply.
        dtype: of the result.

    Raises:
        UserError: pictures of another number of channels than the network's.
    """
    mean = jnp.asarray(preprocessing.mean, jnp.float32)
    std = jnp.asarray(preprocessing.std, jnp.float32)
    values = images.astype(jnp.float32)
    if preprocessing.channels == 1 and images.shape[-1] == len(_LUMA):
        values = (values * jnp.asarray(_LUMA)).sum(-1, keepdims=True)
    check_channels(images.shape[-1], preprocessing)
    return ((values / 255 - mean) / std).astype(dtype)


def check_channels(channels: int, preprocessing: ImagePreprocessor) -> None:
    """Raises `UserError` for images of another number of channels than the network's; grey ones are made of RGB."""
    if channels != preprocessing.channels and (channels, preprocessing.channels) != (len(_LUMA), 1):
        raise UserError(
            f'images of {channels} channels for a network of {preprocessing.channels}: '
            'load_model(…, input_channels=…) fits the network'
        )


def _resize(image: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    filter_ = FILTERS[interpolation]
    if image.shape[2] == len(_LUMA):
        return np.asarray(Image.fromarray(image).resize((width, height), filter_))
    # One by one: Pillow takes two and four channels for transparency, and knows no others.
    channels = [Image.fromarray(np.ascontiguousarray(image[:, :, index])) for index in range(image.shape[2])]
    return np.stack([np.asarray(channel.resize((width, height), filter_)) for channel in channels], axis=-1)


def _within_longest_aspect(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    top = max(0, height - LONGEST_ASPECT * width) // 2
    left = max(0, width - LONGEST_ASPECT * height) // 2
    return image[top : height - top, left : width - left]
