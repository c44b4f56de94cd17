"""The training step: a pure function from a state and a batch to the next state and the metrics.

It differentiates the trainable tree alone. It knows no axis names except the one its placement gives it.

`make_train_step` is the page to read: a batch is augmented, the gradients of its loss are taken and pulled towards the
source, the parameters are updated and averaged, and all of it is undone where a number is not finite.
"""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jtransfer.augment.keys import example_keys
from jtransfer.models.network import TrainingOutput
from jtransfer.train.accumulate import accumulate
from jtransfer.train.state import TrainState
from jtransfer.train.step_parts import Setup, StepParts, set_up
from jtransfer.transfer.optimizer import learning_rates
from jtransfer.transfer.plan import combine
from jtransfer.transfer.pull import Features, source_features
from jtransfer.transfer.settings import exists
from jtransfer.transfer.towards_source import distance
from jtransfer.transfer.update_rules import sam_perturbation

Batch: TypeAlias = Mapping[str, Any]
Metrics: TypeAlias = dict[str, Array]
TrainStep: TypeAlias = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def make_train_step(parts: StepParts, trainable: Any, axis_name: str | None = None) -> TrainStep:
    """Builds the step.

    A batch holds `inputs` by field as they are held (`Preprocessor.prepare`), `labels` by task (class numbers int32
    [batch], or whatever else the loss takes), `id` and `epoch` int32 [batch] (which make the augmentation's key), and
    the scalars `seed` and `step`. It may hold `weight` float32 [batch], ≥ 0: the loss
    is then the mean with these weights, times those of the classes; accuracy and distillation take no notice of them.
    Where examples are mixed, the weight is that of the one whose place it is, whatever is mixed into it. And it
    may hold `settings`, the numbers of `StepParts.settings` as scalars float32: they then take the place of the
    configured ones, and a program that is compiled once serves any.

    The metrics are `loss` (with that of auxiliary heads, see `Network.training_logits`, and of distilled features;
    without L2-SP, which is added to the gradient), with several heads a `loss/NAME` each, what tasks log (`accuracy`),
    `gradient_norm` (of the trainable parameters, before clipping), `source_distance` where something pulls parameters
    towards the source, `finite`, and a learning rate a group.

    When the loss, a gradient or anything in the next state is not finite, the state is returned as it was, and stays
    so: a later batch, whose `step` is then ahead of the state's, changes nothing either. The loop finds `finite` false
    and stops with the last good state in hand.

    Args:
        parts: network, plan and settings.
        trainable: the trainable tree, or its shapes.
        axis_name: the axis over which replicas average, under `pmap`; None where the compiler sees the whole batch.
    """
    as_configured = set_up(parts, trainable, axis_name)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        setup, batch = with_numbers(as_configured, batch)
        # Examples are mixed with others of the whole batch, whatever it is split into for accumulation.
        batch = augment(setup, batch) if setup.mixes else batch
        key = dropout_key(setup, state, batch)

        model_state, grads, metrics = gradients(setup, state.trainable, state, batch, key)
        if exists(setup.optim.sam_rho):
            grads = gradients_uphill(setup, grads, state, batch, key)
        gradient_norm = optax.tree.norm(grads)

        trainable, opt_state = update(setup, grads, state)
        ema = average(setup, state, trainable)
        moved = dataclasses.replace(
            state, step=state.step + 1, trainable=trainable, model_state=model_state, opt_state=opt_state, ema=ema
        )

        finite = is_finite(setup, metrics['loss'], gradient_norm, moved, state, batch)
        kept = guard(finite, moved, state)
        metrics = {**metrics, 'gradient_norm': gradient_norm, 'finite': finite}
        return kept, metrics | source_distance(kept) | learning_rates(setup.plan, setup.schedules)(state.step)

    return step


def with_numbers(setup: Setup, batch: Batch) -> tuple[Setup, Batch]:
    """What is made of the parts with the numbers that a batch brings, and the batch without them."""
    settings: Any = batch.get('settings')
    if settings is None:
        return setup, batch
    rest = {name: leaf for name, leaf in batch.items() if name != 'settings'}
    return set_up(setup.parts.with_settings(settings), setup.trainable, setup.axis_name), rest


