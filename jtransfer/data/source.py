"""What a source of labelled images is: the base class of all, and the checks that hold for every one of them.

An example is a mapping of the fields that networks read (`image`: RGB, uint8, height × width × 3), with its `id`,
unique and stable in its source, and its `labels` by task, a class number or floating numbers [outputs]; a source that
somebody hands over may leave the labels out, which are taken from the source's. `narrow` is what was noticed of an
image of 16 bits that uses a sliver of its range.

A source that somebody hands over may be of any class that has as much as `SourceLike`; `data.given.opened` makes a
`Source` of it, so that whatever is inside the library has every attribute.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from jtransfer.data.sources.class_names import check_names
from jtransfer.errors import UserError
from jtransfer.inputs.prepare import Example as Example
from jtransfer.tasks.base import Task, single_label
from jtransfer.tasks.labels import Labels, check_labels


@runtime_checkable
class SourceLike(Protocol):
    """As much as a source that is handed over must have; whatever else a `Source` has, it may have.

    Attributes:
        class_names: of all classes, in label order.
        labels: of every example, by the name of the task; or an array of those of the only task.
        ids: name of every example.
    """

    @property
    def class_names(self) -> Sequence[str]: ...

    @property
    def labels(self) -> Any: ...

    @property
    def ids(self) -> Sequence[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


class Source(abc.ABC):
    """Labelled images by index; the labels are known without decoding an image.

    A class of sources sets `class_names`, `labels` and `ids` (`self.ids = …`) and says what the example at an index is.
    What else it may set is here as it is of a source that says nothing of it. Indexing must be safe from several
    threads, and the source picklable where it is to be streamed by processes.
    """

    # Not computed once, but to be set: `cached_property` alone lets an object have a value of its own.

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """Of all classes (of the first task), in label order."""
        raise NotImplementedError(f'{type(self).__name__} sets no class_names')

    @functools.cached_property
    def labels(self) -> Labels:
        """Of every example, by the name of the task, '' of the only one, in the form that the task has."""
        raise NotImplementedError(f'{type(self).__name__} sets no labels')

    @functools.cached_property
    def ids(self) -> Sequence[str]:
        """Name of every example."""
        raise NotImplementedError(f'{type(self).__name__} sets no ids')

    @functools.cached_property
    def tasks(self) -> tuple[Task, ...]:
        """What the labels are of: one class an image."""
        return (single_label(self.class_names),)

    @functools.cached_property
    def groups(self) -> Sequence[str] | None:
        """A name an example (patient, scene, video): what has the same one is never divided by a split."""
        return None

    @functools.cached_property
    def weights(self) -> Float32[np.ndarray, ' n'] | None:
        """How much each example counts in the training loss, ≥ 0."""
        return None

    @functools.cached_property
    def content(self) -> Callable[[int], bytes] | None:
        """From an index to the encoded bytes of the example, by which a cache knows it again."""
        return None

    @functools.cached_property
    def pixel_range(self) -> tuple[float, ...]:
        """What `content` is decoded with besides, see `data.pixel_range`."""
        return ()

    @functools.cached_property
    def notes(self) -> tuple[str, ...]:
        """Lines about how it was read that a person should know: what columns were taken for, what was left out."""
        return ()

    @functools.cached_property
    def missing(self) -> int:
        """How many examples were left out because their file is not there."""
        return 0

    @functools.cached_property
    def unchosen(self) -> int:
        """How many examples of other classes were left out (`data.classes`)."""
        return 0

    @functools.cached_property
    def complete(self) -> bool:
        """Whether an image has all labels that apply, so that a class which none has is known to be absent."""
        return False

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.ids)

    @abc.abstractmethod
    def __getitem__(self, index: int) -> Example:
        """Decodes the example at an index."""


def check_source(source: Source, name: str, every_class: bool = True) -> None:
    """Checks what every source must keep to.

    Args:
        source: labels, ids and class names are looked at, no image is decoded.
        name: names the source in errors.
        every_class: whether each class must have an example (training and undivided sources).

    Raises:
        UserError: fewer than two classes (none, unless each must have an example), two of one name, no example, a label
            outside the range, a class without examples.
    """
    classes = len(source.class_names)
    plain = not classes or (not source.tasks[0].name and source.tasks[0].exclusive)
    if plain and classes < (2 if every_class else 1):
        only = f" ('{source.class_names[0]}')" if classes else ''
        raise UserError(f'{name} has {classes} class{only}: at least 2 are needed to train a classifier')
    tasks, labels = source.tasks, source.labels
    for task in tasks:
        # A published network may call two of its classes alike (ImageNet has two cranes); data that do are ambiguous.
        check_names(task.class_names, f'{name}, {task.name}' if task.name else name)
    if not len(source.ids):
        raise UserError(f'{name} has no examples')
    check_labels(labels, tasks, source.ids, name)
    for field, values in (('groups', source.groups), ('weights', source.weights)):
        if values is not None and len(values) != len(source.ids):
            raise UserError(f'{name}: {len(values)} {field} for {len(source.ids)} examples')
    if source.weights is not None:
        _check_weights(source.weights, source.ids, name)
    if every_class:
        check_every_class(labels, tasks, name)


def check_every_class(labels: Labels, tasks: Sequence[Task], name: str) -> None:
    """Raises `UserError` that names the first class without an example."""
    for task in tasks:
        counts = task.counts(labels[task.name])
        empty = [] if counts is None else np.flatnonzero(counts == 0).tolist()
        if len(empty):
            more = f' (and {len(empty) - 1} more)' if len(empty) > 1 else ''
            of = f' of {task.name}' if task.name else ''
            raise UserError(f"{name}: class '{task.class_names[empty[0]]}'{of}{more} has no examples")


def _check_weights(weights: np.ndarray, ids: Sequence[str], name: str) -> None:
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise UserError(
            f'{name}: example {ids[wrong[0]]} has weight {weights[wrong[0]]}, but must have one of 0 or more'
        )
    if not weights.any():
        raise UserError(f'{name}: the weights of all examples are 0')
