"""Labels of many examples by the task that they are of; that of a network's only task is called ''."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, Int32

from jtransfer.errors import UserError
from jtransfer.tasks.base import Task
from jtransfer.tasks.door import ONLY

# By the task's name, int32 [n], float32 or float64 [n, outputs]; see `jtransfer.tasks.Task`. So are outputs.
Labels: TypeAlias = dict[str, np.ndarray]


def take(labels: Mapping[str, np.ndarray], index: Any) -> dict[str, Any]:
    """The labels of some of the examples, by anything that indexes an array; of one, its label."""
    return {name: values[index] for name, values in labels.items()}


def count(labels: Mapping[str, np.ndarray]) -> int:
    """How many examples the labels are of."""
    return len(next(iter(labels.values())))


def strata(
    labels: Mapping[str, np.ndarray], tasks: Sequence[Task]
) -> Int32[np.ndarray, ' n'] | Float32[np.ndarray, 'n classes']:
    """What folds and hold-outs are stratified by: the labels of the first task that has classes.

    Of nothing but numbers, all examples are of one stratum. Examples without a label are a stratum of their own, number
    0 after the classes, or no class at all where there are several labels an example.
    """
    for task in tasks:
        found = task.strata(labels[task.name])
        if found is not None:
            return found
    return np.zeros(count(labels), np.int32)


def check_labels(labels: Mapping[str, np.ndarray], tasks: Sequence[Task], ids: Sequence[str], name: str) -> None:
    """Raises `UserError` for labels of another form than the tasks have; names the first example that is wrong.

    Args:
        labels: of every example.
        tasks: what they are of.
        ids: names of the examples.
        name: names the source in errors.
    """
    names = [task.name for task in tasks]
    if (ONLY in labels) != (ONLY in names):
        raise UserError(f'{name}: labels of several tasks must be a dictionary by task, those of one an array')
    if set(labels) != set(names):
        raise UserError(f'{name}: labels are of {", ".join(labels)}, tasks are {", ".join(names)}')
    for task in tasks:
        task.check(labels[task.name], ids, f'{name}, {task.name}' if task.name else name)