def augment(setup: Setup, batch: Batch) -> Batch:
    """The batch with its inputs and labels augmented, every example by its own key."""
    keys = example_keys(batch['seed'], batch['epoch'], batch['id'])
    inputs, labels = setup.augment(keys, batch['inputs'], batch['labels'])
    return {**batch, 'inputs': inputs, 'labels': labels}


def stream_key(seed: Array | int, stream: str, step: Array | int) -> Array:
    """The random key of a named stream at a step: a pure function of its arguments, so that nothing needs saving."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(stream.encode()))
    return jax.random.fold_in(key, step)


def dropout_key(setup: Setup, state: TrainState, batch: Batch) -> Array:
    """The key of dropout at this step, another one for every replica."""
    key = stream_key(batch['seed'], 'dropout', state.step)
    return key if setup.axis_name is None else jax.random.fold_in(key, jax.lax.axis_index(setup.axis_name))


def gradients(setup: Setup, trainable: Any, state: TrainState, batch: Batch, key: Array) -> tuple[Any, Any, Metrics]:
    """The next statistics, the gradient with what pulls add to it, and the metrics, of the whole batch.

    Args:
        setup: what is made of the parts.
        trainable: the parameters at which the gradient is taken.
        state: everything else.
        batch: the share of this replica; what is returned is that of all of them.
        key: of dropout.
    """
    of_micro_batch = functools.partial(micro_batch_gradients, setup, trainable, state, total_weights(setup, batch))
    count = setup.optim.accumulate_steps
    if count == 1:
        model_state, means = of_micro_batch(state.model_state, batch, key)
    else:
        model_state, means = accumulate(of_micro_batch, state.model_state, batch, jax.random.split(key, count))
    grads, metrics = setup.mean(means)
    for pull in setup.pulls:
        grads = pull.gradient(grads, trainable, _source_params(state))
    return model_state, grads, metrics


def gradients_uphill(setup: Setup, grads: Any, state: TrainState, batch: Batch, key: Array) -> Any:
    """The gradient of sharpness-aware minimisation; loss and statistics stay those of where the parameters are."""
    uphill = optax.tree.add(state.trainable, sam_perturbation(grads, setup.optim.sam_rho))
    return gradients(setup, uphill, state, batch, key)[1]


def total_weights(setup: Setup, batch: Batch) -> dict[str, Float[Array, '']]:
    """The sum of the examples' weights, by task, for `weighted_mean`.

    Of the whole batch, over accumulation steps and replicas: the mean of their losses is then that of the batch.
    """
    weights = setup.criterion.weights(batch['labels'], batch.get('weight'))
    return setup.mean({name: values.sum() / setup.optim.accumulate_steps for name, values in weights.items()})


def micro_batch_gradients(
    setup: Setup, trainable: Any, state: TrainState, totals: Any, model_state: Any, batch: Batch, key: Array
) -> tuple[Any, tuple[Any, Metrics]]:
    """The statistics that a micro-batch leaves, its gradient, and its metrics with `loss`."""
    batch = batch if setup.mixes else augment(setup, batch)
    differentiate = jax.value_and_grad(functools.partial(loss_and_metrics, setup), has_aux=True)
    (loss, (model_state, metrics)), grads = differentiate(trainable, state, model_state, batch, totals, key)
    return model_state, (grads, {**metrics, 'loss': loss})


def loss_and_metrics(
    setup: Setup, trainable: Any, state: TrainState, model_state: Any, batch: Batch, totals: Any, key: Array
) -> tuple[Float[Array, ''], tuple[Any, Metrics]]:
    """The forward pass and the losses: the loss, which is differentiated, the next statistics and the metrics.

    Args:
        setup: what is made of the parts.
        trainable: the parameters that move.
        state: has those that do not, and what is kept of the source.
        model_state: the statistics before.
        batch: augmented.
        totals: of `total_weights`.
        key: of dropout.
    """
    inputs = setup.parts.preprocessing.device(batch['inputs'], setup.network.dtype)
    output, model_state = forward(setup, trainable, state, model_state, inputs, key)
    loss, losses = target_loss(setup, output, batch, totals)
    loss = pulled_loss(setup, loss, output.features, inputs, state)
    metrics = setup.criterion.log(output.outputs, batch['labels'])
    if setup.criterion.named:
        metrics |= {f'loss/{name}': value for name, value in losses.items()}
    return loss, (model_state, metrics)


def forward(
    setup: Setup, trainable: Any, state: TrainState, model_state: Any, inputs: Any, key: Array
) -> tuple[TrainingOutput, Any]:
    """What the network makes of its inputs in training, and the statistics it leaves; frozen modules only evaluate."""
    output: Any
    output, model_state = setup.network.apply(
        {'params': combine(trainable, state.frozen), **model_state},
        inputs,
        frozen=setup.plan.frozen_modules,
        mutable=list(model_state),
        rngs={'dropout': key},
        method='training_logits',
    )
    return output, model_state


def target_loss(
    setup: Setup, output: TrainingOutput, batch: Batch, totals: Any
) -> tuple[Float[Array, ''], dict[str, Float[Array, '']]]:
    """The loss by the labels, with that of auxiliary heads, and each task's without."""
    labels, weight = batch['labels'], batch.get('weight')
    loss, losses = setup.criterion(output.outputs, labels, totals, weight)
    for share, outputs in output.auxiliaries:
        loss += share * setup.criterion(outputs, labels, totals, weight)[0]
    return loss, losses


