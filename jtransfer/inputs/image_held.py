"""What is held of an image: of one that is trained on, and of one that is evaluated, in all its views."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from jtransfer.config.evaluate import Evaluate
from jtransfer.errors import UserError
from jtransfer.inputs.image import IMAGE, ImagePreprocessor
from jtransfer.inputs.image_pixels import (
    check_channels,
    evaluation_pixels,
    resized_picture,
    resized_shape,
    training_pixels,
)
from jtransfer.inputs.prepare import NO_VIEWS, Example, Held, Prepare, Spec, Views, field_of

# What training holds beside the pixels: width / height of the original.
ASPECT = 'aspect'
# Files of images give three, and the device makes them grey for a network of one channel.
_FILES = 3


@dataclasses.dataclass(frozen=True)
class TrainingImage(Prepare):
    """Holds what training takes of an image, see `training_pixels`.

    Attributes:
        preprocessor: of the network.
        crops: whether augmentation takes random crops.
        sizes: sides of the square network input that training takes instead of the network's own, pixels.
    """

    preprocessor: ImagePreprocessor
    crops: bool = False
    sizes: tuple[int, ...] = ()

    @functools.cached_property
    def spec(self) -> Spec:
        """See `Prepare.spec`."""
        pixels = self._pixels(np.zeros((8, 8, _held_channels(self.preprocessor)), np.uint8))
        return {
            IMAGE: jax.ShapeDtypeStruct(pixels.shape, jnp.uint8),
            ASPECT: jax.ShapeDtypeStruct((), jnp.float32),
        }

    @property
    def settings(self) -> Any:
        """See `Prepare.settings`: networks that differ in framing alone have the whole image in common."""
        own = self.preprocessor
        own = own if not self.sizes else dataclasses.replace(own, image_size=max(self.sizes), image_width=0)
        return (self.spec[IMAGE].shape, own.interpolation) if self.crops else own

    def __call__(self, example: Example) -> Held:
        """The pixels, and the width / height of the original."""
        image = _image_of(example, self.preprocessor)
        return {IMAGE: self._pixels(image), ASPECT: np.float32(image.shape[1] / image.shape[0])}

    def _pixels(self, image: np.ndarray) -> np.ndarray:
        return training_pixels(self.preprocessor, self.crops, self.sizes)(image)


@dataclasses.dataclass(frozen=True)
class ImageViews(Views):
    """Which views of an image a network sees; called with an example it gives their pixels.

    Attributes:
        preprocessing: of the network.
        flips: whether the network sees the mirror image of every view too; the device makes it, see
            `Preprocessor.mirrored`.
        crops: 1, the centre, or 5, the four corners and the centre, each of the network input's size.
        scales: sides of the input, as multiples of the network's.
        side_multiple: sides are rounded to multiples of this, pixels.
    """

    preprocessing: ImagePreprocessor
    flips: bool = False
    crops: int = 1
    scales: tuple[float, ...] = (1.0,)
    side_multiple: int = 1

    @functools.cached_property
    def sizes(self) -> tuple[ImagePreprocessor, ...]:
        """The preprocessing of every scale: the same share of the picture, in more pixels or fewer."""
        sizes = []
        for scale in self.scales:
            height, width = (self._rounded(side * scale) for side in self.preprocessing.shape)
            width = width if self.preprocessing.image_width else 0
            sizes.append(dataclasses.replace(self.preprocessing, image_size=height, image_width=width))
        return tuple(sizes)

    @property
    def count(self) -> int:
        """How many views there are, mirror images left out of account."""
        return self.crops * len(self.scales)

    @property
    def name(self) -> str:
        """What sets these views apart from the plain one, for records: `flips, 5 crops, scales 1 1.25`, or `none`."""
        parts = ['flips'] * self.flips
        parts += [f'{self.crops} crops'] * (self.crops > 1)
        parts += ['scales ' + ' '.join(f'{scale:g}' for scale in self.scales)] * (self.scales != (1.0,))
        return ', '.join(parts) or NO_VIEWS

    def _rounded(self, side: float) -> int:
        return max(1, round(side / self.side_multiple)) * self.side_multiple

    @functools.cached_property
    def spec(self) -> Spec:
        """See `Prepare.spec`."""
        channels = _held_channels(self.preprocessing)
        if self.count == 1:
            shape: tuple[int, ...] = (*self.sizes[0].shape, channels)
        else:
            shape = (
                self.crops * sum(height * width for height, width in (size.shape for size in self.sizes)),
                channels,
            )
        return {IMAGE: jax.ShapeDtypeStruct(shape, jnp.uint8)}

    def __call__(self, example: Example) -> Held:
        """The pixels of the views, see `pixels`."""
        return {IMAGE: self.pixels(_image_of(example, self.preprocessing))}

    def pixels(self, image: UInt8[np.ndarray, 'h w channel']) -> UInt8[np.ndarray, '... channel']:
        """The pixels of an image's views: those of a single view as `evaluation_pixels` gives them.

        Several views, which may differ in size, come one behind the other as rows of pixels, [pixel, channel]; `split`
        takes them apart again.
        """
        views = [view for size in self.sizes for view in view_pixels(image, size, self.crops)]
        if self.count == 1:
            return views[0]
        return np.concatenate([view.reshape(-1, view.shape[-1]) for view in views])

    def split(self, held: Held) -> Iterator[Held]:
        """The views in the pixels of a batch of images, one by one: every crop of the first size, of the next, …"""
        images = held[IMAGE]
        if self.count == 1:
            yield {IMAGE: images}
            return
        start = 0
        for size in self.sizes:
            height, width = size.shape
            for _ in range(self.crops):
                rows = images[:, start : start + height * width]
                yield {IMAGE: rows.reshape(len(images), height, width, images.shape[-1])}
                start += height * width

    @property
    def other_inputs(self) -> Sequence[tuple[str, Spec]]:
        """See `Views.other_inputs`: of the scales."""
        sizes = zip(self.scales, self.sizes, strict=True)
        return [
            (f'evaluate.scales={scale:g}', size.spec())
            for scale, size in sizes
            if size.shape != self.preprocessing.shape
        ]

    def check(self, examples: Iterable[Held]) -> None:
        """See `Views.check`: crops may be alike in every image."""
        if self.crops > 1 and not self.room and all(self.all_alike(held[IMAGE]) for held in examples):
            raise self.needless_crops()

    @property
    def room(self) -> bool:
        """Whether crops differ whatever the picture, because it is resized to more than the network's input."""
        return any(resized_shape(size.shape, size) != size.shape for size in self.sizes)

    def all_alike(self, pixels: UInt8[np.ndarray, '... channel']) -> bool:
        """Whether the crops of a picture, in what the call gave, are one and the same at every size."""
        views = [view[IMAGE] for view in self.split({IMAGE: pixels[None]})]
        rows = [views[start : start + self.crops] for start in range(0, len(views), self.crops)]
        return all(np.array_equal(row[0], crop) for row in rows for crop in row[1:])

    def needless_crops(self) -> UserError:
        """The error for crops that are all alike."""
        return UserError(
            f'evaluate.crops={self.crops}: resized, the pictures are as large as the network input (crop fraction '
            f'{self.preprocessing.crop_fraction:g}), so that all crops are the same; leave evaluate.crops=1'
        )

    @classmethod
    def checked(cls, preprocessing: ImagePreprocessor, settings: Evaluate, side_multiple: int) -> ImageViews:
        """See `ImagePreprocessor.views`."""
        views = cls(preprocessing, settings.flips, settings.crops, settings.scales, side_multiple)
        if views.crops > 1 and preprocessing.squash and not views.room:
            raise views.needless_crops()
        shapes = [size.shape for size in views.sizes]
        if alike := [shape for shape in shapes if shapes.count(shape) > 1]:
            height, width = alike[0]
            raise UserError(f'evaluate.scales={views.scales}: two of them make inputs of {height}×{width} pixels')
        return views


