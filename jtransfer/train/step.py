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

from jtransfer.adapters import AdaptedNetwork
from jtransfer.augment.keys import example_keys
from jtransfer.augment.pipeline import make_augment
from jtransfer.preprocessing import normalise
from jtransfer.tasks.losses import TaskLoss, accuracy, weighted_mean
from jtransfer.train.state import TrainState
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.optimizer import learning_rates
from jtransfer.transfer.plan import combine
from jtransfer.transfer.towards_source import add_l2_sp, decay_towards, distance, feature_distance
from jtransfer.transfer.update_rules import sam_perturbation

Batch: TypeAlias = Mapping[str, Array]
Metrics: TypeAlias = dict[str, Array]
TrainStep: TypeAlias = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def make_train_step(parts: StepParts, trainable: Any, axis_name: str | None = None) -> TrainStep:
    """Builds the step.

    A batch holds `image` uint8 [batch, side, side, 3], `label` (class numbers int32 [batch], or whatever else the loss
    takes), `aspect` float32 [batch] (width / height of the original), `id` and `epoch` int32 [batch] (which make the
    augmentation's key), and the scalars `seed` and `step`. It may hold `weight` float32 [batch], ≥ 0: the loss is then
    the mean with these weights, times those of the classes; accuracy and distillation take no notice of them. Where
    images are mixed, the weight is that of the image whose place it is, whatever is mixed into it.

    The metrics are `loss` (with that of auxiliary heads, see `Network.training_logits`, and of distilled features;
    without L2-SP), with several heads a `loss/NAME` each, `accuracy`, `gradient_norm` (of the trainable parameters,
    before clipping), `source_distance` where something pulls towards the source, `finite`, and a learning rate a group.

    When the loss, a gradient or anything in the next state is not finite, the state is returned as it was, and stays
    so: a later batch, whose `step` is then ahead of the state's, changes nothing either. The loop finds `finite` false
    and stops with the last good state in hand.

    Args:
        parts: network, plan and settings.
        trainable: the trainable tree, or its shapes.
        axis_name: the axis over which replicas average, under `pmap`; None where the compiler sees the whole batch.
    """
    optim, transfer = parts.config.optim, parts.plan.transfer
    network = parts.network if axis_name is None else parts.network.with_norm_axis(axis_name)
    plan = parts.current
    mixes = parts.config.augment.mixes
    augment = make_augment(parts.config.augment, parts.preprocessing, parts.outputs, axis_name=axis_name)
    criterion = parts.criterion
    optimizer = parts.optimizer(trainable)
    schedules = parts.schedules()
    rates = learning_rates(plan, schedules)

    def augmented(batch: Batch) -> Batch:
        keys = example_keys(batch['seed'], batch['epoch'], batch['id'])
        changed = augment(keys, batch['image'], batch['label'], batch['aspect'])
        return {**batch, 'image': changed.images, 'label': changed.labels}

    def distilled(features: Mapping[str, Array], images: Array, frozen: Any, source: Any) -> Float[Array, '']:
        unadapted = network.network if isinstance(network, AdaptedNetwork) else network
        variables = {'params': combine(source['params'], frozen), **source['model_state']}
        theirs: Any = unadapted.apply(variables, images, method='features')
        return feature_distance(features, theirs, transfer.distill_features)

    def loss_fn(
        trainable: Any, state: TrainState, model_state: Any, batch: Batch, totals: Any, dropout_key: Array
    ) -> tuple[Float[Array, ''], tuple[Any, Metrics]]:
        batch = batch if mixes else augmented(batch)
        images = normalise(batch['image'], parts.preprocessing, network.dtype)
        output, updated = network.apply(
            {'params': combine(trainable, state.frozen), **model_state},
            images,
            frozen=plan.frozen_modules,
            mutable=list(model_state),
            rngs={'dropout': dropout_key},
            method='training_logits',
        )
        logits, labels = parts.by_task(output.logits), parts.by_task(batch['label'])
        weight = batch.get('weight')
        loss, losses = criterion(logits, labels, totals, weight)
        for share, others in output.auxiliaries:
            loss += share * criterion(parts.by_task(others), labels, totals, weight)[0]
        if transfer.distill:
            loss += transfer.distill * distilled(output.features, images, state.frozen, state.source)
        metrics = {'accuracy': _accuracy(criterion, logits, labels)}
        if parts.tasks:
            metrics |= {f'loss/{name}': value for name, value in losses.items()}
        return loss, (updated, metrics)

    value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)

    def gradients(trainable: Any, state: TrainState, batch: Batch, key: Array) -> tuple[Any, Any, Metrics]:
        """The next statistics, and gradient, loss and accuracy, of the whole batch at some parameters."""
        # Of the whole batch, over accumulation steps and replicas: the mean of their losses is then that of the batch.
        totals = {
            name: weights.sum() / optim.accumulate_steps
            for name, weights in criterion.weights(parts.by_task(batch['label']), batch.get('weight')).items()
        }
        totals = totals if axis_name is None else jax.lax.pmean(totals, axis_name)

        def of(model_state: Any, micro_batch: Batch, key: Array) -> tuple[Any, Any]:
            (loss, (model_state, metrics)), grads = value_and_grad(
                trainable, state, model_state, micro_batch, totals, key
            )
            return model_state, (grads, {'loss': loss, **metrics})

        if optim.accumulate_steps == 1:
            model_state, means = of(state.model_state, batch, key)
        else:
            model_state, means = _accumulate(
                of, state.model_state, batch, jax.random.split(key, optim.accumulate_steps)
            )
        if axis_name is not None:
            means = jax.lax.pmean(means, axis_name)
        grads, metrics = means
        if transfer.l2_sp or transfer.l2_sp_head:
            kept = state.source['params'] if state.source else None
            grads = add_l2_sp(grads, trainable, kept, transfer.l2_sp, transfer.l2_sp_head)
        return model_state, grads, metrics

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        # Images are mixed with others of the whole batch, whatever it is split into for accumulation.
        batch = augmented(batch) if mixes else batch
        key = stream_key(batch['seed'], 'dropout', state.step)
        if axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))

        model_state, grads, metrics = gradients(state.trainable, state, batch, key)
        if optim.sam_rho:
            uphill = optax.tree.add(state.trainable, sam_perturbation(grads, optim.sam_rho))
            _, grads, _ = gradients(uphill, state, batch, key)
        gradient_norm = optax.tree.norm(grads)

        updates, opt_state = optimizer.update(grads, state.opt_state, state.trainable)
        if transfer.decay_to_source:
            pull = {
                path: transfer.decay_to_source * schedules[group.name](state.step)
                for group in plan.trainable_groups
                for path in group.paths
            }
            updates = decay_towards(updates, state.trainable, state.source['params'], pull)
        trainable = optax.apply_updates(state.trainable, updates)
        ema = None if state.ema is None else _average(state.ema, trainable, state.step, optim.ema_decay)
        moved = dataclasses.replace(
            state, step=state.step + 1, trainable=trainable, model_state=model_state, opt_state=opt_state, ema=ema
        )
        # A finite gradient times a large learning rate can still overflow, and so can batch statistics.
        finite = (
            jnp.isfinite(metrics['loss'])
            & jnp.isfinite(gradient_norm)
            & _all_finite(moved)
            & (state.step == batch['step'])
        )
        if axis_name is not None:
            # The replicas agree as it is. But XLA would work the answer out anew for each of the choices below, which
            # trebles the time to compile; an answer over the axis it keeps.
            finite = jax.lax.pmin(finite.astype(jnp.int32), axis_name) > 0
        # `frozen` and `source` are the same objects in both and pass through untouched.
        kept = jax.tree.map(lambda new, old: new if new is old else jnp.where(finite, new, old), moved, state)
        metrics |= {'gradient_norm': gradient_norm, 'finite': finite}
        if state.source is not None and state.source['params']:
            metrics['source_distance'] = distance(kept.trainable, state.source['params'])
        return kept, metrics | rates(state.step)

    return step


