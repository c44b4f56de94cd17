"""The tasks and outputs that some labels are of: what can be measured on data that lack some of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jtransfer.tasks.base import Task, labelled
from jtransfer.tasks.labels import Labels


class Present(NamedTuple):
    """A task that some labels are of, and which of its outputs; None: all."""

    task: Task
    columns: np.ndarray | None


def present_tasks(tasks: Sequence[Task], labels: Labels) -> list[Present]:
    """The tasks and outputs for which any example has a label: what can be measured on data that lack some of them.

    All of them where there is no label at all, for whoever measures to say so.
    """
    found = []
    for task in tasks:
        values = labels[task.name]
        if not task.name_by_name:
            found += [Present(task, None)] if labelled(values).any() else []
            continue
        columns = np.flatnonzero(~np.isnan(values).all(axis=0))
        if len(columns) == task.outputs:
            found.append(Present(task, None))
        elif len(columns):
            found.append(Present(_of_outputs(task, columns), columns))
    return found or [Present(task, None) for task in tasks]


def narrowed(values: Labels, found: Sequence[Present]) -> Labels:
    """Labels or outputs of the tasks and outputs that are there."""

    def of(each: Present) -> np.ndarray:
        own = values[each.task.name]
        return own if each.columns is None else own[:, each.columns]

    return {each.task.name: of(each) for each in found}


def _of_outputs(task: Task, columns: np.ndarray) -> Task:
    """The task of some of its outputs."""
    return dataclasses.replace(
        task,
        class_names=tuple(task.class_names[index] for index in columns),
        offset=tuple(task.offset[index] for index in columns) if task.offset else (),
        scale=tuple(task.scale[index] for index in columns) if task.scale else (),
    )
