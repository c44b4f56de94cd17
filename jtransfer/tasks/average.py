"""The outputs of several networks for the same examples, averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jtransfer.tasks.base import Task
from jtransfer.tasks.labels import Labels


def mean_outputs(task: Task, outputs: Float[np.ndarray, 'network ... output']) -> Float[np.ndarray, '... output']:
    """The outputs whose probabilities are the mean of those of several networks; of numbers, their mean.

    Args:
        task: what the outputs are of.
        outputs: of each network: logits, or numbers.

    Returns:
        Float64, see `Task.mean`.
    """
    values = np.asarray(outputs, np.float64)
    return values.mean(axis=0) if len(values) == 1 else task.mean(values)


def mean_of_networks(tasks: Sequence[Task], outputs: Sequence[Labels]) -> Labels:
    """The same of every task, in the type of a network's outputs."""

    def of(task: Task) -> np.ndarray:
        return mean_outputs(task, np.stack([own[task.name] for own in outputs])).astype(task.output_dtype)

    return {task.name: of(task) for task in tasks}
