"""Losses over a batch of logits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32


def cross_entropy(
    logits: Float[Array, 'batch classes'], labels: Int32[Array, ' batch'], label_smoothing: float = 0.0
) -> Float[Array, ' batch']:
    """Softmax cross-entropy of every example, in nats.

    Args:
        logits: unnormalised log-probabilities.
        labels: class numbers.
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al., 2016), in [0, 1).
    """
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), label_smoothing)
    return optax.softmax_cross_entropy(logits.astype(jnp.float32), targets)
