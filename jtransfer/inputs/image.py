"""From a decoded picture of any size to the pixels a network was trained on, and to its input numbers.

The constants travel with the weights (`Preprocessing`), and training, evaluation and prediction share this code.
The geometry is that of timm's, torchvision's and transformers' evaluation transforms, to the pixel.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from jtransfer.errors import UserError
from jtransfer.text.outside import clipped

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Side of the picture from which random crops are taken, over the side of the network input (He et al. 2015 took
# 224-pixel crops from pictures of 256 pixels).
CROP_MARGIN = 256 / 224
# Longer pictures are cut to this ratio before resizing: the centre crop never sees the rest, and a strip of
# 1 x 100,000 pixels would otherwise grow to billions.
LONGEST_ASPECT = 32

# The longest side of a network's input, and of the picture that it is cut from, pixels: 200 MB a picture.
MAX_SIDE = 8192
# Hyperspectral pictures have some hundreds of bands.
MAX_CHANNELS = 1024
# Beyond these, values divided by one or the other are nothing but zeros, or no float32.
_STD_RANGE = (1e-6, 1e6)
_LARGEST = 1e300

# Shares of red, green and blue in the brightness of a pixel (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)

_FILTERS = {'bilinear': Image.Resampling.BILINEAR, 'bicubic': Image.Resampling.BICUBIC}
# Where the centre crop begins, from how many pixels are left over.
_CROP_STARTS: dict[str, Callable[[int], int]] = {
    'round': lambda margin: round(margin / 2),
    'floor': lambda margin: margin // 2,
}

Pixels = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How pictures must look to a network; travels with its weights.

    Attributes:
        image_size: side of the square network input, or its height, pixels.
        mean: of the network's channels, for values in [0, 1]; three of them, or one for a network of grey pictures.
        std: of the network's channels, for values in [0, 1].
        interpolation: `bilinear` or `bicubic`, Pillow's (antialiased).
        crop_fraction: share of the resized picture's shorter side that the centre crop keeps, in (0, 1].
        squash: resize both sides alike, ignoring the aspect (Google's BiT and SigLIP), instead of the shorter one.
        image_width: width of a network input that is not square, pixels. 0: the input is square.
        crop_rounding: where the centre crop begins when the pixels left over are an odd number: `round`, the even one
            of the two places (timm, torchvision), or `floor`, the upper or left one (transformers).
    """

    image_size: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = 'bicubic'
    crop_fraction: float = 1.0
    squash: bool = False
    image_width: int = 0
    crop_rounding: str = 'round'

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that no picture could be prepared with."""
        _check_kinds(vars(self))
        for name, least in (('image_size', 1), ('image_width', 0)):
            value = getattr(self, name)
            square = '' if least else ' (0: square)'
            if value < least:
                raise UserError(f'preprocessing: {name}={value} must be at least {least}{square}')
            if value > MAX_SIDE:
                raise UserError(f'preprocessing: {name}={value} must be at most {MAX_SIDE:,} pixels')
        for name, known in (('interpolation', _FILTERS), ('crop_rounding', _CROP_STARTS)):
            if getattr(self, name) not in known:
                value = clipped(repr(getattr(self, name)))
                raise UserError(f'preprocessing: {name}={value} must be one of {", ".join(known)}')
        if not 0 < self.crop_fraction <= 1:
            raise UserError(f'preprocessing: crop_fraction={self.crop_fraction} must be above 0 and at most 1')
        if max(self.shape) / self.crop_fraction > MAX_SIDE:
            raise UserError(
                f'preprocessing: crop_fraction={self.crop_fraction:g} cuts {max(self.shape)} pixels from a picture of '
                f'{max(self.shape) / self.crop_fraction:,.0f}, more than {MAX_SIDE:,}'
            )
        self._check_constants()

    def _check_constants(self) -> None:
        low, high = _STD_RANGE
        if not self.mean or len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise UserError('preprocessing: mean and std must have a value for each channel (three), std above 0')
        if len(self.mean) > MAX_CHANNELS:
            raise UserError(f'preprocessing: mean has {len(self.mean):,} channels; at most {MAX_CHANNELS:,} are taken')
        if not low <= min(self.std) <= max(self.std) <= high or max(map(abs, self.mean)) > high:
            raise UserError(
                f'preprocessing: std={clipped(repr(self.std))} must lie between {low:g} and {high:g}, and '
                f'mean={clipped(repr(self.mean))} within ±{high:g}: values in [0, 1] are shifted and divided by them'
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the network input, pixels."""
        return self.image_size, self.image_width or self.image_size

    def crop_start(self, resized: Sequence[int]) -> tuple[int, int]:
        """Row and column at which the centre crop of a resized picture begins, from that picture's height and width."""
        start = _CROP_STARTS[self.crop_rounding]
        top, left = (start(whole - kept) for whole, kept in zip(resized, self.shape, strict=True))
        return top, left

    def summary(self) -> str:
        """What is done to a picture, in words, on one line."""
        resized = [math.floor(side / self.crop_fraction) for side in self.shape]
        square = resized[0] == resized[1]
        if self.squash:
            framing = f'both sides to {resized[0]}' if square else f'to {resized[0]}×{resized[1]}'
        else:
            framing = f'the shorter side to {resized[0]}' if square else f'to cover {resized[0]}×{resized[1]}'
        framing += f' pixels ({self.interpolation})'
        if not self.squash or tuple(resized) != self.shape:
            framing += f', the central {self.shape[0] if square else f"{self.shape[0]}×{self.shape[1]}"}'
        mean, std = (' '.join(f'{value:g}' for value in values) for values in (self.mean, self.std))
        return f'{framing}; mean {mean}, standard deviation {std}'

    @property
    def channels(self) -> int:
        """Channels of the network input."""
        return len(self.mean)

    def for_channels(self, channels: int) -> Preprocessing:
        """The same for a network whose first kernel was fitted to another number of channels.

        One channel (grey) gets the means over the known ones, more get the known ones again and again.
        """
        if channels == self.channels:
            return self
        if channels == 1:
            grey_mean, grey_std = (math.fsum(values) / len(values) for values in (self.mean, self.std))
            return dataclasses.replace(self, mean=(grey_mean,), std=(grey_std,))
        if channels > MAX_CHANNELS:
            raise UserError(f'preprocessing: {channels:,} channels; at most {MAX_CHANNELS:,} are taken')
        order = [index % self.channels for index in range(channels)]
        mean, std = (tuple(values[index] for index in order) for values in (self.mean, self.std))
        return dataclasses.replace(self, mean=mean, std=std)

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
            raise UserError(
                f'preprocessing: unknown field {clipped(repr(unknown[0]))}; known: {", ".join(sorted(known))}'
            )
        if 'image_size' not in values:
            raise UserError('preprocessing: image_size is missing')
        _check_kinds(values)
        # JSON writes 1.0 as 1 where it comes from another language.
        decimals: dict[str, Any] = {name: tuple(map(float, values[name])) for name in ('mean', 'std') if name in values}
        if 'crop_fraction' in values:
            decimals['crop_fraction'] = float(values['crop_fraction'])
        return cls(**{**values, **decimals})


