"""The state of a training run: one pytree, and nothing in it that can be derived."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jtransfer import rules
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
        source: what is needed of the pretrained values, see `pull.keep_source`, or None. It is made anew from
            the source when a run is resumed, and is in no checkpoint.
    """

    step: Any  # not an array alone: JAX also makes trees of shapes, shardings and the like
    trainable: Any
    frozen: Any
    model_state: Any
    opt_state: Any
    ema: Any
    source: Any = None

    def variables(self) -> dict[str, Any]:
        """The network's variables as they are evaluated and saved: the moving average where there is one."""
        trainable = self.trainable if self.ema is None else self.ema
        return {'params': combine(trainable, self.frozen), **self.model_state}


def init_state(
    variables: Mapping[str, Any],
    plan: Plan,
    optimizer: optax.GradientTransformation,
    *,
    ema: bool = False,
    source: Any = None,
    frozen_dtype: str = 'float32',
) -> TrainState:
    """The state before the first step; the average starts at the pretrained values, not at zero.

    The arrays are copied, because the training step donates its state and the caller keeps the source network.

    Args:
        variables: of the network.
        plan: which parameters move.
        optimizer: over the trainable ones.
        ema: whether there is a moving average.
        source: see `TrainState`.
        frozen_dtype: type of frozen kernels, `float32` or `bfloat16`.
    """
    copied: dict[str, Any] = jax.tree.map(jnp.array, dict(variables))
    trainable, frozen = plan.split(copied.pop('params'))
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        trainable=trainable,
        frozen=_kept(frozen, frozen_dtype),
        model_state=copied,
        opt_state=optimizer.init(trainable),
        ema=jax.tree.map(jnp.array, trainable) if ema else None,
        source=source,
    )


def next_phase(state: TrainState, fresh: TrainState) -> TrainState:
    """The state with which a later phase begins.

    What moves already goes on: its value, its average and its optimiser's state, which are found by their names. What
    begins to move now starts with its pretrained value and a clean optimiser.

    Args:
        state: at the end of a phase.
        fresh: what the next phase would begin with if nothing had happened before.
    """
    moved = rules.flatten(state.trainable)
    trainable = {path: moved.get(path, leaf) for path, leaf in rules.flatten(fresh.trainable).items()}
    ema = None
    if state.ema is not None:
        averaged = rules.flatten(state.ema)
        ema = rules.unflatten({path: averaged.get(path, leaf) for path, leaf in trainable.items()})
    before = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(state.opt_state)}
    opt_state = jax.tree.map_with_path(lambda path, leaf: before.get(jax.tree_util.keystr(path), leaf), fresh.opt_state)
    return dataclasses.replace(
        fresh,
        step=state.step,
        trainable=rules.unflatten(trainable),
        model_state=state.model_state,
        opt_state=opt_state,
        # Copies: the state is donated, and no buffer may be in it twice.
        ema=None if ema is None else jax.tree.map(jnp.array, ema),
    )


def _kept(frozen: Any, dtype: str) -> Any:
    def keep(path: str, leaf: Any) -> Any:
        return leaf.astype(dtype) if path.endswith('/kernel') else leaf

    return rules.unflatten({path: keep(path, leaf) for path, leaf in rules.flatten(frozen).items()})
