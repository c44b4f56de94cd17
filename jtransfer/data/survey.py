"""Facts about a data set, before anything is trained on it: counts, sizes, modes, unreadable and missing files."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jtransfer.data.decode.images import UnreadableImageError, kind_of
from jtransfer.data.decode.narrow import Narrow, narrow_in
from jtransfer.data.source import Source
from jtransfer.inputs.image import IMAGE
from jtransfer.inputs.prepare import field_of
from jtransfer.tasks.base import Task, labelled
from jtransfer.tasks.labels import count

Progress = Callable[[int, int], None]
IN_MEMORY = 'array'
_Look = tuple[tuple[int, int], str, Narrow | None]


@dataclasses.dataclass(frozen=True)
class PartSurvey:
    """Facts about one part.

    Attributes:
        examples: how many there are.
        counts: of every task, by its name, the examples of every class by its name; of numbers, `numbers`.
        unlabelled: of every task, the examples without a label.
        numbers: of every regression task, least, mean, standard deviation and largest of every number.
        widths: least, median and largest width of the readable pictures, pixels.
        heights: the same of their heights.
        aspects: the same of width / height.
        modes: pictures of every kind, `JPEG RGB`, `PNG RGBA`, …
        unreadable: ids of pictures that cannot be decoded, each with the reason.
        narrow: pictures of 16 bits that use a sliver of their range, by id.
        groups: how many groups there are; 0 where the source has none.
        weights: least and largest weight of an example; None where the source has none.
    """

    examples: int
    counts: dict[str, dict[str, int]]
    unlabelled: dict[str, int]
    numbers: dict[str, dict[str, tuple[float, float, float, float]]]
    widths: tuple[int, float, int]
    heights: tuple[int, float, int]
    aspects: tuple[float, float, float]
    modes: dict[str, int]
    unreadable: tuple[tuple[str, str], ...]
    narrow: dict[str, Narrow]
    groups: int
    weights: tuple[float, float] | None

    @property
    def imbalance(self) -> dict[str, float]:
        """Of every task with classes, examples of the largest one for each of the smallest that has any."""
        present = {task: [number for number in of.values() if number] for task, of in self.counts.items()}
        return {task: max(numbers) / min(numbers) for task, numbers in present.items() if numbers}


def survey_part(source: Source, *, workers: int = 0, progress: Progress | None = None) -> PartSurvey:
    """Decodes every picture of a source once and says what it found.

    Args:
        source: a source or a part.
        workers: decoding threads. 0: the calling thread alone.
        progress: called with (pictures done, pictures in all).

    Returns:
        The facts; sides of 0 where no picture can be read.
    """
    tasks, labels, ids = source.tasks, source.labels, source.ids
    total = count(labels)
    sides: list[tuple[int, int]] = []
    modes: collections.Counter[str] = collections.Counter()
    unreadable: list[tuple[str, str]] = []
    narrow: dict[str, Narrow] = {}
    for index, found in enumerate(_looks(source, total, workers)):
        if isinstance(found, str):
            unreadable.append((ids[index], found))
        else:
            sides.append(found[0])
            modes[found[1]] += 1
            if found[2] is not None:
                narrow[ids[index]] = found[2]
        if progress:
            progress(index + 1, total)
    return PartSurvey(
        examples=total,
        counts={task.name: _counts(task, labels[task.name]) for task in tasks if task.has_classes},
        unlabelled={task.name: int((~labelled(labels[task.name])).sum()) for task in tasks},
        numbers={task.name: _numbers(task, labels[task.name]) for task in tasks if not task.has_classes},
        widths=_spread([width for width, _ in sides]),
        heights=_spread([height for _, height in sides]),
        aspects=_spread([width / height for width, height in sides]),
        modes=dict(modes.most_common()),
        unreadable=tuple(unreadable),
        narrow=narrow,
        groups=0 if source.groups is None else len(set(source.groups)),
        weights=_range(source.weights),
    )


def to_dict(survey: Mapping[str, PartSurvey]) -> dict[str, Any]:
    """The facts about all parts as JSON values."""
    return {part: {**dataclasses.asdict(facts), 'imbalance': facts.imbalance} for part, facts in survey.items()}


def _looks(source: Source, total: int, workers: int) -> Iterator[_Look | str]:
    """What `_look` says of every picture, in order."""

    def look(index: int) -> _Look | str:
        return _look(source, index)

    if workers < 2:
        yield from map(look, range(total))
        return
    with ThreadPoolExecutor(workers) as pool:
        # A limited number at a time: who interrupts this waits for those alone.
        for start in range(0, total, 32 * workers):
            yield from pool.map(look, range(start, min(start + 32 * workers, total)))


def _look(source: Source, index: int) -> _Look | str:
    """Width and height of a picture as it is seen, its kind and what was noticed; or why it cannot be read."""
    try:
        example = source[index]
    except UnreadableImageError as error:
        return str(error)
    height, width = field_of(example, IMAGE, 'the survey').shape[:2]
    kind = IN_MEMORY if source.content is None else kind_of(source.content(index))
    return (width, height), kind, narrow_in(example)


def _counts(task: Task, labels: np.ndarray) -> dict[str, int]:
    numbers = task.counts(labels)
    assert numbers is not None  # of a task with classes
    return {name: int(number) for name, number in zip(task.class_names, numbers, strict=True)}


def _numbers(task: Task, labels: np.ndarray) -> dict[str, tuple[float, float, float, float]]:
    known = labels[labelled(labels)].astype(np.float64)
    if not len(known):
        return {}
    rows = zip(known.min(axis=0), known.mean(axis=0), known.std(axis=0), known.max(axis=0), strict=True)
    return {
        name: (float(low), float(mean), float(deviation), float(high))
        for name, (low, mean, deviation, high) in zip(task.class_names, rows, strict=True)
    }


def _spread(values: Sequence[Any]) -> Any:
    return (min(values), float(np.median(values)), max(values)) if values else (0, 0.0, 0)


def _range(weights: Any) -> tuple[float, float] | None:
    return None if weights is None or not len(weights) else (float(np.min(weights)), float(np.max(weights)))