def pulled_loss(
    setup: Setup, loss: Float[Array, ''], features: Features, inputs: Any, state: TrainState
) -> Float[Array, '']:
    """The loss with the terms that pulls add to it."""
    of_source = functools.partial(source_features, setup.network, state.source, state.frozen, inputs)
    for pull in setup.pulls:
        term = pull.loss(features, of_source)
        loss = loss if term is None else loss + term
    return loss


def update(setup: Setup, grads: Any, state: TrainState) -> tuple[Any, Any]:
    """The next parameters, by the optimiser and what pulls add to its updates, and the optimiser's next state."""
    updates, opt_state = setup.optimizer.update(grads, state.opt_state, state.trainable)
    schedules = {path: setup.schedules[group.name] for group in setup.plan.trainable_groups for path in group.paths}
    for pull in setup.pulls:
        updates = pull.update(updates, state.trainable, _source_params(state), schedules, state.step)
    return optax.apply_updates(state.trainable, updates), opt_state


def average(setup: Setup, state: TrainState, trainable: Any) -> Any:
    """The next moving average of the parameters; None where there is none."""
    if state.ema is None:
        return None
    # A young average follows closely, so that short runs are not evaluated at their starting point.
    weight = jnp.minimum(setup.optim.ema_decay, (1.0 + state.step) / (10.0 + state.step))
    return jax.tree.map(lambda old, new: weight * old + (1.0 - weight) * new, state.ema, trainable)


def is_finite(
    setup: Setup, loss: Array, gradient_norm: Array, moved: TrainState, state: TrainState, batch: Batch
) -> Bool[Array, '']:
    """Whether every number that a step has made is finite, and no step before it was lost."""
    # A finite gradient times a large learning rate can still overflow, and so can batch statistics.
    finite = jnp.isfinite(loss) & jnp.isfinite(gradient_norm) & _all_finite(moved) & (state.step == batch['step'])
    if setup.axis_name is None:
        return finite
    # The replicas agree as it is. But XLA would work the answer out anew for each of the choices of `guard`, which
    # trebles the time to compile; an answer over the axis it keeps.
    return jax.lax.pmin(finite.astype(jnp.int32), setup.axis_name) > 0


def guard(finite: Bool[Array, ''], moved: TrainState, state: TrainState) -> TrainState:
    """The next state where all is finite, otherwise the state as it was."""
    # `frozen` and `source` are the same objects in both and pass through untouched.
    return jax.tree.map(lambda new, old: new if new is old else jnp.where(finite, new, old), moved, state)


def source_distance(state: TrainState) -> Metrics:
    """The metric `source_distance`, where something pulls parameters towards the source."""
    source = _source_params(state)
    return {'source_distance': distance(state.trainable, source)} if source else {}


def _source_params(state: TrainState) -> Mapping[str, Any]:
    """The parameters that are kept of the source, nested like `trainable`; empty where there are none."""
    return state.source['params'] if state.source else {}


def _all_finite(state: TrainState) -> Bool[Array, '']:
    """Whether every number of a state is finite; what is frozen does not move and need not be looked at."""
    moving = (state.trainable, state.model_state, state.opt_state, state.ema)
    return jax.tree.reduce(jnp.logical_and, jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), moving))
