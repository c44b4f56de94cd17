"""Whether a part has what its figures are made of: found before training, where the evaluation would stop after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jtransfer.data.part import Part
from jtransfer.data.parts import Parts
from jtransfer.tasks.base import Task
from jtransfer.tasks.labels import Labels
from jtransfer.tasks.present import narrowed, present_tasks
from jtransfer.text.outside import first_few, printable


def check_parts(parts: Parts) -> None:
    """Raises `UserError` for a part that nothing can be learnt from, chosen by or measured on; see `check_part`."""
    for name, part in _named(parts):
        check_part(part, name)


def check_part(part: Part, name: str) -> None:
    """Checks that a part has a label for every task, and a positive one where an image may have several labels.

    Args:
        part: whose labels are looked at; no image is decoded.
        name: of the part, in the error.

    Raises:
        UserError: no example has a label for a task, or none has any of several labels: there is no figure to give.
    """
    for task in part.tasks:
        check_labels(task, part.labels, f'the {name} part')


def check_labels(task: Task, labels: Labels, where: str) -> None:
    """The same for the labels of one task; `where` says in the error which examples they are of."""
    task.check_measurable(labels[task.name], where)


def without_figure(parts: Parts) -> list[str]:
    """A line about each part to choose by or to test on that lacks some classes: these have no figure of their own."""
    lines = []
    for name, part in _named(parts):
        for task in part.tasks:
            lines += task.remarks(part.labels[task.name], f'the {name} part')
        for task in part.tasks if name != 'train' else ():
            if missing := missing_classes(task, part.labels):
                lines.append(missing_line(f'the {name} part', task, missing))
    return lines


def absent_lines(tasks: Sequence[Task], labels: Labels, where: str) -> list[str]:
    """A line about everything that a network has outputs for and `where` no labels of: it has no figure of its own."""
    there = {each.task.name: each for each in present_tasks(tasks, labels)}
    lines = []
    for task in tasks:
        if task.name not in there:
            lines.append(f"{where} has no labels for the head '{task.name}': it has no figure of its own")
            continue
        own = there[task.name]
        of = f' of {task.name}' if task.name else ''
        if without := [name for name in task.class_names if name not in own.task.class_names]:
            lines.append(
                f'{where} has no labels for {len(without)} of the {task.outputs} outputs{of} ({first_few(without)}): '
                'no figures of their own'
            )
        lines += own.task.remarks(narrowed(labels, [own])[task.name], where)
        if missing := missing_classes(own.task, narrowed(labels, [own])):
            lines.append(missing_line(where, own.task, missing))
    return lines


def missing_classes(task: Task, labels: Labels) -> tuple[str, ...]:
    """The classes of a task that no example has; none of numbers."""
    counts = task.counts(labels[task.name])
    return () if counts is None else tuple(task.class_names[index] for index in np.flatnonzero(counts == 0))


def missing_line(where: str, task: Task, missing: Sequence[str]) -> str:
    """Says which classes have no figure of their own, and why."""
    of = f' of {task.name}' if task.name else ''
    if len(missing) == 1:
        return f"{where} has no example of the class '{printable(missing[0])}'{of}: it has no figure of its own"
    classes = f'{len(missing)} of the {len(task.class_names)} classes{of} ({first_few(missing)})'
    return f'{where} has no example of {classes}: they have no figures of their own'


def _named(parts: Parts) -> Iterator[tuple[str, Part]]:
    named: Mapping[str, Part | None] = {'train': parts.train, 'validation': parts.validation, 'test': parts.test}
    return ((name, part) for name, part in named.items() if part is not None)
