"""What a source of labelled images is, and the checks that hold for every one of them.

What a source *may* have besides what `Source` demands, as attributes:

- `tasks`: a tuple of `jtransfer.tasks.Task`, where it is anything but one class an image. Labels then have the tasks'
  form.
- `groups`: a name an example (patient, scene, video); what has the same one is never divided by a split.
- `weights`: float32 [n], ≥ 0: how much each example counts in the training loss.
- `notes`: lines about how it was read that a person should know (what its columns were taken for, what was left out).
- `content(index)`: the encoded bytes of an example, by which a cache knows it again.
- `pixel_range`: what `content` is decoded with besides, see `data.pixel_range`.

A source that somebody hands over may have an array of labels where there is but one task; `data.given.opened` makes
one with labels by task of it, as all others have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NotRequired, Protocol, TypedDict, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from jtransfer.data.decode.narrow import Narrow
from jtransfer.data.sources.class_names import check_names
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task
from jtransfer.tasks.labels import Labels, check_labels, tasks_of


class Example(TypedDict):
    """One labelled image.

    Attributes:
        image: RGB picture, uint8, height x width x 3.
        id: name of the example, unique and stable in its source.
        labels: by task, a class number or floating numbers [outputs].
        label: what a source that somebody hands over has instead of these; nobody reads it.
        narrow: what was noticed of an image of 16 bits that uses a sliver of its range.
    """

    image: UInt8[np.ndarray, 'h w 3']
    id: str
    labels: NotRequired[dict[str, Any]]
    label: NotRequired[Any]
    narrow: NotRequired[Narrow | None]


@runtime_checkable
class Source(Protocol):
    """Labelled images by index; the labels are known without decoding an image.

    Indexing must be safe from several threads, and the source picklable where it is to be streamed by processes.

    Attributes:
        class_names: of all classes, in label order.
        labels: of every example, by the name of the task, '' of the only one: class numbers; of other tasks see above.
        ids: name of every example.
    """

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def labels(self) -> Any: ...

    @property
    def ids(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


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
    stated, labels = getattr(source, 'tasks', ()), source.labels
    plain = not stated or (not stated[0].name and stated[0].exclusive)
    classes = len(source.class_names)
    if plain and classes < (2 if every_class else 1):
        only = f" ('{source.class_names[0]}')" if classes else ''
        raise UserError(f'{name} has {classes} class{only}: at least 2 are needed to train a classifier')
    tasks = tasks_of(source)
    for task in tasks:
        # A published network may call two of its classes alike (ImageNet has two cranes); data that do are ambiguous.
        check_names(task.class_names, f'{name}, {task.name}' if task.name else name)
    if not len(source.ids):
        raise UserError(f'{name} has no examples')
    check_labels(labels, tasks, source.ids, name)
    for field in ('groups', 'weights'):
        values = getattr(source, field, None)
        if values is not None and len(values) != len(source.ids):
            raise UserError(f'{name}: {len(values)} {field} for {len(source.ids)} examples')
        if values is not None and field == 'weights':
            _check_weights(np.asarray(values), source.ids, name)
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
