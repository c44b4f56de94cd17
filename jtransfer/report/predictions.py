"""Predictions for unlabelled images, as a table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from jtransfer.evaluate.write import write_csv
from jtransfer.tasks.base import Task
from jtransfer.tasks.labels import Labels


def to_results(tasks: Sequence[Task], outputs: Labels) -> Labels:
    """Probabilities of logits: softmax with one label an image, sigmoid with several; numbers as they are.

    Args:
        tasks: of the network.
        outputs: [n, outputs] by task; of regression in the numbers' own units already.

    Returns:
        By task, in the shape of `outputs`.
    """
    return {task.name: task.predict(outputs[task.name]) for task in tasks}


def write_task_predictions_csv(
    path: str | os.PathLike[str],
    files: Sequence[str | os.PathLike[str]],
    results: Labels,
    tasks: Sequence[Task],
    thresholds: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Writes what a network says of each file, whatever its tasks; one row a file, in the order given.

    The columns of a task with one label an image are class and probability; of one with several, labels (with `|`
    between them) and the probability of every class; of regression, the numbers. Each column has the task's name before
    it, if it has one. The last column is file.

    Args:
        path: of the table; replaced whole, or not at all.
        files: what was looked at.
        results: of `to_results`.
        tasks: of the network.
        thresholds: of tasks with several labels an image, by name: probability of each class from which on it is
            predicted. None: 0.5.

    Raises:
        ValueError: the lengths do not fit.
    """
    header: list[str] = []
    columns: list[list[str]] = []
    for task in tasks:
        values = results[task.name]
        if values.shape != (len(files), task.outputs):
            raise ValueError(f'results {values.shape} do not fit {len(files)} files and {task.outputs} outputs')
        for name, column in task.columns(values, (thresholds or {}).get(task.name)):
            header.append(f'{task.name} {name}' if task.name else name)
            columns.append(column)
    rows = zip(*columns, [os.fspath(file) for file in files], strict=True)
    write_csv(path, (*header, 'file'), rows)
