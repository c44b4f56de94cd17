"""A source that somebody made, under the contract of those inside: labels by task."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from jtransfer.tasks.door import by_task, is_by_task
from jtransfer.tasks.labels import Labels, take

if TYPE_CHECKING:
    from jtransfer.data.source import Example, Source


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
    """A source whose labels are an array, with labels by task; has whatever else the source has.

    Attributes:
        source: as it was given.
    """

    source: Source

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of all classes, in label order."""
        return tuple(map(str, self.source.class_names))

    @functools.cached_property
    def labels(self) -> Labels:
        """Of every example, by task."""
        return by_task(self.source.labels)

    @functools.cached_property
    def ids(self) -> Sequence[str]:
        """Name of every example."""
        return tuple(map(str, self.source.ids))

    def __getattr__(self, name: str) -> Any:
        """What a source may have beside these."""
        # An object that is being unpickled has no source yet.
        if name == 'source' or name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.source, name)

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        """Decodes the example at an index."""
        own = {name: value for name, value in self.source[index].items() if name != 'label'}
        return cast('Example', {**own, 'labels': take(self.labels, index)})


def opened(source: Source) -> Source:
    """The source with labels by task: itself where they are."""
    return source if is_by_task(source.labels) else Given(source)
