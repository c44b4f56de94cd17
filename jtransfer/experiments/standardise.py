"""Numbers to be predicted are trained with mean 0 and standard deviation 1, and predicted in their own units.

What is subtracted and divided by comes from the training part alone, and becomes part of the task: whoever has the
model can put its outputs into the numbers' own units.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from jtransfer.data.measurable import check_parts
from jtransfer.data.part import Part
from jtransfer.data.parts import Parts
from jtransfer.data.targets import Labels, labelled, of_task
from jtransfer.pretrained.model import Model
from jtransfer.tasks import Task


def standardise(model: Model, parts: Parts) -> tuple[Model, Parts]:
    """The model with the scaling of its numbers, and the training and validation parts with scaled numbers.

    The scaling that a task has already stays: it came with a head that was kept. Without numbers to predict, all is as
    it was.

    Args:
        model: whose tasks are to be trained.
        parts: what on.

    Raises:
        UserError: a part that nothing can be learnt from, chosen by or measured on, see `check_parts`.
    """
    check_parts(parts)
    if not any(task.kind == 'regression' for task in model.tasks):
        return model, parts
    tasks = fit_scaling(model.tasks, parts.train.labels)
    validation = None if parts.validation is None else scaled_part(parts.validation, tasks)
    scaled = dataclasses.replace(parts, train=scaled_part(parts.train, tasks), validation=validation)
    return dataclasses.replace(model, tasks=tasks), scaled


def fit_scaling(tasks: Sequence[Task], labels: Labels) -> tuple[Task, ...]:
    """The tasks, those of regression with mean and standard deviation of their labels (1 where all are alike)."""
    result = []
    for task in tasks:
        if task.kind == 'regression' and not (task.offset or task.scale):
            values = of_task(labels, task).astype(np.float64)
            values = values[labelled(values)]
            deviation = values.std(axis=0)
            scale = np.where(deviation > 0, deviation, 1.0)
            task = dataclasses.replace(task, offset=tuple(values.mean(axis=0).tolist()), scale=tuple(scale.tolist()))
        result.append(task)
    return tuple(result)


def own_units(tasks: Sequence[Task], outputs: Labels) -> Labels:
    """A network's outputs, those of regression in the numbers' own units.

    Args:
        tasks: of the network, with their scaling.
        outputs: float32 [n, outputs]; of several heads a dictionary by task.
    """
    return _each(tasks, outputs, lambda task, values: values * _scale(task) + _offset(task))


def scaled_part(part: Part, tasks: Sequence[Task]) -> Part:
    """The part with the numbers to be predicted as the network's outputs are to be: the inverse of `own_units`."""
    from jtransfer.data.combine import WithLabels

    labels = _each(tasks, part.source.labels, lambda task, values: (values - _offset(task)) / _scale(task))
    return Part(WithLabels(part.source, labels), part.indices)


def without_scaling(model: Model) -> Model:
    """The model whose outputs are taken as they are, to be compared with scaled labels."""
    tasks = tuple(dataclasses.replace(task, offset=(), scale=()) for task in model.tasks)
    return dataclasses.replace(model, tasks=tasks)


def _each(tasks: Sequence[Task], labels: Labels, function: Callable[[Task, np.ndarray], np.ndarray]) -> Labels:
    def changed(task: Task) -> np.ndarray:
        values = of_task(labels, task)
        if task.kind != 'regression' or not (task.offset or task.scale):
            return values
        return np.asarray(function(task, values.astype(np.float64)), np.float32)

    return {task.name: changed(task) for task in tasks} if isinstance(labels, dict) else changed(tasks[0])


def _offset(task: Task) -> np.ndarray:
    return np.array(task.offset or (0.0,), np.float64)


def _scale(task: Task) -> np.ndarray:
    return np.array(task.scale or (1.0,), np.float64)
