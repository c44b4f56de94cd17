"""The state of a training run: one pytree, and nothing in it that can be derived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jtransfer.transfer.plan import Plan, combine


@struct.dataclass
class TrainState:
    """What a training step takes and returns.

    Attributes:
        step: optimiser updates made so far, an int32 scalar.
        trainable: the parameters that move, a nested dictionary under canonical names.
        frozen: the parameters that do not.
        model_state: the other collections of the network, `{'batch_stats': …}` or empty.
        opt_state: the optimiser's state, over `trainable` alone.
        ema: moving average of `trainable`, or None.
    """

    step: Any  # not an array alone: JAX also makes trees of shapes, shardings and the like
    trainable: Any
    frozen: Any
    model_state: Any
    opt_state: Any
    ema: Any

    def variables(self) -> dict[str, Any]:
        """The network's variables as they are evaluated and saved: the moving average where there is one."""
        trainable = self.trainable if self.ema is None else self.ema
        return {'params': combine(trainable, self.frozen), **self.model_state}


def init_state(
    variables: Mapping[str, Any], plan: Plan, optimizer: optax.GradientTransformation, *, ema: bool = False
) -> TrainState:
    """The state before the first step; the average starts at the pretrained values, not at zero.

    The arrays are copied, because the training step donates its state and the caller keeps the source network.
    """
    copied: dict[str, Any] = jax.tree.map(jnp.array, dict(variables))
    trainable, frozen = plan.split(copied.pop('params'))
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        trainable=trainable,
        frozen=frozen,
        model_state=copied,
        opt_state=optimizer.init(trainable),
        ema=jax.tree.map(jnp.array, trainable) if ema else None,
    )