def stream_key(seed: Array | int, stream: str, step: Array | int) -> Array:
    """The random key of a named stream at a step: a pure function of its arguments, so that nothing needs saving."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(stream.encode()))
    return jax.random.fold_in(key, step)


def _accuracy(criterion: TaskLoss, logits: Mapping[str, Array], labels: Mapping[str, Array]) -> Float[Array, '']:
    """The mean over the tasks of the accuracy on what is labelled; NaN where no task has classes."""
    weights = criterion.weights(labels)
    shares = []
    for name, (loss, _, _) in criterion.tasks.items():
        right = accuracy(logits[name], labels[name], loss.name)
        if right is not None:
            shares.append(weighted_mean(right, (weights[name] > 0).astype(jnp.float32)))
    return jnp.stack(shares).mean() if shares else jnp.full((), jnp.nan)


def _accumulate(gradients: Callable[..., Any], model_state: Any, batch: Batch, keys: Array) -> tuple[Any, Any]:
    """Runs the micro-batches one after another and averages; each sees the statistics its predecessor left."""
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


def _all_finite(state: TrainState) -> Bool[Array, '']:
    """Whether every number of a state is finite; what is frozen does not move and need not be looked at."""
    moving = (state.trainable, state.model_state, state.opt_state, state.ema)
    return jax.tree.reduce(jnp.logical_and, jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), moving))


def _average(ema: Any, trainable: Any, step: Array, decay: float) -> Any:
    # A young average follows closely, so that short runs are not evaluated at their starting point.
    weight = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda old, new: weight * old + (1.0 - weight) * new, ema, trainable)
