"""The training step: a pure function from a state and a batch to the next state and the metrics.

It differentiates the trainable tree alone. It knows no axis names except the one its placement gives it.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jtransfer.augment.keys import example_keys
from jtransfer.augment.pipeline import make_augment
from jtransfer.config import Config
from jtransfer.models import Network
from jtransfer.preprocessing import Preprocessing, normalise
from jtransfer.train.losses import cross_entropy
from jtransfer.train.state import TrainState
from jtransfer.transfer.optimizer import learning_rates, make_optimizer
from jtransfer.transfer.plan import Plan, combine

Batch: TypeAlias = Mapping[str, Array]
Metrics: TypeAlias = dict[str, Array]
TrainStep: TypeAlias = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


@dataclasses.dataclass(frozen=True)
class StepParts:
    """What a training step is made of.

    Attributes:
        network: the network.
        preprocessing: turns pixels into network input.
        plan: which parameters move.
        config: the settings of optimiser and augmentation.
        total_steps: length of the schedule.
    """

    network: Network
    preprocessing: Preprocessing
    plan: Plan
    config: Config
    total_steps: int

    def optimizer(self, trainable: Any) -> optax.GradientTransformation:
        """The optimiser over the trainable tree (or its shapes)."""
        return make_optimizer(self.config.optim, self.plan, trainable, self.total_steps)


def make_train_step(parts: StepParts, trainable: Any, axis_name: str | None = None) -> TrainStep:
    """Builds the step.

    A batch holds `image` uint8 [batch, side, side, 3], `label` int32 [batch], `aspect` float32 [batch] (width / height
    of the original), `id` and `epoch` int32 [batch] (which make the augmentation's key), and the scalars `seed` and
    `step`. The metrics are `loss` (with that of auxiliary heads, see `Network.training_logits`), `accuracy`,
    `gradient_norm` (of the trainable parameters, before clipping), `finite` and a learning rate a group.

    When the loss, a gradient or anything in the next state is not finite, the state is returned as it was, and stays
    so: a later batch, whose `step` is then ahead of the state's, changes nothing either. The loop finds `finite` false
    and stops with the last good state in hand.

    Args:
        parts: network, plan and settings.
        trainable: the trainable tree, or its shapes.
        axis_name: the axis over which replicas average, under `pmap`; None where the compiler sees the whole batch.
    """
    optim = parts.config.optim
    network = parts.network if axis_name is None else parts.network.with_norm_axis(axis_name)
    augment = make_augment(parts.config.augment, parts.preprocessing.shape, parts.preprocessing.interpolation)
    optimizer = parts.optimizer(trainable)
    rates = learning_rates(optim, parts.plan, parts.total_steps)

    def loss_fn(
        trainable: Any, frozen: Any, model_state: Any, batch: Batch, dropout_key: Array
    ) -> tuple[Float[Array, ''], tuple[Any, Float[Array, '']]]:
        keys = example_keys(batch['seed'], batch['epoch'], batch['id'])
        images = normalise(augment(keys, batch['image'], batch['aspect']), parts.preprocessing, network.dtype)
        (logits, auxiliaries), updated = network.apply(
            {'params': combine(trainable, frozen), **model_state},
            images,
            frozen=parts.plan.frozen_modules,
            mutable=list(model_state),
            rngs={'dropout': dropout_key},
            method='training_logits',
        )
        loss = cross_entropy(logits, batch['label'], optim.label_smoothing).mean()
        for weight, others in auxiliaries:
            loss += weight * cross_entropy(others, batch['label'], optim.label_smoothing).mean()
        accuracy = (logits.argmax(-1) == batch['label']).mean()
        return loss, (updated, accuracy)

    value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = stream_key(batch['seed'], 'dropout', state.step)
        if axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))

        def gradients(model_state: Any, micro_batch: Batch, key: Array) -> tuple[Any, tuple[Any, Any, Any]]:
            (loss, (model_state, accuracy)), grads = value_and_grad(
                state.trainable, state.frozen, model_state, micro_batch, key
            )
            return model_state, (grads, loss, accuracy)

        if optim.accumulate_steps == 1:
            model_state, (grads, loss, accuracy) = gradients(state.model_state, batch, key)
        else:
            model_state, (grads, loss, accuracy) = _accumulate(
                gradients, state, batch, jax.random.split(key, optim.accumulate_steps)
            )
        if axis_name is not None:
            grads, loss, accuracy = jax.lax.pmean((grads, loss, accuracy), axis_name)
        gradient_norm = optax.tree.norm(grads)

        updates, opt_state = optimizer.update(grads, state.opt_state, state.trainable)
        trainable = optax.apply_updates(state.trainable, updates)
        ema = None if state.ema is None else _average(state.ema, trainable, state.step, optim.ema_decay)
        moved = dataclasses.replace(
            state, step=state.step + 1, trainable=trainable, model_state=model_state, opt_state=opt_state, ema=ema
        )
        # A finite gradient times a large learning rate can still overflow, and so can batch statistics.
        finite = jnp.isfinite(loss) & jnp.isfinite(gradient_norm) & _all_finite(moved) & (state.step == batch['step'])
        if axis_name is not None:
            # The replicas agree as it is. But XLA would work the answer out anew for each of the choices below, which
            # trebles the time to compile; an answer over the axis it keeps.
            finite = jax.lax.pmin(finite.astype(jnp.int32), axis_name) > 0
        # `frozen` is the same object in both and passes through untouched.
        kept = jax.tree.map(lambda new, old: new if new is old else jnp.where(finite, new, old), moved, state)
        metrics = {'loss': loss, 'accuracy': accuracy, 'gradient_norm': gradient_norm, 'finite': finite}
        return kept, metrics | rates(state.step)

    return step


def stream_key(seed: Array | int, stream: str, step: Array | int) -> Array:
    """The random key of a named stream at a step: a pure function of its arguments, so that nothing needs saving."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(stream.encode()))
    return jax.random.fold_in(key, step)


def _accumulate(gradients: Callable[..., Any], state: TrainState, batch: Batch, keys: Array) -> tuple[Any, Any]:
    """Runs the micro-batches one after another and averages; each sees the statistics its predecessor left."""
    count = len(keys)

    def split(leaf: Array) -> Array:
        # Every count-th example, so that a batch sharded over devices is not moved between them.
        return leaf.reshape(-1, count, *leaf.shape[1:]).swapaxes(0, 1)

    per_example = {name: split(leaf) for name, leaf in batch.items() if leaf.ndim}
    scalars = {name: leaf for name, leaf in batch.items() if not leaf.ndim}

    def body(carry: Any, inputs: Any) -> tuple[Any, None]:
        model_state, sums = carry
        micro_batch, key = inputs
        model_state, values = gradients(model_state, {**micro_batch, **scalars}, key)
        return (model_state, jax.tree.map(jnp.add, sums, values)), None

    zeros = (jax.tree.map(jnp.zeros_like, state.trainable), jnp.zeros(()), jnp.zeros(()))
    (model_state, sums), _ = jax.lax.scan(body, (state.model_state, zeros), (per_example, keys))
    return model_state, jax.tree.map(lambda leaf: leaf / count, sums)


def _all_finite(state: TrainState) -> Bool[Array, '']:
    """Whether every number of a state is finite; what is frozen does not move and need not be looked at."""
    moving = (state.trainable, state.model_state, state.opt_state, state.ema)
    return jax.tree.reduce(jnp.logical_and, jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), moving))


def _average(ema: Any, trainable: Any, step: Array, decay: float) -> Any:
    # A young average follows closely, so that short runs are not evaluated at their starting point.
    weight = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda old, new: weight * old + (1.0 - weight) * new, ema, trainable)
