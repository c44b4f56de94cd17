"""From a decoded picture of any size to the square pixels a network was trained on, and to its input numbers.

The constants travel with the weights (`Preprocessing`), and training, evaluation and prediction share this code.
The geometry is that of timm's and torchvision's evaluation transforms, to the pixel.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from jtransfer.errors import UserError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Side of the picture from which random crops are taken, over the side of the network input (He et al. 2015 took
# 224-pixel crops from pictures of 256 pixels).
CROP_MARGIN = 256 / 224
# Longer pictures are cut to this ratio before resizing: the centre crop never sees the rest, and a strip of
# 1 x 100,000 pixels would otherwise grow to billions.
LONGEST_ASPECT = 32

_FILTERS = {'bilinear': Image.Resampling.BILINEAR, 'bicubic': Image.Resampling.BICUBIC}

Pixels = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How pictures must look to a network; travels with its weights.

    Attributes:
        image_size: side of the square network input, pixels.
        mean: of the three channels, for values in [0, 1].
        std: of the three channels, for values in [0, 1].
        interpolation: `bilinear` or `bicubic`, Pillow's (antialiased).
        crop_fraction: share of the resized picture's shorter side that the centre crop keeps, in (0, 1].
        squash: resize both sides alike, ignoring the aspect (Google's BiT and SigLIP), instead of the shorter one.
    """

    image_size: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: str = 'bicubic'
    crop_fraction: float = 1.0
    squash: bool = False

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that no picture could be prepared with."""
        if self.image_size < 1:
            raise UserError(f'preprocessing: image_size={self.image_size} must be at least 1')
        if self.interpolation not in _FILTERS:
            raise UserError(f'preprocessing: interpolation={self.interpolation!r} must be one of {", ".join(_FILTERS)}')
        if not 0 < self.crop_fraction <= 1:
            raise UserError(f'preprocessing: crop_fraction={self.crop_fraction} must be above 0 and at most 1')
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise UserError('preprocessing: mean and std must have three values each, std above 0')

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {**dataclasses.asdict(self), 'mean': list(self.mean), 'std': list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The inverse of `to_dict`.

        Raises:
            UserError: a missing or unknown field, or a value out of range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise UserError(f'preprocessing: unknown field {unknown[0]!r}; known: {", ".join(sorted(known))}')
        if 'image_size' not in values:
            raise UserError('preprocessing: image_size is missing')
        triples = {name: tuple(values[name]) for name in ('mean', 'std') if name in values}
        return cls(**{**values, **triples})


def evaluation_pixels(image: UInt8[np.ndarray, 'h w 3'], preprocessing: Preprocessing) -> UInt8[np.ndarray, 's s 3']:
    """The square a network sees in evaluation: resized (antialiased), then cropped from the centre.

    The shorter side becomes floor(image_size / crop_fraction), the longer one int(shorter * long / short) (with
    `squash` both become the former); the crop starts at round(margin / 2). That is `timm.data.create_transform`'s
    evaluation transform, bit for bit in uint8, for aspect ratios up to 32.

    Args:
        image: RGB picture.
        preprocessing: whose image_size, interpolation, crop_fraction and squash apply.

    Returns:
        RGB pixels, s = image_size.
    """
    size = preprocessing.image_size
    resized = math.floor(size / preprocessing.crop_fraction)
    image = _within_longest_aspect(image) if not preprocessing.squash else image
    height, width = image.shape[:2]
    short, long = min(height, width), max(height, width)
    longer = resized if preprocessing.squash else int(resized * long / short)
    new_height, new_width = (longer, resized) if height > width else (resized, longer)
    pixels = _resize(image, new_height, new_width, preprocessing.interpolation)
    top, left = round((new_height - size) / 2), round((new_width - size) / 2)
    return np.ascontiguousarray(pixels[top : top + size, left : left + size])


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


def training_pixels(preprocessing: Preprocessing, crops: bool) -> Pixels:
    """The function from a picture to the pixels that training keeps (picklable).

    Args:
        preprocessing: of the network.
        crops: whether augmentation takes random crops. It then gets the whole picture, squashed into a square of side
            round(image_size * 256 / 224) (the aspect is kept beside it); otherwise the square that evaluation sees.
    """
    if not crops:
        return functools.partial(evaluation_pixels, preprocessing=preprocessing)
    side = round(preprocessing.image_size * CROP_MARGIN)
    return functools.partial(whole_picture, side=side, interpolation=preprocessing.interpolation)


def normalise(
    images: UInt8[Array, 'batch h w 3'] | Float[Array, 'batch h w 3'],
    preprocessing: Preprocessing,
    dtype: Any = jnp.float32,
) -> Float[Array, 'batch h w 3']:
    """The network's input, on the device: (x / 255 - mean) / std, computed in float32.

    Args:
        images: RGB values in [0, 255].
        preprocessing: whose mean and std apply.
        dtype: of the result.
    """
    mean = jnp.asarray(preprocessing.mean, jnp.float32)
    std = jnp.asarray(preprocessing.std, jnp.float32)
    return ((images.astype(jnp.float32) / 255 - mean) / std).astype(dtype)


def _resize(image: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), _FILTERS[interpolation]))


def _within_longest_aspect(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    top = max(0, height - LONGEST_ASPECT * width) // 2
    left = max(0, width - LONGEST_ASPECT * height) // 2
    return image[top : height - top, left : width - left]
