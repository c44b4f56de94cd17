"""Transformations between published tensor layouts and Flax's, each with its inverse.

Loading gives views of the file's arrays wherever strides can express it, so that nothing is copied before it goes to
the device.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

Shape = tuple[int, ...]


@runtime_checkable
class Layout(Protocol):
    """One published tensor ↔ one or several of ours."""

    def load(self, array: np.ndarray, shapes: Sequence[Shape]) -> Sequence[np.ndarray]:
        """Ours, from the published one.

        Args:
            array: the published tensor.
            shapes: of our tensors in the network, () where it has none; only what a layout cannot know otherwise is
                read from them (the number of heads), since the head may have another number of classes.

        Raises:
            ValueError: the tensor cannot have this layout.
        """
        ...

    def export(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The published one, from ours."""
        ...


@dataclasses.dataclass(frozen=True)
class Same:
    """As it is."""

    def load(self, array: np.ndarray, shapes: Sequence[Shape]) -> Sequence[np.ndarray]:
        """See `Layout`."""
        return [array]

    def export(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """See `Layout`."""
        return arrays[0]


@dataclasses.dataclass(frozen=True)
class Transposed:
    """Axes in another order.

    Attributes:
        axes: `numpy.transpose`'s, from the published tensor to ours.
    """

    axes: tuple[int, ...]

    def load(self, array: np.ndarray, shapes: Sequence[Shape]) -> Sequence[np.ndarray]:
        """See `Layout`."""
        return [array.transpose(self.axes)]

    def export(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """See `Layout`."""
        return arrays[0].transpose(np.argsort(self.axes))


@dataclasses.dataclass(frozen=True)
class Leading:
    """Ours has axes of length one in front that the published tensor lacks.

    Attributes:
        ones: how many.
        inner: layout of the rest.
    """

    ones: int
    inner: Layout = dataclasses.field(default_factory=Same)

    def load(self, array: np.ndarray, shapes: Sequence[Shape]) -> Sequence[np.ndarray]:
        """See `Layout`."""
        lead = (1,) * self.ones
        return [part.reshape(lead + part.shape) for part in self.inner.load(array, shapes)]

    def export(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """See `Layout`."""
        return self.inner.export([array.reshape(array.shape[self.ones :]) for array in arrays])


@dataclasses.dataclass(frozen=True)
class Flattened:
    """A dense layer on a flattened picture: torch flattens (channel, h, w), we flatten (h, w, channel).

    (out, channel · h · w) → (h · w · channel, out).

    Attributes:
        height: of the picture.
        width: of the picture.
    """

    height: int
    width: int

    def load(self, array: np.ndarray, shapes: Sequence[Shape]) -> Sequence[np.ndarray]:
        """See `Layout`."""
        out, inputs = array.shape
        if inputs % (self.height * self.width):
            raise ValueError(f'{inputs} inputs are no multiple of {self.height}×{self.width} places')
        picture = array.reshape(out, -1, self.height, self.width)
        return [picture.transpose(2, 3, 1, 0).reshape(-1, out)]

    def export(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """See `Layout`."""
        out = arrays[0].shape[1]
        picture = arrays[0].reshape(self.height, self.width, -1, out)
        return picture.transpose(3, 2, 0, 1).reshape(out, -1)


@dataclasses.dataclass(frozen=True)
class Heads:
    """Projections into attention heads: fused rows q | k | v (or one alone) → kernels (dim, head, dim / head).

    A weight (parts · head · size, dim) becomes `parts` kernels (dim, head, size), a bias (parts · head · size,) becomes
    `parts` biases (head, size). The number of heads is that of the network.

    Attributes:
        transposed: whether the published weight is (in, out), as Flax stores it, instead of torch's (out, in).
    """

    transposed: bool = False

    def load(self, array: np.ndarray, shapes: Sequence[Shape]) -> Sequence[np.ndarray]:
        """See `Layout`."""
        if array.ndim not in (1, 2):
            raise ValueError('neither a weight nor a bias')
        heads = shapes[0][-2] if len(shapes[0]) >= 2 else 0
        array = array.T if self.transposed else array
        rows = len(array)
        if not heads or rows % (heads * len(shapes)):
            raise ValueError(f'{rows} rows cannot be {len(shapes)} × {heads} heads')
        parts = array.reshape(len(shapes), heads, -1, *array.shape[1:])
        return list(parts if array.ndim == 1 else parts.transpose(0, 3, 1, 2))

    def export(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """See `Layout`."""
        if arrays[0].ndim == 2:
            return np.concatenate([array.reshape(-1) for array in arrays])
        rows = np.concatenate([array.reshape(len(array), -1).T for array in arrays])
        return rows.T if self.transposed else rows


@dataclasses.dataclass(frozen=True)
class HeadsOut:
    """The projection out of attention heads: (dim, head · size) → (head, size, dim).

    Attributes:
        transposed: whether the published weight is (in, out), as Flax stores it, instead of torch's (out, in).
    """

    transposed: bool = False

    def load(self, array: np.ndarray, shapes: Sequence[Shape]) -> Sequence[np.ndarray]:
        """See `Layout`."""
        if array.ndim != 2:
            raise ValueError('no weight')
        array = array if self.transposed else array.T
        heads = shapes[0][0] if len(shapes[0]) == 3 else 0
        if not heads or len(array) % heads:
            raise ValueError(f'{len(array)} inputs cannot be {heads} heads')
        return [array.reshape(heads, -1, array.shape[1])]

    def export(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """See `Layout`."""
        flat = arrays[0].reshape(-1, arrays[0].shape[2])
        return flat if self.transposed else flat.T


SAME = Same()
# torch's Linear (out, in) and Conv2d (out, in / groups, h, w).
LINEAR = Transposed((1, 0))
CONV = Transposed((2, 3, 1, 0))
