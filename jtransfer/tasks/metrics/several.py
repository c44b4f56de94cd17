"""Measures what a network said, whatever its tasks are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jtransfer.errors import UserError
from jtransfer.tasks.base import Task
from jtransfer.tasks.door import ONLY
from jtransfer.tasks.labels import Labels
from jtransfer.tasks.metrics.added import added_figures
from jtransfer.tasks.metrics.figure import Figure
from jtransfer.tasks.metrics.measured import Measured
from jtransfer.tasks.present import narrowed, present_tasks

MEAN_SCORE = Figure('mean score', None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadsMetrics(Measured):
    """The evaluation of a network with several heads; each task's own `examples` are those with a label for it.

    Its `loss` is the sum of the tasks' losses, each times its weight; of regression in the numbers' own units.

    Attributes:
        by_task: of each task, by its name.
        weights: of each task's loss among them, by its name.
    """

    by_task: dict[str, Measured]
    weights: dict[str, float]

    @property
    def score_figure(self) -> Figure:
        """The mean of the tasks' scores; that of figures of different kinds has no interval."""
        mean = float(np.mean([metrics.score for metrics in self.by_task.values()]))
        note = f'mean of the scores of {len(self.by_task)} tasks'
        return dataclasses.replace(MEAN_SCORE, value=mean, confidence=self.confidence, note=note)

    def of_tasks(self) -> dict[str, Measured]:
        """The metrics of each task by its name."""
        return self.by_task

    def headline(self) -> str:
        """Every task's headline, in a line."""
        tasks = '; '.join(f'{name}: {metrics.headline()}' for name, metrics in self.by_task.items())
        return f'mean score {self.score:.3f} over {len(self.by_task)} tasks: {tasks}'

    def title(self) -> tuple[str, str]:
        """The mean score, and the scores."""
        scores = ', '.join(f'{name} {own.score:.3f}' for name, own in self.by_task.items())
        return f'{self.score_name} {self.score:.3f}', f'{scores}; {self.examples:,} examples'

    def more(self) -> list[tuple[str, str]]:
        """Every task's headline."""
        return [(name, own.headline()) for name, own in self.by_task.items()]

    def validation(self) -> dict[str, float]:
        """The mean score, the loss, and the score of each task."""
        return {**super().validation(), **{f'score/{name}': own.score for name, own in self.by_task.items()}}

    def to_dict(self) -> dict[str, Any]:
        """Everything but what has a file of its own, as plain JSON values."""
        return {
            **self.record(),
            'tasks': {name: metrics.to_dict() for name, metrics in self.by_task.items()},
            'test_time_augmentation': self.test_time_augmentation,
            **({'absent': list(self.absent)} if self.absent else {}),
        }


def score_of(tasks: Sequence[Task]) -> Figure:
    """What the score of a network is called, and its unit, before anything is measured."""
    alone = len(tasks) == 1 and not tasks[0].name
    return tasks[0].score if alone else MEAN_SCORE


def measure_present(
    tasks: Sequence[Task],
    outputs: Labels,
    labels: Labels,
    *,
    confidence: float = 0.95,
    bins: int = 15,
    thresholds: Mapping[str, Sequence[float]] | None = None,
) -> tuple[Measured, tuple[Task, ...], Labels, Labels]:
    """As `measure_tasks`, of the heads and outputs for which any example has a label; the others are named as absent.

    Returns:
        The metrics, and the tasks, outputs and labels that they are of.
    """
    found = present_tasks(tasks, labels)
    own, outputs, labels = tuple(each.task for each in found), narrowed(outputs, found), narrowed(labels, found)
    limits = dict(thresholds or {})
    for each in found:
        if each.columns is not None and each.task.name in limits:
            limits[each.task.name] = [limits[each.task.name][index] for index in each.columns]
    metrics = measure_tasks(own, outputs, labels, confidence=confidence, bins=bins, thresholds=limits)
    whole = {task.name: task.class_names for task in tasks}

    def without(of_task: Measured, name: str) -> Measured:
        (present,) = (task.class_names for task in own if task.name == name)
        return of_task.with_absent(tuple(output for output in whole[name] if output not in present))

    if not isinstance(metrics, HeadsMetrics):
        return without(metrics, own[0].name), own, outputs, labels
    by_task = {name: without(of_task, name) for name, of_task in metrics.by_task.items()}
    absent = tuple(name for name in whole if name not in by_task)
    return dataclasses.replace(metrics, by_task=by_task, absent=absent), own, outputs, labels