def _check_kinds(values: Mapping[str, Any]) -> None:
    """Raises `UserError` for fields by name that hold another kind of value, whose ranges cannot be looked at."""
    for name, value in values.items():
        if not _KINDS[name][1](value):
            raise UserError(f'preprocessing: {name}={clipped(repr(value))} must be {_KINDS[name][0]}')


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    # No whole number is too large to be compared, and NaN is not less than anything.
    return number and abs(value) < _LARGEST


# What each field holds, in words, and the test of it.
_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    'image_size': ('a whole number of pixels', _is_whole),
    'image_width': ('a whole number of pixels', _is_whole),
    'mean': ('finite numbers, one for each channel', _are_numbers),
    'std': ('finite numbers, one for each channel', _are_numbers),
    'interpolation': ('a word', lambda value: isinstance(value, str)),
    'crop_rounding': ('a word', lambda value: isinstance(value, str)),
    'crop_fraction': ('a finite number', _is_number),
    'squash': ('true or false', lambda value: isinstance(value, bool)),
}


def restated(preprocessing: Preprocessing, fields: Mapping[str, Any]) -> Preprocessing:
    """The same with what a person says of it instead.

    Args:
        preprocessing: as it is known.
        fields: values by name; `mean` and `std` are numbers for the channels, also as text (`0.48 0.46 0.41`), or one
            for all of them.

    Raises:
        UserError: an unknown field, or a value that it cannot have.
    """
    values = dict(fields)
    for name in ('mean', 'std'):
        value = values.get(name)
        if isinstance(value, str):
            values[name] = value.split()
        elif isinstance(value, int | float):
            values[name] = [value] * preprocessing.channels
    try:
        for name in ('mean', 'std'):
            if name in values:
                values[name] = [float(one) for one in values[name]]
        return Preprocessing.from_dict({**preprocessing.to_dict(), **values})
    except UserError:
        raise
    except (TypeError, ValueError, OverflowError):
        said = ', '.join(f'{name}={value!r}' for name, value in fields.items())
        raise UserError(f'preprocessing: {said}: a value of the wrong kind') from None


def evaluation_pixels(
    image: UInt8[np.ndarray, 'h w channel'], preprocessing: Preprocessing
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
    image: UInt8[np.ndarray, 'h w channel'], preprocessing: Preprocessing
) -> UInt8[np.ndarray, 'h2 w2 channel']:
    """The whole picture, resized, from which evaluation takes its crop; see `evaluation_pixels`."""
    image = image if preprocessing.squash else _within_longest_aspect(image)
    return _resize(image, *resized_shape(image.shape[:2], preprocessing), preprocessing.interpolation)


def resized_shape(sides: tuple[int | float, ...], preprocessing: Preprocessing) -> tuple[int, int]:
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


def training_pixels(preprocessing: Preprocessing, crops: bool, sizes: Sequence[int] = ()) -> Pixels:
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
    preprocessing: Preprocessing,
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
    if values.shape[-1] != preprocessing.channels:
        raise UserError(
            f'pictures of {values.shape[-1]} channels for a network of {preprocessing.channels}: '
            'load_model(…, input_channels=…) fits the network'
        )
    return ((values / 255 - mean) / std).astype(dtype)


def _resize(image: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    filter_ = _FILTERS[interpolation]
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
