"""Staying near the source: what is kept of it while training, and the pulls towards it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jtransfer import rules
from jtransfer.config_transfer import Transfer
from jtransfer.transfer.plan import Plan


def keep_source(variables: Mapping[str, Any], plan: Plan, transfer: Transfer) -> dict[str, Any] | None:
    """What a training step needs of the source; None where it needs nothing.

    Args:
        variables: where training starts.
        plan: which parameters move.
        transfer: which pulls there are.

    Returns:
        `params`: the backbone's trained parameters as they were, `model_state`: its statistics where its features are
        distilled.
    """
    if not (transfer.l2_sp or transfer.l2_sp_head or transfer.decay_to_source or transfer.distill):
        return None
    trainable, _ = plan.split(variables['params'])
    backbone = {'backbone': trainable['backbone']} if 'backbone' in trainable else {}
    state = {name: tree for name, tree in variables.items() if name != 'params'} if transfer.distill else {}
    return jax.tree.map(jnp.array, {'params': backbone, 'model_state': state})


def add_l2_sp(grads: Any, trainable: Any, source: Mapping[str, Any] | None, alpha: float, beta: float) -> Any:
    """Adds the gradient of L2-SP to a gradient.

    The penalty is alpha / 2 · ‖w - w₀‖² over the parameters in `source`, and beta / 2 · ‖w‖² over the others (Li et
    al., Explicit Inductive Bias for Transfer Learning with Convolutional Networks, 2018).

    Args:
        grads: the gradient, a tree like `trainable`.
        trainable: the parameters.
        source: their pretrained values, where they have any; nested like `trainable`.
        alpha: weight of the first.
        beta: weight of the second.
    """
    kept = rules.flatten(source or {})

    def add(path: str, grad: Array, value: Array) -> Array:
        return grad + (alpha * (value - kept[path]) if path in kept else beta * value)

    return _by_path(add, grads, trainable)


def decay_towards(updates: Any, trainable: Any, source: Mapping[str, Any], rates: Mapping[str, Array | float]) -> Any:
    """Adds a decoupled decay towards the source to the updates: -rate · (w - w₀) for what is in `source`.

    Args:
        updates: what is about to be added to `trainable`.
        trainable: the parameters.
        source: pretrained values, nested like `trainable`.
        rates: by path, the learning rate times the decay.
    """
    kept = rules.flatten(source)

    def add(path: str, update: Array, value: Array) -> Array:
        return update - rates[path] * (value - kept[path]) if path in kept else update

    return _by_path(add, updates, trainable)


def distance(trainable: Any, source: Mapping[str, Any]) -> Float[Array, '']:
    """The Euclidean distance of the parameters in `source` from their values there."""
    now, kept = rules.flatten(trainable), rules.flatten(source)
    return optax.tree.norm({path: now[path] - value for path, value in kept.items()})


def feature_distance(
    features: Mapping[str, Float[Array, 'batch ...']],
    source: Mapping[str, Float[Array, 'batch ...']],
    names: tuple[str, ...],
) -> Float[Array, '']:
    """The mean over the named features of the mean squared difference from those of the source, in float32."""
    terms = [
        jnp.square(features[name].astype(jnp.float32) - jax.lax.stop_gradient(source[name]).astype(jnp.float32)).mean()
        for name in names
    ]
    return jnp.stack(terms).mean()


def _by_path(function: Any, tree: Any, other: Any) -> Any:
    values = rules.flatten(other)
    return rules.unflatten({path: function(path, leaf, values[path]) for path, leaf in rules.flatten(tree).items()})
