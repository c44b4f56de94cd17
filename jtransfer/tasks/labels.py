"""Labels of many examples in whichever form their tasks have them: an array, or a dictionary of arrays by task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, Int32

from jtransfer.errors import UserError
from jtransfer.tasks.base import Task, single_label

# int32 [n], float32 or float64 [n, outputs], or a dictionary of these by the task's name; see `jtransfer.tasks.Task`.
Labels: TypeAlias = np.ndarray | dict[str, np.ndarray]


def tasks_of(source: Any) -> tuple[Task, ...]:
    """The tasks of a source, part or decoded part; one of a single label where it says nothing else."""
    return tuple(getattr(source, 'tasks', ())) or (single_label(source.class_names),)


def map_labels(function: Callable[[np.ndarray], Any], labels: Labels) -> Any:
    """The function's result on the labels, or on those of each task by its name."""
    if isinstance(labels, Mapping):
        return {name: function(np.asarray(values)) for name, values in labels.items()}
    return function(np.asarray(labels))


def take(labels: Labels, index: Any) -> Any:
    """The labels of some of the examples, by anything that indexes an array; of one, its label."""
    return map_labels(lambda values: values[index], labels)


def stack(labels: Sequence[Any]) -> Labels:
    """The labels of a batch from those of its examples (the `label` of `Example`)."""
    if isinstance(labels[0], Mapping):
        return {name: _stack([label[name] for label in labels]) for name in labels[0]}
    return _stack(labels)


def count(labels: Labels) -> int:
    """How many examples the labels are of."""
    return len(next(iter(labels.values()))) if isinstance(labels, Mapping) else len(labels)


def of_task(labels: Labels, task: Task) -> np.ndarray:
    """The labels of one task."""
    return np.asarray(labels[task.name]) if isinstance(labels, Mapping) else np.asarray(labels)


def strata(labels: Labels, tasks: Sequence[Task]) -> Int32[np.ndarray, ' n'] | Float32[np.ndarray, 'n classes']:
    """What folds and hold-outs are stratified by: the labels of the first task that has classes.

    Of nothing but numbers, all examples are of one stratum. Examples without a label are a stratum of their own, number
    0 after the classes, or no class at all where there are several labels an image.
    """
    for task in tasks:
        found = task.strata(of_task(labels, task))
        if found is not None:
            return found
    return np.zeros(count(labels), np.int32)


def check_labels(labels: Labels, tasks: Sequence[Task], ids: Sequence[str], name: str) -> None:
    """Raises `UserError` for labels of another form than the tasks have; names the first example that is wrong.

    Args:
        labels: of every example.
        tasks: what they are of.
        ids: names of the examples.
        name: names the source in errors.
    """
    if isinstance(labels, Mapping) != (len(tasks) > 1 or bool(tasks[0].name)):
        raise UserError(f'{name}: labels of several tasks must be a dictionary by task, those of one an array')
    if isinstance(labels, Mapping) and set(labels) != {task.name for task in tasks}:
        raise UserError(f'{name}: labels are of {", ".join(labels)}, tasks are {", ".join(t.name for t in tasks)}')
    for task in tasks:
        task.check(of_task(labels, task), ids, f'{name}, {task.name}' if task.name else name)


def _stack(labels: Sequence[Any]) -> np.ndarray:
    if not np.ndim(labels[0]):
        return np.array(labels, np.int32)
    stacked = np.stack(labels)
    return stacked if np.issubdtype(stacked.dtype, np.floating) else stacked.astype(np.float32)
