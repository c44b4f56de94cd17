"""A source made of another one, which is as that one in whatever it does not say otherwise."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32

from jtransfer.data.given import opened
from jtransfer.data.source import Example, Source
from jtransfer.tasks.base import Task
from jtransfer.tasks.labels import Labels


@dataclasses.dataclass(frozen=True, eq=False)
class Derived(Source):
    """The examples of another source, as it has them.

    How many files are missing and how many examples were not chosen is not passed on: of several parts of one source,
    each would count them.

    Attributes:
        source: where the examples come from.
    """

    source: Source

    def __post_init__(self) -> None:
        """Takes a source that was handed over, too."""
        object.__setattr__(self, 'source', opened(self.source))

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """Of all classes, in label order."""
        return self.source.class_names

    @functools.cached_property
    def tasks(self) -> tuple[Task, ...]:
        """What the labels are of."""
        return self.source.tasks

    @functools.cached_property
    def labels(self) -> Labels:
        """The labels of every example, by task."""
        return self.source.labels

    @functools.cached_property
    def ids(self) -> Sequence[str]:
        """Name of every example."""
        return self.source.ids

    @functools.cached_property
    def groups(self) -> Sequence[str] | None:
        """The group of every example, where the source has groups."""
        return self.source.groups

    @functools.cached_property
    def weights(self) -> Float32[np.ndarray, ' n'] | None:
        """How much every example counts in the training loss, where the source says so."""
        return self.source.weights

    @functools.cached_property
    def content(self) -> Callable[[int], bytes] | None:
        """From an index to the encoded bytes of the example, where the source has them."""
        return self.source.content

    @functools.cached_property
    def pixel_range(self) -> tuple[float, ...]:
        """What `content` is decoded with, see `data.pixel_range`."""
        return self.source.pixel_range

    @functools.cached_property
    def notes(self) -> tuple[str, ...]:
        """Lines about how the source was read that a person should know."""
        return self.source.notes

    @functools.cached_property
    def complete(self) -> bool:
        """Whether an image has all labels that apply."""
        return self.source.complete

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        """Decodes the example at an index."""
        return self.source[index]
