"""The pulls towards the source that the configuration names: L2-SP, decay to the source, distillation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jtransfer import rules
from jtransfer.config.transfer import Transfer
from jtransfer.transfer.pull import Features, Kept, Pull
from jtransfer.transfer.settings import exists


@dataclasses.dataclass(frozen=True)
class L2SP(Pull):
    """Adds the gradient of L2-SP to a gradient.

    The penalty is alpha / 2 · ‖w - w₀‖² over the parameters that are kept of the source, and beta / 2 · ‖w‖² over the
    others (Li et al., Explicit Inductive Bias for Transfer Learning with Convolutional Networks, 2018).

    Attributes:
        alpha: weight of the first, ≥ 0.
        beta: weight of the second, ≥ 0.
    """

    alpha: float | Array
    beta: float | Array

    def gradient(self, grads: Any, trainable: Any, source: Mapping[str, Any]) -> Any:
        """The sum of the gradient and the penalty's."""
        kept = rules.flatten(source)

        def add(path: str, grad: Array, value: Array) -> Array:
            return grad + (self.alpha * (value - kept[path]) if path in kept else self.beta * value)

        return _by_path(add, grads, trainable)


@dataclasses.dataclass(frozen=True)
class DecayToSource(Pull):
    """Adds a decoupled decay towards the source to the updates: -rate · decay · (w - w₀) for what is kept of it.

    Attributes:
        decay: by the learning rate, the share of the way that every update goes, ≥ 0.
    """

    decay: float | Array

    def update(
        self,
        updates: Any,
        trainable: Any,
        source: Mapping[str, Any],
        schedules: Mapping[str, optax.Schedule],
        step: Array,
    ) -> Any:
        """The sum of the updates and the decay, at the learning rate of each parameter."""
        kept = rules.flatten(source)
        shares = {path: self.decay * schedule(step) for path, schedule in schedules.items()}

        def add(path: str, update: Array, value: Array) -> Array:
            return update - shares[path] * (value - kept[path]) if path in kept else update

        return _by_path(add, updates, trainable)


@dataclasses.dataclass(frozen=True)
class Distillation(Pull):
    """Minimises the mean over the named features of the mean squared difference from those of the source.

    Attributes:
        weight: of this term in what is minimised, ≥ 0.
        names: stages, or `pooled`.
    """

    keep: ClassVar[tuple[Kept, ...]] = ('params', 'model_state')
    weight: float | Array
    names: tuple[str, ...]

    def loss(self, features: Features, source_features: Callable[[], Features]) -> Float[Array, '']:
        """The weighted mean, computed in float32; the source stands still."""
        source = source_features()
        return self.weight * jnp.stack([_mean_square(features[name], source[name]) for name in self.names]).mean()


def configured_pulls(transfer: Transfer) -> tuple[Pull, ...]:
    """The pulls that the settings name; none by default.

    Args:
        transfer: of a plan, so that what is meant for pretrained weights is set aside for random ones.
    """
    pulls: list[Pull] = []
    if exists(transfer.l2_sp) or exists(transfer.l2_sp_head):
        pulls.append(L2SP(transfer.l2_sp, transfer.l2_sp_head))
    if exists(transfer.decay_to_source):
        pulls.append(DecayToSource(transfer.decay_to_source))
    if exists(transfer.distill):
        pulls.append(Distillation(transfer.distill, transfer.distill_features))
    return tuple(pulls)


def distance(trainable: Any, source: Mapping[str, Any]) -> Float[Array, '']:
    """The Euclidean distance of the parameters in `source` from their values there."""
    now, kept = rules.flatten(trainable), rules.flatten(source)
    return optax.tree.norm({path: now[path] - value for path, value in kept.items()})


def _mean_square(ours: Array, theirs: Array) -> Float[Array, '']:
    """The mean squared difference in float32; gradients flow into the first alone."""
    return jnp.square(ours.astype(jnp.float32) - jax.lax.stop_gradient(theirs).astype(jnp.float32)).mean()


def _by_path(function: Any, tree: Any, other: Any) -> Any:
    values = rules.flatten(other)
    return rules.unflatten({path: function(path, leaf, values[path]) for path, leaf in rules.flatten(tree).items()})