def _image_of(example: Example, preprocessing: ImagePreprocessor) -> np.ndarray:
    """The image of an example, of the channels that the network takes."""
    image: np.ndarray = field_of(example, IMAGE)
    check_channels(image.shape[-1], preprocessing)
    return image


def _held_channels(preprocessing: ImagePreprocessor) -> int:
    return max(preprocessing.channels, _FILES)


def view_pixels(
    image: UInt8[np.ndarray, 'h w channel'], preprocessing: ImagePreprocessor, crops: int = 1
) -> list[UInt8[np.ndarray, 'h2 w2 channel']]:
    """What a network sees of a picture: the picture is resized once, as `evaluation_pixels` does, and then cropped.

    Args:
        image: a picture, RGB or of any other channels.
        preprocessing: whose shape, interpolation, crop_fraction, squash and crop_rounding apply.
        crops: 1, the centre, or 5: top left, top right, bottom left, bottom right and centre (torchvision's `FiveCrop`
            of the resized picture).

    Returns:
        The views, (h2, w2) = `preprocessing.shape`; the centre, the last of them, is `evaluation_pixels`.
    """
    if crops == 1:
        return [evaluation_pixels(image, preprocessing)]
    pixels = resized_picture(image, preprocessing)
    height, width = preprocessing.shape
    bottom, right = pixels.shape[0] - height, pixels.shape[1] - width
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), preprocessing.crop_start(pixels.shape[:2])]
    return [np.ascontiguousarray(pixels[top : top + height, left : left + width]) for top, left in corners]
