"""Numbers to be predicted are trained with mean 0 and standard deviation 1, and predicted in their own units.

They are float64 but for what the network computes: float32 keeps seven digits, and of times near 1.7e9 s those of
minutes are not among them before the mean is subtracted. What is subtracted and divided by comes from the training part
alone, and becomes part of the task: whoever has the model can put its outputs into the numbers' own units.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from jtransfer.data.part import Part
from jtransfer.data.parts import Parts
from jtransfer.errors import UserError
from jtransfer.pretrained.model import Model
from jtransfer.tasks.base import Task, labelled
from jtransfer.tasks.labels import Labels

# Standard deviation of what float32 rounds off, over that of the numbers; and what does no harm in any case, in units
# of the network's outputs.
_MOST_ROUNDING, _NO_ROUNDING = 1e-3, 1e-6


def standardise(model: Model, parts: Parts) -> tuple[Model, Parts]:
    """The model with the scaling of its numbers, and the training and validation parts with scaled numbers.

    The scaling that a task has already stays: it came with a head that was kept. Without numbers to predict, all is as
    it was.

    Args:
        model: whose tasks are to be trained.
        parts: what on, which `check_parts` lets through.

    Raises:
        UserError: numbers that float32 cannot tell apart once they are scaled.
    """
    if all(task.has_classes for task in model.tasks):
        return model, parts
    tasks = fit_scaling(model.tasks, parts.train.labels)
    validation = None if parts.validation is None else scaled_part(parts.validation, tasks)
    scaled = dataclasses.replace(parts, train=scaled_part(parts.train, tasks), validation=validation)
    return dataclasses.replace(model, tasks=tasks), scaled


def fit_scaling(tasks: Sequence[Task], labels: Labels) -> tuple[Task, ...]:
    """The tasks, those of regression with mean and standard deviation of their labels (1 where all are alike).

    Raises:
        UserError: numbers so large that these are not finite.
    """
    return tuple(task.fitted(labels[task.name]) for task in tasks)


def own_units(tasks: Sequence[Task], outputs: Labels) -> Labels:
    """A network's outputs, those of regression in the numbers' own units.

    Args:
        tasks: of the network, with their scaling.
        outputs: float32 [n, outputs], by task.

    Returns:
        The same, those of regression float64.
    """
    return _each(tasks, outputs, lambda task, values: values * _scale(task) + _offset(task))


def scaled_part(part: Part, tasks: Sequence[Task]) -> Part:
    """The part with the numbers to be predicted as the network's outputs are to be: the inverse of `own_units`.

    Raises:
        UserError: the scaling leaves numbers that float32 cannot tell apart.
    """
    from jtransfer.data.derive.combine import WithLabels

    def scaled(task: Task, values: np.ndarray) -> np.ndarray:
        exact = (values - _offset(task)) / _scale(task)
        with np.errstate(over='ignore'):
            rounded = exact.astype(np.float32)
        _check_rounding(task, exact[part.indices], rounded[part.indices])
        return rounded

    return Part(WithLabels(part.source, _each(tasks, part.source.labels, scaled)), part.indices)


def without_scaling(model: Model) -> Model:
    """The model whose outputs are taken as they are, to be compared with scaled labels."""
    tasks = tuple(dataclasses.replace(task, offset=(), scale=()) for task in model.tasks)
    return dataclasses.replace(model, tasks=tasks)


def _each(tasks: Sequence[Task], labels: Labels, function: Callable[[Task, np.ndarray], np.ndarray]) -> Labels:
    def changed(task: Task) -> np.ndarray:
        values = labels[task.name]
        if not (task.offset or task.scale):
            return values
        return function(task, values.astype(np.float64))

    return {task.name: changed(task) for task in tasks}


def _check_rounding(task: Task, exact: np.ndarray, rounded: np.ndarray) -> None:
    """Raises `UserError` where a scaling that was stated, or came with a head, is too far from the numbers."""
    known = labelled(exact)
    if not known.any():
        return
    with np.errstate(invalid='ignore'):
        lost = (rounded[known] - exact[known]).std(axis=0)
    most = np.maximum(_MOST_ROUNDING * exact[known].std(axis=0), _NO_ROUNDING)
    for number in np.flatnonzero(~(lost <= most)):
        offset, scale = (np.broadcast_to(of(task), lost.shape)[number] for of in (_offset, _scale))
        raise UserError(
            f"{task.class_names[number]}: with the task's offset {offset:.10g} and scale {scale:.10g}, float32, in "
            f'which networks compute, rounds the numbers by about {lost[number] * scale:.3g}, which is no longer small '
            f'beside their spread of {exact[known, number].std() * scale:.3g}: a task without offset and scale, with a '
            'new head, takes them from the data'
        )


def _called(task: Task) -> str:
    return f' of {task.name or ", ".join(task.class_names)}'


def _offset(task: Task) -> np.ndarray:
    return np.array(task.offset or (0.0,), np.float64)


def _scale(task: Task) -> np.ndarray:
    return np.array(task.scale or (1.0,), np.float64)
