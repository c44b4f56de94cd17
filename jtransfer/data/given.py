"""A source that somebody made, under the contract of those inside: every attribute, and labels by task."""

from __future__ import annotations

from typing import cast

import numpy as np
from jaxtyping import Float32

from jtransfer.data.source import Example, Source, SourceLike
from jtransfer.tasks.base import Task
from jtransfer.tasks.door import by_task, is_by_task
from jtransfer.tasks.labels import Labels, take

# What a source that is handed over may have, in the form that it has inside.
_AS_THEY_ARE = ('content', 'missing', 'unchosen', 'complete')


class Given(Source):
    """A source as it was given, with labels by task and a value for whatever it does not have.

    Attributes:
        source: as it was given.
    """

    class_names: tuple[str, ...]
    labels: Labels
    ids: tuple[str, ...]
    tasks: tuple[Task, ...]
    groups: tuple[str, ...] | None
    weights: Float32[np.ndarray, ' n'] | None
    pixel_range: tuple[float, ...]
    notes: tuple[str, ...]

    def __init__(self, source: SourceLike) -> None:
        """Takes what the source knows; no image is decoded."""
        self.source = source
        self.class_names = tuple(map(str, source.class_names))
        self.labels = by_task(source.labels)
        self.ids = tuple(map(str, source.ids))
        if tasks := tuple(getattr(source, 'tasks', ())):
            self.tasks = tasks
        for name in _AS_THEY_ARE:
            if hasattr(source, name):
                setattr(self, name, getattr(source, name))
        groups, weights = getattr(source, 'groups', None), getattr(source, 'weights', None)
        self.groups = None if groups is None else tuple(map(str, groups))
        self.weights = None if weights is None else np.asarray(weights, np.float32)
        self.pixel_range = tuple(getattr(source, 'pixel_range', ()))
        self.notes = tuple(getattr(source, 'notes', ()))

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        """Decodes the example at an index."""
        own = {name: value for name, value in self.source[index].items() if name != 'label'}
        return cast('Example', {**own, 'labels': take(self.labels, index)})


def opened(source: SourceLike) -> Source:
    """The source as it is inside: itself where it is a `Source` with labels by task."""
    return source if isinstance(source, Source) and is_by_task(source.labels) else Given(source)
