"""Gradients of a batch that is taken in pieces, one after another, for want of memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key


def accumulate(
    gradients: Callable[[Any, Mapping[str, Array], Array], tuple[Any, Any]],
    model_state: Any,
    batch: Mapping[str, Array],
    keys: Key[Array, ' pieces'],
) -> tuple[Any, Any]:
    """Runs the micro-batches one after another and averages; each sees the statistics its predecessor left.

    Args:
        gradients: of statistics, a micro-batch and its key: the next statistics, and a tree of what is averaged.
        model_state: the statistics before the first.
        batch: leaves [batch, …], where batch is a multiple of the pieces, and the scalars `seed` and `step`.
        keys: one a micro-batch.

    Returns:
        The statistics that the last one leaves, and the means.
    """
    count = len(keys)

    def split(leaf: Array) -> Array:
        # Every count-th example, so that a batch sharded over devices is not moved between them.
        return leaf.reshape(-1, count, *leaf.shape[1:]).swapaxes(0, 1)

    scalars = {name: leaf for name, leaf in batch.items() if name in ('seed', 'step')}
    per_example = jax.tree.map(split, {name: leaf for name, leaf in batch.items() if name not in scalars})

    def body(carry: Any, inputs: Any) -> tuple[Any, None]:
        model_state, sums = carry
        micro_batch, key = inputs
        model_state, values = gradients(model_state, {**micro_batch, **scalars}, key)
        return (model_state, jax.tree.map(jnp.add, sums, values)), None

    first = (jax.tree.map(lambda leaf: leaf[0], per_example), keys[0])
    _, shapes = jax.eval_shape(gradients, model_state, {**first[0], **scalars}, first[1])
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    (model_state, sums), _ = jax.lax.scan(body, (model_state, zeros), (per_example, keys))
    return model_state, jax.tree.map(lambda leaf: leaf / count, sums)
