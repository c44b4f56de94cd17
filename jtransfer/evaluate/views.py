"""The views of a picture that test-time augmentation averages: crops and sizes on the host, the mean on the device.

Ten views (`crops=5, flips=True`) are from Krizhevsky, Sutskever and Hinton (2012), several sizes from Simonyan and
Zisserman (2014); both average softmax probabilities, as is done here where a picture has one label.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, UInt8

from jtransfer.adapters import AnyNetwork
from jtransfer.config.evaluate import Evaluate
from jtransfer.errors import UserError
from jtransfer.inputs.image import Preprocessing, evaluation_pixels, resized_picture, resized_shape
from jtransfer.tasks.base import Task, task_class
from jtransfer.tasks.door import ONLY

NO_VIEWS = 'none'
# Of each task with its name.
Kinds: TypeAlias = tuple[tuple[str, str], ...]
ONE_LABEL: Kinds = ((ONLY, 'single_label'),)


@dataclasses.dataclass(frozen=True)
class Views:
    """Which views of a picture a network sees; called with a picture it gives their pixels (picklable).

    Attributes:
        preprocessing: of the network.
        flips: whether the network sees the mirror image of every view too; the device makes it, see `make_forward`.
        crops: 1, the centre, or 5, the four corners and the centre, each of the network input's size.
        scales: sides of the input, as multiples of the network's.
        side_multiple: sides are rounded to multiples of this, pixels.
    """

    preprocessing: Preprocessing
    flips: bool = False
    crops: int = 1
    scales: tuple[float, ...] = (1.0,)
    side_multiple: int = 1

    @functools.cached_property
    def sizes(self) -> tuple[Preprocessing, ...]:
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

    def __call__(self, image: UInt8[np.ndarray, 'h w channel']) -> UInt8[np.ndarray, '... channel']:
        """The pixels of a picture's views: those of a single view as `evaluation_pixels` gives them.

        Several views, which may differ in size, come one behind the other as rows of pixels, [pixel, channel]; `split`
        takes them apart again.
        """
        views = [view for size in self.sizes for view in view_pixels(image, size, self.crops)]
        if self.count == 1:
            return views[0]
        return np.concatenate([view.reshape(-1, view.shape[-1]) for view in views])

    def split(self, images: UInt8[np.ndarray, 'batch ... channel']) -> Iterator[UInt8[np.ndarray, 'batch h w channel']]:
        """The views in the pixels of a batch of pictures, one by one: every crop of the first size, of the next, …"""
        if self.count == 1:
            yield images
            return
        start = 0
        for size in self.sizes:
            height, width = size.shape
            for _ in range(self.crops):
                rows = images[:, start : start + height * width]
                yield rows.reshape(len(images), height, width, images.shape[-1])
                start += height * width

    @property
    def room(self) -> bool:
        """Whether crops differ whatever the picture, because it is resized to more than the network's input."""
        return any(resized_shape(size.shape, size) != size.shape for size in self.sizes)

    def all_alike(self, pixels: UInt8[np.ndarray, '... channel']) -> bool:
        """Whether the crops of a picture, in what the call gave, are one and the same at every size."""
        views = list(self.split(pixels[None]))
        rows = [views[start : start + self.crops] for start in range(0, len(views), self.crops)]
        return all(np.array_equal(row[0], crop) for row in rows for crop in row[1:])

    def needless_crops(self) -> UserError:
        """The error for crops that are all alike."""
        return UserError(
            f'evaluate.crops={self.crops}: resized, the pictures are as large as the network input (crop fraction '
            f'{self.preprocessing.crop_fraction:g}), so that all crops are the same; leave evaluate.crops=1'
        )


def make_views(
    network: AnyNetwork, variables: Mapping[str, Any], preprocessing: Preprocessing, settings: Evaluate
) -> Views:
    """The views that the settings ask for; neither reads a picture nor computes anything.

    Args:
        network: which is to see them.
        variables: its parameters and statistics; their shapes count.
        preprocessing: of the network.
        settings: whose `flips`, `crops` and `scales` apply.

    Raises:
        UserError: crops that would be alike for every picture, two scales that round to one size, or a size that the
            network does not take, such as any but its own for position embeddings.
    """
    views = Views(preprocessing, settings.flips, settings.crops, settings.scales, network.backbone.side_multiple)
    if views.crops > 1 and preprocessing.squash and not views.room:
        raise views.needless_crops()
    shapes = [size.shape for size in views.sizes]
    if alike := [shape for shape in shapes if shapes.count(shape) > 1]:
        raise UserError(f'evaluate.scales={views.scales}: two of them make inputs of {_times(alike[0])} pixels')
    for scale, size in zip(views.scales, views.sizes, strict=True):
        if size.shape != preprocessing.shape:
            _check_size(network, variables, size, scale)
    return views


def view_pixels(
    image: UInt8[np.ndarray, 'h w channel'], preprocessing: Preprocessing, crops: int = 1
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


def kinds_of(tasks: Sequence[Task]) -> Kinds:
    """What `average_views` is to know of a network's tasks."""
    return tuple((task.name, task.kind) for task in tasks)


@functools.partial(jax.jit, static_argnames='kinds')
def average_views(*outputs: Mapping[str, Any], kinds: Kinds = ONE_LABEL) -> dict[str, Array]:
    """The outputs that stand for several views, [batch, outputs] float32 by task.

    With one label a picture, the log of the mean of the softmax probabilities: logits whose softmax is that mean. With
    several labels, logits whose sigmoid is the mean of the sigmoids. Of numbers, the mean. Logarithms are computed with
    throughout, so that a class of vanishing probability stays finite.

    Args:
        *outputs: of each view, in the form of the result.
        kinds: see `kinds_of`.
    """
    return {name: _average(kind, [output[name] for output in outputs]) for name, kind in kinds}


def _average(kind: str, outputs: Sequence[Float[Array, 'batch outputs']]) -> Float32[Array, 'batch outputs']:
    averaged: Array = task_class(kind).mean_on_device([output.astype(jnp.float32) for output in outputs])
    return averaged


def _check_size(network: AnyNetwork, variables: Mapping[str, Any], size: Preprocessing, scale: float) -> None:
    """Traces the network on images of this size, which computes nothing."""
    images = jax.ShapeDtypeStruct((1, *size.shape, size.channels), jnp.float32)
    try:
        jax.eval_shape(lambda variables, images: network.apply(variables, images, train=False), variables, images)
    except UserError as error:
        raise UserError(f'evaluate.scales={scale:g} is not for this network: {error}') from None


def _times(shape: tuple[int, int]) -> str:
    return f'{shape[0]}×{shape[1]}'
