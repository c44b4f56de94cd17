"""Figures that somebody adds to the metrics of a kind of task."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jtransfer.errors import UserError
from jtransfer.tasks.base import Task, task_class
from jtransfer.tasks.metrics.figure import INDEX, Figure
from jtransfer.text.outside import printable

# Of a task, outputs and labels of examples that all have one; None where the figure is undefined.
Measure = Callable[[Task, np.ndarray, np.ndarray], float | None]

_ADDED: dict[str, dict[str, tuple[Measure, str]]] = {}


def add_figure(kind: str, name: str, measure: Measure, *, unit: str = INDEX) -> None:
    """Adds a figure to whatever is measured of tasks of a kind.

    It is on the pages, in the records as `figures`, and in the log of every validation; which checkpoint is the best,
    the score alone decides. Call it before anything is measured, in every process.

    >>> add_figure('single_label', 'ants', lambda task, outputs, labels: (labels == 0).mean())  # doctest: +SKIP

    Args:
        kind: of the tasks, one of `tasks.kinds()`.
        name: in small letters.
        measure: from the task, the outputs [n, outputs] (logits; of regression, numbers in their own units;
            `task.predict` makes probabilities of them) and the labels in the task's form, of examples that all have
            one, to the value, or None.
        unit: `share`, `index`, `count` or `number`, or a unit that is told behind the number, see `Figure`.

    Raises:
        UserError: no such kind, or another figure of this name.
    """
    task_class(kind)
    added = _ADDED.setdefault(kind, {})
    if not name or added.get(name, (measure, unit)) != (measure, unit):
        raise UserError(f"there is a figure '{printable(name)}' of {kind} already; give the new one another name")
    added[name] = (measure, unit)


def added_figures(task: Task, outputs: np.ndarray, labels: np.ndarray) -> tuple[Figure, ...]:
    """The figures that were added to the kind of a task."""
    added = _ADDED.get(task.kind, {}).items()
    return tuple(Figure(name, measure(task, outputs, labels), unit) for name, (measure, unit) in added)
