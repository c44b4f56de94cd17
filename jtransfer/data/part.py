"""Some examples of a source: the training, validation or test part, or one side of a fold."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Int64

from jtransfer.data.derived import Derived
from jtransfer.data.source import Example
from jtransfer.tasks.labels import Labels, take


@dataclasses.dataclass(frozen=True, eq=False)
class Part(Derived):
    """Some examples of a source, by index; itself a `Source`.

    Attributes:
        indices: which of the source's examples, in order.
    """

    indices: Int64[np.ndarray, ' n']

    @functools.cached_property
    def labels(self) -> Labels:
        """The labels of every example by task: class numbers, or whatever the task has."""
        return take(self.source.labels, self.indices)

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        """Name of every example."""
        ids = self.source.ids
        return tuple(ids[i] for i in self.indices)

    @functools.cached_property
    def groups(self) -> tuple[str, ...] | None:
        """The group of every example, where the source has groups."""
        groups = self.source.groups
        return None if groups is None else tuple(groups[i] for i in self.indices)

    @functools.cached_property
    def weights(self) -> Float32[np.ndarray, ' n'] | None:
        """How much every example counts in the training loss, where the source says so."""
        weights = self.source.weights
        return None if weights is None else weights[self.indices]

    @functools.cached_property
    def content(self) -> Callable[[int], bytes] | None:
        """From an index to the encoded bytes of the example, where the source has them."""
        return None if self.source.content is None else self._content

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        """Decodes the example at an index."""
        return self.source[int(self.indices[index])]

    def _content(self, index: int) -> bytes:
        content = self.source.content
        assert content is not None  # or nobody has this
        return content(int(self.indices[index]))
