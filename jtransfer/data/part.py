"""Some examples of a source: the training, validation or test part, or one side of a fold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32, Int64

from jtransfer.data.given import opened
from jtransfer.data.source import Example, Source
from jtransfer.tasks.base import Task
from jtransfer.tasks.labels import Labels, take, tasks_of


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Some examples of a source, by index; itself a `Source`.

    Attributes:
        source: where the examples come from.
        indices: which of them, in order.
    """

    source: Source
    indices: Int64[np.ndarray, ' n']

    def __post_init__(self) -> None:
        """Takes a source that was handed over, too."""
        object.__setattr__(self, 'source', opened(self.source))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of all classes, in label order."""
        return self.source.class_names

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What the labels are of."""
        return tasks_of(self.source)

    @property
    def labels(self) -> Labels:
        """The labels of every example by task: class numbers, or whatever the task has."""
        return take(self.source.labels, self.indices)

    @property
    def ids(self) -> tuple[str, ...]:
        """Name of every example."""
        ids = self.source.ids
        return tuple(ids[i] for i in self.indices)

    @property
    def groups(self) -> tuple[str, ...] | None:
        """The group of every example, where the source has groups."""
        groups: Sequence[str] | None = getattr(self.source, 'groups', None)
        return None if groups is None else tuple(groups[i] for i in self.indices)

    @property
    def weights(self) -> Float32[np.ndarray, ' n'] | None:
        """How much every example counts in the training loss, where the source says so."""
        weights = getattr(self.source, 'weights', None)
        return None if weights is None else np.asarray(weights, np.float32)[self.indices]

    @property
    def content(self) -> Callable[[int], bytes] | None:
        """From an index to the encoded bytes of the example, where the source has them."""
        content: Callable[[int], bytes] | None = getattr(self.source, 'content', None)
        return None if content is None else lambda index: content(int(self.indices[index]))

    @property
    def pixel_range(self) -> tuple[float, ...]:
        """What `content` is decoded with, see `data.pixel_range`."""
        return pixel_range_of(self.source)

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines about how the source was read that a person should know."""
        return tuple(getattr(self.source, 'notes', ()))

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        """Decodes the example at an index."""
        return self.source[int(self.indices[index])]


def pixel_range_of(source: Source) -> tuple[float, ...]:
    """The values that are black and white in a source's grey images of more than 8 bits, where they had to be said."""
    return tuple(getattr(source, 'pixel_range', ()))