def measure(
    task: Task,
    outputs: Float[np.ndarray, 'example outputs'],
    labels: np.ndarray,
    *,
    confidence: float = 0.95,
    bins: int = 15,
    thresholds: Sequence[float] | None = None,
) -> Measured:
    """Measures the outputs of one head.

    Examples without a label for the task are left out, and counted as `unlabelled`.

    Args:
        task: what was to be learnt.
        outputs: logits; of regression, numbers in their own units: the caller has applied `task.scale` and
            `task.offset`.
        labels: in the task's form, see `Task`.
        confidence: level of the intervals, in (0, 1).
        bins: of the calibration error, for one label an example, ≥ 1.
        thresholds: for several labels an example: probability of each class from which on it is predicted. None: 0.5.

    Raises:
        UserError: no example has a label, or what the measures of the kind refuse.
    """
    outputs, labels = np.asarray(outputs), np.asarray(labels)
    if len(outputs) != len(labels):
        raise UserError(f'{len(outputs)} outputs for {len(labels)} labels')
    keep = task.labelled(labels)
    if len(keep) and not keep.any():
        raise UserError(f'none of the {len(keep)} examples has a label{f" for {task.name}" if task.name else ""}')
    left_out = int((~keep).sum())
    if left_out:
        outputs, labels = outputs[keep], labels[keep]
    metrics: Measured = task.measure(outputs, labels, confidence=confidence, bins=bins, thresholds=thresholds)
    added = added_figures(task, outputs, labels)
    return dataclasses.replace(metrics, unlabelled=left_out, added=added) if left_out or added else metrics


def measure_tasks(
    tasks: Sequence[Task],
    outputs: Labels,
    labels: Labels,
    *,
    confidence: float = 0.95,
    bins: int = 15,
    thresholds: Mapping[str, Sequence[float]] | None = None,
) -> Measured:
    """Measures every head of a network: `HeadsMetrics` where tasks have names, else as `measure`.

    Args:
        tasks: of the network.
        outputs: by task, see `measure`.
        labels: by task.
        confidence: level of the intervals, in (0, 1).
        bins: of the calibration error.
        thresholds: of tasks with several labels an example, by name ('' for the only one); see `measure`.

    Raises:
        UserError: what `measure` refuses, with the task's name; outputs or labels of another form than the tasks.
    """
    given = thresholds or {}
    names = {task.name for task in tasks}
    if set(outputs) != names or set(labels) != names:
        raise UserError(f'outputs are of {", ".join(outputs)}, tasks are {", ".join(task.name for task in tasks)}')
    if names == {ONLY}:
        (task,) = tasks
        return measure(task, outputs[ONLY], labels[ONLY], confidence=confidence, bins=bins, thresholds=given.get(ONLY))
    by_task = {}
    for task in tasks:
        try:
            by_task[task.name] = measure(
                task,
                outputs[task.name],
                labels[task.name],
                confidence=confidence,
                bins=bins,
                thresholds=given.get(task.name),
            )
        except UserError as error:
            raise UserError(f"task '{task.name}': {error}") from None
    weights = {task.name: task.weight for task in tasks}
    return HeadsMetrics(
        examples=len(outputs[tasks[0].name]),
        loss=sum(weights[name] * metrics.loss for name, metrics in by_task.items()),
        confidence=confidence,
        by_task=by_task,
        weights=weights,
    )
