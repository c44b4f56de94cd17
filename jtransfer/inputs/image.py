"""Images as a network reads them: the constants that travel with the weights; `image_pixels.py` has what is done."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jtransfer.errors import UserError
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.image_fields import check_kinds
from jtransfer.inputs.prepare import Held, Prepare, Spec, Views
from jtransfer.text.outside import clipped

if TYPE_CHECKING:
    from jtransfer.config.augment import Augment
    from jtransfer.config.evaluate import Evaluate

# The field of an example, and the network's input.
IMAGE = 'image'

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# The longest side of a network's input, and of the picture that it is cut from, pixels: 200 MB a picture.
MAX_SIDE = 8192
# Hyperspectral pictures have some hundreds of bands.
MAX_CHANNELS = 1024
# Beyond these, values divided by one or the other are nothing but zeros, or no float32.
_STD_RANGE = (1e-6, 1e6)

FILTERS = {'bilinear': Image.Resampling.BILINEAR, 'bicubic': Image.Resampling.BICUBIC}
# Where the centre crop begins, from how many pixels are left over.
_CROP_STARTS: dict[str, Callable[[int], int]] = {
    'round': lambda margin: round(margin / 2),
    'floor': lambda margin: margin // 2,
}


@dataclasses.dataclass(frozen=True)
class ImagePreprocessor(Preprocessor):
    """How images must look to a network.

    Held of an image that is trained on are its `image`, pixels uint8, and `aspect`, the width / height of the original;
    for evaluation, the pixels of its views alone.

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

    kind = 'image'
    reads = (IMAGE,)
    on_device = ('mean', 'std')

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
        check_kinds(vars(self))
        for name, least in (('image_size', 1), ('image_width', 0)):
            value = getattr(self, name)
            square = '' if least else ' (0: square)'
            if value < least:
                raise UserError(f'preprocessing: {name}={value} must be at least {least}{square}')
            if value > MAX_SIDE:
                raise UserError(f'preprocessing: {name}={value} must be at most {MAX_SIDE:,} pixels')
        for name, known in (('interpolation', FILTERS), ('crop_rounding', _CROP_STARTS)):
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

    def for_channels(self, channels: int) -> ImagePreprocessor:
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

    def spec(self) -> Spec:
        """See `Preprocessor.spec`: `image`, height × width × channels."""
        return {IMAGE: jax.ShapeDtypeStruct((*self.shape, self.channels), jnp.float32)}

    def prepare(self, augment: Augment | None = None) -> Prepare:
        """See `Preprocessor.prepare`."""
        from jtransfer.inputs.image_held import TrainingImage

        if augment is None:
            return self.views()
        return TrainingImage(self, augment.crops, tuple(augment.sizes))

    def example(self, value: Any) -> Mapping[str, Any]:
        """See `Preprocessor.example`: uint8 (height, width, channel), of any size.

        Raises:
            UserError: it is no image.
        """
        if isinstance(value, Mapping):
            return value
        array = np.asarray(value)
        if array.ndim != 3 or array.dtype != np.uint8:
            raise UserError(
                f'an image is a uint8 array (height, width, channel), not {array.dtype} of shape {array.shape}; '
                'hand over a list of them'
            )
        return {IMAGE: array}

    def views(self, settings: Evaluate | None = None, side_multiple: int = 1) -> Views:
        """See `Preprocessor.views`.

        Raises:
            UserError: crops that would be alike for every image, or two scales that round to one size.
        """
        from jtransfer.inputs.image_held import ImageViews

        if settings is None:
            return ImageViews(self)
        return ImageViews.checked(self, settings, side_multiple)

    def device(self, held: Held, dtype: Any = jnp.float32) -> dict[str, jax.Array]:
        """See `Preprocessor.device`: normalised."""
        from jtransfer.inputs.image_pixels import normalise

        return {IMAGE: normalise(held[IMAGE], self, dtype)}

    def size_in_words(self) -> str:
        """See `Preprocessor.size_in_words`: height and width."""
        height, width = self.shape
        return f'{height} × {width}'

    def mirrored(self, held: Held) -> Held:
        """See `Preprocessor.mirrored`: left and right exchanged."""
        return {**held, IMAGE: held[IMAGE][:, :, ::-1]}

    def at_size(self, size: int) -> ImagePreprocessor:
        """The same for a square network input of another side, pixels.

        Raises:
            UserError: the network's own input is no square.
        """
        height, width = self.shape
        if height != width:
            raise UserError(
                f'augment.sizes are sides of squares, and the network input is {height}×{width} pixels: '
                'leave augment.sizes empty, or model.image_width'
            )
        return dataclasses.replace(self, image_size=size, image_width=0)

    def fitted(self, image_size: int | Sequence[int] = 0, input_channels: int = 0) -> ImagePreprocessor:
        """The same for images of another size, a side or height and width, and of other channels; 0 is as it is.

        Raises:
            UserError: a size that no image has.
        """
        return self._sized(image_size).for_channels(input_channels or self.channels)

    def _sized(self, image_size: int | Sequence[int]) -> ImagePreprocessor:
        if not image_size or tuple(np.atleast_1d(image_size)) == (0, 0):
            return self
        if isinstance(image_size, Sequence) and len(image_size) != 2:
            raise UserError(f'image_size={image_size} must be one number, or height and width')
        height, width = image_size if isinstance(image_size, Sequence) else (image_size, image_size)
        if min(height, width) < 1:
            raise UserError(f'image_size={image_size} must be at least 1 on each side')
        return dataclasses.replace(self, image_size=height, image_width=0 if height == width else width)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {**dataclasses.asdict(self), 'mean': list(self.mean), 'std': list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImagePreprocessor:
        """The inverse of `to_dict`.

        Raises:
            UserError: a missing or unknown field, or a value out of range.
        """
        values = {name: value for name, value in values.items() if name != 'kind'}
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise UserError(
                f'preprocessing: unknown field {clipped(repr(unknown[0]))}; known: {", ".join(sorted(known))}'
            )
        if 'image_size' not in values:
            raise UserError('preprocessing: image_size is missing')
        check_kinds(values)
        # JSON writes 1.0 as 1 where it comes from another language.
        decimals: dict[str, Any] = {name: tuple(map(float, values[name])) for name in ('mean', 'std') if name in values}
        if 'crop_fraction' in values:
            decimals['crop_fraction'] = float(values['crop_fraction'])
        return cls(**{**values, **decimals})

    def restated(self, fields: Mapping[str, Any]) -> ImagePreprocessor:
        """See `Preprocessor.restated`.

        Args:
            fields: values by name; `mean` and `std` are numbers for the channels, also as text (`0.48 0.46 0.41`), or
                one for all of them.
        """
        values = dict(fields)
        for name in ('mean', 'std'):
            value = values.get(name)
            if isinstance(value, str):
                values[name] = value.split()
            elif isinstance(value, int | float):
                values[name] = [value] * self.channels
        try:
            for name in ('mean', 'std'):
                if name in values:
                    values[name] = [float(one) for one in values[name]]
            return ImagePreprocessor.from_dict({**self.to_dict(), **values})
        except UserError:
            raise
        except (TypeError, ValueError, OverflowError):
            said = ', '.join(f'{name}={value!r}' for name, value in fields.items())
            raise UserError(f'preprocessing: {said}: a value of the wrong kind') from None


# The name under which it was public before there were other kinds of input.
Preprocessing = ImagePreprocessor


def as_image(preprocessing: Preprocessor, what: str) -> ImagePreprocessor:
    """The same, where it is of images.

    Args:
        preprocessing: of any network.
        what: needs images, in words.

    Raises:
        UserError: it is of something else.
    """
    if not isinstance(preprocessing, ImagePreprocessor):
        raise UserError(f'{what} is for networks that read images, and this one reads {preprocessing.summary()}')
    return preprocessing


def sides_of(preprocessing: Preprocessor) -> tuple[int, int]:
    """Height and width of the network's input, pixels.

    Raises:
        UserError: it is of something else than images.
    """
    return as_image(preprocessing, 'a grid of patches').shape
