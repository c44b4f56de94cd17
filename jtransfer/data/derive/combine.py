"""Sources made of others: several in a row, some of the examples or classes, the same examples with other labels."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float32, Int, Int64

from jtransfer.checks import nearest
from jtransfer.data.derived import Derived
from jtransfer.data.given import opened
from jtransfer.data.part import Part
from jtransfer.data.source import Example, Source, SourceLike
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task
from jtransfer.tasks.labels import Labels, check_labels, count, take


@dataclasses.dataclass(frozen=True, eq=False)
class Combined(Source):
    """Examples of one source or of several, under tasks, labels and names of their own; itself a `Source`.

    Attributes:
        sources: where the examples come from.
        places: of every example the number of its source, and its index there.
        class_names: of all classes, in label order.
        labels: of every example, by task.
        ids: name of every example.
        tasks: what the labels are of.
        groups: of every example, or None.
        weights: how much every example counts in the training loss, or None.
    """

    sources: tuple[Source, ...]
    places: Int64[np.ndarray, 'n 2']
    # Fields without a value, where a source has one by default.
    class_names: tuple[str, ...] = dataclasses.field()
    labels: Labels = dataclasses.field()
    ids: tuple[str, ...] = dataclasses.field()
    tasks: tuple[Task, ...] = dataclasses.field()
    groups: tuple[str, ...] | None = dataclasses.field()
    weights: Float32[np.ndarray, ' n'] | None = dataclasses.field()

    @functools.cached_property
    def content(self) -> Callable[[int], bytes] | None:
        """From an index to the encoded bytes of the example, where every source has them and decodes them alike."""
        all_have_it = all(source.content is not None for source in self.sources)
        alike = len({source.pixel_range for source in self.sources}) == 1
        return self._content if all_have_it and alike else None

    @functools.cached_property
    def pixel_range(self) -> tuple[float, ...]:
        """What `content` is decoded with, see `data.pixel_range`."""
        return self.sources[0].pixel_range

    @functools.cached_property
    def notes(self) -> tuple[str, ...]:
        """Lines of the sources that a person should know."""
        return tuple(dict.fromkeys(line for source in self.sources for line in source.notes))

    @functools.cached_property
    def unchosen(self) -> int:
        """How many examples of the sources are left out, being of other classes."""
        inside = sum(source.unchosen for source in self.sources)
        return inside + sum(count(source.labels) for source in self.sources) - len(self)

    @functools.cached_property
    def missing(self) -> int:
        """How many files of the sources are not there."""
        return sum(source.missing for source in self.sources)

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.places)

    def __getitem__(self, index: int) -> Example:
        """Decodes the example at an index."""
        source, place = self.places[index].tolist()
        example: Example = self.sources[source][place]
        return {**example, 'labels': take(self.labels, index), 'id': self.ids[index]}

    def _content(self, index: int) -> bytes:
        source, place = self.places[index].tolist()
        content = self.sources[source].content
        assert content is not None  # or nobody has this
        return content(place)


@dataclasses.dataclass(frozen=True, eq=False)
class WithLabels(Derived):
    """The same examples with other labels; itself a `Source`.

    Attributes:
        labels: of every example, by task.
        others: the tasks that the labels are of, where they are not the source's.
    """

    labels: Labels = dataclasses.field()
    others: tuple[Task, ...] = ()
    complete = False

    def __post_init__(self) -> None:
        """Raises `UserError` for labels that the tasks cannot have."""
        super().__post_init__()
        check_labels(self.labels, self.tasks, self.ids, 'the other labels of a source')

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """Of all classes, in label order."""
        return self.tasks[0].class_names

    @functools.cached_property
    def tasks(self) -> tuple[Task, ...]:
        """What the labels are of."""
        return self.others or self.source.tasks

    def __getitem__(self, index: int) -> Example:
        """Decodes the example at an index."""
        return {**self.source[index], 'labels': take(self.labels, index)}


def concatenate(sources: Sequence[SourceLike], names: Sequence[str] | None = None) -> Source:
    """The examples of several sources, one source after another.

    With one label an image, the classes are those of all sources, united by name in the order in which they come up;
    the tasks must otherwise be the same. An id that two sources have becomes `NAME/ID` in both. Groups are kept where
    every source has them, and those of one name are one group. Weights are kept where a source has them, 1 in others.

    Args:
        sources: one or more.
        names: of the sources, for ids and errors, all different. None: `0`, `1`, …

    Raises:
        UserError: no source, tasks that cannot be joined, two sources of one name, or ids that are still the same under
            the names of their sources.
    """
    given = [opened(source) for source in sources]
    names = [str(number) for number in range(len(given))] if names is None else list(names)
    if not sources:
        raise UserError('there are no sources to put one after another')
    if len(names) != len(given) or len(set(names)) < len(names):
        raise UserError(f'{len(given)} sources need as many names, all different, unlike {", ".join(names)}')
    for source, name in zip(given, names, strict=True):
        check_labels(source.labels, source.tasks, source.ids, name)
    task, labels, class_names = _joined_labels(given, names)
    numbers = [np.full(len(source.ids), number) for number, source in enumerate(given)]
    places = np.stack([np.concatenate(numbers), np.concatenate([np.arange(len(n)) for n in numbers])], axis=1)
    groups = [source.groups for source in given]
    weights = [source.weights for source in given]
    weighed = [np.ones(len(n), np.float32) if w is None else w for w, n in zip(weights, numbers, strict=True)]
    return Combined(
        tuple(given),
        places,
        class_names,
        labels,
        _joined_ids(given, names),
        task,
        None if any(g is None for g in groups) else tuple(name for g in groups for name in g or ()),
        None if all(w is None for w in weights) else np.concatenate(weighed),
    )


def subset(source: SourceLike, indices: Int[np.ndarray, ' n'] | Sequence[int]) -> Part:
    """Some examples of a source, in the order given.

    Raises:
        UserError: an index outside the source, or one that comes twice.
    """
    source, chosen = opened(source), np.asarray(indices)
    if chosen.ndim != 1 or (len(chosen) and not np.issubdtype(chosen.dtype, np.integer)):
        raise UserError(f'indices are {chosen.dtype} {list(chosen.shape)}, but must be whole numbers [n]')
    chosen = chosen.astype(np.int64)
    size = count(source.labels)
    outside = chosen[(chosen < 0) | (chosen >= size)]
    if len(outside):
        raise UserError(f'index {outside[0]} is outside the source of {size} examples (0 to {size - 1})')
    values, counts = np.unique(chosen, return_counts=True)
    if (counts > 1).any():
        raise UserError(f'index {values[counts > 1][0]} comes {counts[counts > 1][0]} times: an example may come once')
    if isinstance(source, Part):  # a part of the source itself, however often it is divided
        return Part(source.source, source.indices[chosen])
    return Part(source, chosen)


def filter_examples(source: SourceLike, keep: Callable[[int], bool] | Bool[np.ndarray, ' n'] | Sequence[bool]) -> Part:
    """The examples to be kept, in their order.

    Args:
        source: no image is decoded.
        keep: from an index to whether to keep the example, or whether to keep each.

    Raises:
        UserError: a mask of another length, or of something but truth values.
    """
    source = opened(source)
    size = count(source.labels)
    if callable(keep):
        return subset(source, np.flatnonzero([bool(keep(index)) for index in range(size)]))
    mask = np.asarray(keep)
    if mask.dtype != bool or mask.shape != (size,):
        raise UserError(f'keep is {mask.dtype} {list(mask.shape)}, but must be bool [{size}], one for each example')
    return subset(source, np.flatnonzero(mask))


def filter_classes(source: SourceLike, classes: Sequence[str]) -> Source:
    """The source with these classes alone, in this order: they are numbered anew.

    With one label an image, the examples of other classes are left out. With several, all examples are kept, and the
    labels of other classes are left out.

    Args:
        source: no image is decoded.
        classes: their names, each once.

    Raises:
        UserError: a class that is not there (names the nearest), or comes twice; a source of numbers or of several
            heads; no example of any of the classes.
    """
    source = opened(source)
    tasks = source.tasks
    check_labels(source.labels, tasks, source.ids, 'data.classes')
    if len(tasks) > 1 or not tasks[0].has_classes:
        kinds = 'several heads' if len(tasks) > 1 else 'numbers'
        raise UserError(f'data.classes chooses among the classes of one task, and the labels are {kinds}: leave it out')
    known = {name: number for number, name in enumerate(tasks[0].class_names)}
    for name in classes:
        if name not in known:
            raise UserError(f"data.classes: there is no class '{name}'.{nearest(name, known)}")
    if len(set(classes)) < len(classes):
        raise UserError(f'data.classes={tuple(classes)} has one name twice')
    columns = [known[name] for name in classes]
    labels = source.labels[tasks[0].name]
    if labels.ndim == 1:
        renumbered = np.full(len(known) + 1, -1, np.int32)  # the last one for those without a label, -1
        renumbered[columns] = np.arange(len(columns))
        changed = renumbered[labels]
        kept = np.flatnonzero(changed >= 0)
        if not len(kept):
            raise UserError(f'data.classes={tuple(classes)}: there is no example of these classes')
    else:
        changed, kept = labels[:, columns], np.arange(len(labels), dtype=np.int64)
    ids, groups, weights = source.ids, source.groups, source.weights
    return Combined(
        (source,),
        np.stack([np.zeros(len(kept), np.int64), kept], axis=1),
        tuple(classes),
        {tasks[0].name: changed[kept]},
        tuple(ids[index] for index in kept.tolist()),
        (dataclasses.replace(tasks[0], class_names=tuple(classes)),),
        None if groups is None else tuple(groups[index] for index in kept.tolist()),
        None if weights is None else weights[kept],
    )


def _joined_labels(sources: Sequence[Source], names: Sequence[str]) -> tuple[tuple[Task, ...], Labels, tuple[str, ...]]:
    """Tasks, labels and class names of the sources together."""
    first = sources[0].tasks
    alone = len(first) == 1 and first[0].exclusive
    for source, name in zip(sources, names, strict=True):
        own = source.tasks
        if own != first and not (alone and len(own) == 1 and _classless(own[0]) == _classless(first[0])):
            raise UserError(
                f"the tasks of '{name}' ({_described(own)}) are not those of '{names[0]}' ({_described(first)}): only "
                'sources of the same tasks can be put together'
            )
    if not alone:
        joined = {task.name: np.concatenate([source.labels[task.name] for source in sources]) for task in first}
        return first, joined, tuple(sources[0].class_names)
    number: dict[str, int] = {}
    parts = []
    for source in sources:
        task = source.tasks[0]
        table = [number.setdefault(name, len(number)) for name in task.class_names]
        parts.append(np.array([*table, -1], np.int32)[source.labels[task.name]])
    task = dataclasses.replace(first[0], class_names=tuple(number))
    return (task,), {task.name: np.concatenate(parts)}, tuple(number)


def _joined_ids(sources: Sequence[Source], names: Sequence[str]) -> tuple[str, ...]:
    every = [tuple(source.ids) for source in sources]
    held = collections.Counter(name for ids in every for name in set(ids))
    joined = [
        f'{source}/{name}' if held[name] > 1 else name for source, ids in zip(names, every, strict=True) for name in ids
    ]
    if len(sources) > 1:
        twice = [name for name, times in collections.Counter(joined).items() if times > 1]
        if twice:
            raise UserError(f"{len(twice)} ids, such as '{twice[0]}', are of two examples: name the sources otherwise")
    return tuple(joined)


def _classless(task: Task) -> Task:
    return dataclasses.replace(task, class_names=('',))


def _described(tasks: Sequence[Task]) -> str:
    return ', '.join(f'{task.name + ": " if task.name else ""}{task.kind} of {task.outputs}' for task in tasks)
