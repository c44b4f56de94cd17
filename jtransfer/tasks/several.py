"""Measures what a network said, whatever its tasks are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
from jaxtyping import Float

from jtransfer.errors import UserError
from jtransfer.tasks.base import Task
from jtransfer.tasks.classification_metrics import Metrics
from jtransfer.tasks.door import ONLY
from jtransfer.tasks.labels import Labels
from jtransfer.tasks.measured import Measured
from jtransfer.tasks.multi_label_metrics import MultiLabelMetrics
from jtransfer.tasks.present import narrowed, present_tasks
from jtransfer.tasks.regression_metrics import RegressionMetrics

TaskMetrics: TypeAlias = Metrics | MultiLabelMetrics | RegressionMetrics


@dataclasses.dataclass(frozen=True)
class HeadsMetrics(Measured):
    """The evaluation of a network with several heads.

    Attributes:
        examples: how many examples were looked at; each task's own count is of those with a label for it.
        by_task: of each task, by its name.
        weights: of each task's loss among them, by its name.
        test_time_augmentation: the views of each picture that were averaged, see `Views.name`.
        absent: names of the other heads, for which no example has a label.
    """

    examples: int
    by_task: dict[str, TaskMetrics]
    weights: dict[str, float]
    test_time_augmentation: str = 'none'
    absent: tuple[str, ...] = ()

    percent: ClassVar[bool] = False

    @property
    def score(self) -> float:
        """What chooses a checkpoint: the mean of the tasks' scores."""
        return float(np.mean([metrics.score for metrics in self.by_task.values()]))

    @property
    def score_name(self) -> str:
        """What `score` is."""
        return 'mean score'

    @property
    def score_interval(self) -> None:
        """None: the mean of figures of different kinds has no interval."""
        return None

    @property
    def loss(self) -> float:
        """The sum of the tasks' losses, each times its weight; of regression in the numbers' own units."""
        return sum(self.weights[name] * metrics.loss for name, metrics in self.by_task.items())

    @property
    def confidence(self) -> float:
        """Level of the tasks' intervals."""
        return next(iter(self.by_task.values())).confidence

    def headline(self) -> str:
        """Every task's headline, in a line."""
        tasks = '; '.join(f'{name}: {metrics.headline()}' for name, metrics in self.by_task.items())
        return f'mean score {self.score:.3f} over {len(self.by_task)} tasks: {tasks}'

    def title(self) -> tuple[str, str]:
        """The mean score, and the scores."""
        scores = ', '.join(f'{name} {own.score:.3f}' for name, own in self.by_task.items())
        return f'{self.score_name} {self.score:.3f}', f'{scores}; {self.examples:,} images'

    def more(self) -> list[tuple[str, str]]:
        """Every task's headline."""
        return [(name, own.headline()) for name, own in self.by_task.items()]

    def validation(self) -> dict[str, float]:
        """The mean score, the loss, and the score of each task."""
        return {**super().validation(), **{f'score/{name}': own.score for name, own in self.by_task.items()}}

    def record(self) -> dict[str, Any]:
        """The figures of each task by its name."""
        return {'metrics': {name: own.to_dict() for name, own in self.by_task.items()}}

    def to_dict(self) -> dict[str, Any]:
        """Everything but what has a file of its own, as plain JSON values."""
        return {
            'score_name': self.score_name,
            'score': self.score,
            'loss': self.loss,
            'examples': self.examples,
            'tasks': {name: metrics.to_dict() for name, metrics in self.by_task.items()},
            'test_time_augmentation': self.test_time_augmentation,
            **({'absent': list(self.absent)} if self.absent else {}),
        }


AnyMetrics: TypeAlias = TaskMetrics | HeadsMetrics


def measure_present(
    tasks: Sequence[Task],
    outputs: Labels,
    labels: Labels,
    *,
    confidence: float = 0.95,
    bins: int = 15,
    thresholds: Mapping[str, Sequence[float]] | None = None,
) -> tuple[AnyMetrics, tuple[Task, ...], Labels, Labels]:
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

    def without(of_task: TaskMetrics, name: str) -> TaskMetrics:
        absent = tuple(output for output in whole[name] if output not in of_task.class_names)
        return of_task.with_absent(absent)

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
) -> TaskMetrics:
    """Measures the outputs of one head.

    Examples without a label for the task are left out, and counted as `unlabelled`.

    Args:
        task: what was to be learnt.
        outputs: logits; of regression, numbers in their own units: the caller has applied `task.scale` and
            `task.offset`.
        labels: in the task's form, see `Task`.
        confidence: level of the intervals, in (0, 1).
        bins: of the calibration error, for one label an image, ≥ 1.
        thresholds: for several labels an image: probability of each class from which on it is predicted. None: 0.5.

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
    metrics: TaskMetrics = task.measure(outputs, labels, confidence=confidence, bins=bins, thresholds=thresholds)
    return dataclasses.replace(metrics, unlabelled=left_out) if left_out else metrics


def measure_tasks(
    tasks: Sequence[Task],
    outputs: Labels,
    labels: Labels,
    *,
    confidence: float = 0.95,
    bins: int = 15,
    thresholds: Mapping[str, Sequence[float]] | None = None,
) -> AnyMetrics:
    """Measures every head of a network: `HeadsMetrics` where tasks have names, else as `measure`.

    Args:
        tasks: of the network.
        outputs: by task, see `measure`.
        labels: by task.
        confidence: level of the intervals, in (0, 1).
        bins: of the calibration error.
        thresholds: of tasks with several labels an image, by name ('' for the only one); see `measure`.

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
    examples = len(outputs[tasks[0].name])
    return HeadsMetrics(examples, by_task, {task.name: task.weight for task in tasks})
