"""What a line of the metrics says about the steps since the line before, and what is saved of the variables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# What a step tells beside the figures of its tasks.
_OWN = ('loss', 'gradient_norm', 'source_distance', 'finite')


def log_values(rows: Sequence[Mapping[str, float]], batch_size: int, seconds: float) -> dict[str, Any]:
    """Means over the steps since the last line, the last learning rates, and the speed.

    Args:
        rows: the metrics of each step, see `make_train_step`.
        batch_size: examples a step.
        seconds: that these steps took.

    Returns:
        The numbers by their names in the log, and `finite`: whether every step was.
    """
    last = rows[-1]
    losses = [name for name in last if name.startswith('loss/')]
    rates = {name: value for name, value in last.items() if name.startswith('learning_rate/')}
    # Runs that were begun before tasks named their figures have an accuracy that is NaN where there are no classes.
    figures = [name for name, value in last.items() if name not in (*_OWN, *losses, *rates) and not math.isnan(value)]
    names = {f'train/{name}': name for name in ('loss', *figures)}
    names |= {name: name for name in ('gradient_norm', 'source_distance')} | {f'train/{name}': name for name in losses}
    means = {name: float(np.mean([row[metric] for row in rows])) for name, metric in names.items() if metric in last}
    speed = {'images_per_second': len(rows) * batch_size / seconds}
    return {**means, **rates, **speed, 'finite': all(row['finite'] for row in rows)}


def in_float32(variables: dict[str, Any]) -> dict[str, Any]:
    """The variables with what was kept in bfloat16 as float32, which is what is saved."""
    return jax.tree.map(lambda leaf: leaf.astype(np.float32) if leaf.dtype == jnp.bfloat16 else leaf, variables)
