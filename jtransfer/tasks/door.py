"""The door: a single task's labels and outputs are a bare array outside, and a dictionary by task inside.

Inside the library, labels and outputs are a dictionary from the name of a task to its array, whatever the number of
tasks; that of a network's only task is ''. Outside, where there is but one task, people have an array: in
`ArraySource` and other sources they hand over, in the files of a run, and in what they are given back. What comes in
goes through `by_task`, what goes out through `bare`, and nothing else knows both forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# The name of a network's only task.
ONLY = ''


def is_by_task(values: Any) -> bool:
    """Whether labels or outputs are in the form that they have inside."""
    return isinstance(values, Mapping) and all(isinstance(array, np.ndarray) for array in values.values())


def by_task(values: Any) -> dict[str, Any]:
    """Labels or outputs as they are inside.

    >>> by_task([0, 1])
    {'': array([0, 1])}

    Args:
        values: an array, or what NumPy makes one of, of the only task; or a mapping from tasks' names to arrays.
    """
    if isinstance(values, Mapping):
        return {name: np.asarray(array) for name, array in values.items()}
    return {ONLY: np.asarray(values)}


def bare(values: Mapping[str, Any]) -> Any:
    """Labels or outputs as they are outside: the inverse of `by_task`.

    >>> bare({'': 3})
    3

    Args:
        values: by task.

    Returns:
        What there is of the only task; a dictionary where tasks have names.
    """
    return values[ONLY] if set(values) == {ONLY} else dict(values)
