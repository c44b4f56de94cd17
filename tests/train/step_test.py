"""The training step: what should move moves, what should not is bit-identical, and frozen parts cost nothing."""

import dataclasses
import functools
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import rules
from jtransfer.config import Augment, Optim, Transfer
from jtransfer.inputs.image_pixels import normalise
from jtransfer.models.auxiliary import Auxiliary
from jtransfer.models.backbone import Backbone
from jtransfer.models.layers.batch_norm import BatchNorm
from jtransfer.models.network import Network
from jtransfer.tasks.losses import cross_entropy
from jtransfer.train.step import make_train_step, stream_key
from jtransfer.transfer.plan import make_plan
from tests.tiers import slow

EVERYTHING_ON = Optim(weight_decay=0.1, ema_decay=0.9, accumulate_steps=2, clip_norm=0.1, learning_rate=0.01)


def run(toy, parts, variables, steps=20):
    state = toy.start(parts, variables)
    step = jax.jit(make_train_step(parts, state.trainable))
    metrics = []
    for index in range(steps):
        state, values = step(state, toy.batch(index))
        metrics.append(values)
    return state, metrics


@pytest.mark.parametrize('name', ['resnet_tiny', 'vit_tiny_test'])
def test_a_frozen_backbone_is_bit_identical_with_everything_on(toy, name):
    parts, variables = toy.make(name, Transfer('linear_probe'), EVERYTHING_ON)
    state, _metrics = run(toy, parts, variables)
    chex.assert_trees_all_equal(state.frozen['backbone'], variables['params']['backbone'])
    if 'batch_stats' in variables:
        chex.assert_trees_all_equal(state.model_state['batch_stats'], variables['batch_stats'])
    chex.assert_trees_all_equal(state.variables()['params']['backbone'], variables['params']['backbone'])
    assert set(state.trainable) == {'head'}
    for leaf in jax.tree.leaves(
        jax.tree.map(lambda a, b: jnp.abs(a - b).max(), state.trainable['head'], variables['params']['head'])
    ):
        assert leaf > 0


class AuxiliaryHead(nn.Module):
    """A normalised dense layer, as an auxiliary head."""

    num_classes: int
    kernel_init: Any

    @nn.compact
    def __call__(self, inputs, mode):
        return nn.Dense(self.num_classes, name='fc')(BatchNorm(name='bn')(inputs, mode))


class TwoStages(Backbone):
    """Two dense layers on the mean colour; auxiliary heads of weights 0.3 and 0.5 may read the first."""

    aux: bool
    dtype: Any = jnp.float32
    stages = ('stage1', 'stage2')

    @property
    def auxiliaries(self):
        """The auxiliary heads."""
        weights = {'aux1': 0.3, 'aux2': 0.5} if self.aux else {}
        return tuple(Auxiliary(name, 'stage1', weight, AuxiliaryHead) for name, weight in weights.items())

    @nn.compact
    def __call__(self, inputs, mode=None, *, start=None, stop=None):
        inputs = self.first_input(inputs, start)
        first = nn.tanh(nn.Dense(6, name='stage1')(inputs.mean((1, 2))))
        second = nn.tanh(nn.Dense(5, name='stage2')(first))
        return {'stage1': first, 'stage2': second, 'pooled': second}


def with_auxiliaries(toy, transfer, optim=None, aux=True):
    """Parts and variables of a network with two auxiliary heads."""
    network = Network(TwoStages(aux), {'': toy.classes})
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, toy.side, toy.side, 3)))
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: random.uniform(0.1, 0.5, leaf.shape).astype(np.float32), shapes)
    parts, _ = toy.make(transfer=transfer, optim=optim)
    plan = make_plan(network, variables['params'], transfer)
    return dataclasses.replace(parts, network=network, plan=plan), variables


def test_auxiliary_heads_weigh_in_the_loss(toy):
    parts, variables = with_auxiliaries(toy, Transfer('fine_tune'))
    state, [metrics] = run(toy, parts, variables, 1)
    batch = toy.batch(0)
    images = normalise(jnp.asarray(batch['inputs']['image']), parts.preprocessing)
    train = functools.partial(parts.network.apply, mutable=['batch_stats'], method='training_logits')
    (*outputs, _), _ = jax.jit(train)(variables, images)
    logits, first, second = (output[''] for output in (outputs[0], *(other for _, other in outputs[1])))
    losses = [float(cross_entropy(x, jnp.asarray(batch['labels'][''])).mean()) for x in (logits, first, second)]
    assert float(metrics['loss']) == pytest.approx(losses[0] + 0.3 * losses[1] + 0.5 * losses[2], rel=1e-5)
    before = rules.flatten(variables['params'])
    after = rules.flatten(state.trainable)
    assert set(after) == set(before)
    assert not any(np.array_equal(value, before[path]) for path, value in after.items())


def test_auxiliary_heads_take_the_weights_of_the_examples(toy):
    parts, variables = with_auxiliaries(toy, Transfer('fine_tune'))
    state = toy.start(parts, variables)
    batch = toy.batch(0)
    step = jax.jit(make_train_step(parts, state.trainable))
    _, metrics = step(state, {**batch, 'weight': np.arange(8, dtype=np.float32)})
    images = normalise(jnp.asarray(batch['inputs']['image']), parts.preprocessing)
    train = functools.partial(parts.network.apply, mutable=['batch_stats'], method='training_logits')
    (*outputs, _), _ = jax.jit(train)(variables, images)
    logits, first, second = (output[''] for output in (outputs[0], *(other for _, other in outputs[1])))
    losses = [cross_entropy(x, jnp.asarray(batch['labels'][''])) for x in (logits, first, second)]
    means = [np.average(values, weights=np.arange(8)) for values in losses]
    assert float(metrics['loss']) == pytest.approx(means[0] + 0.3 * means[1] + 0.5 * means[2], rel=1e-5)


def test_a_linear_probe_is_the_same_with_auxiliary_heads(toy):
    optim = Optim(clip_norm=0.1)
    parts, variables = with_auxiliaries(toy, Transfer('linear_probe'), optim)
    state, metrics = run(toy, parts, variables, 3)
    for name in ('aux1', 'aux2'):
        chex.assert_trees_all_equal(state.frozen['head'][name], variables['params']['head'][name])
    chex.assert_trees_all_equal(state.model_state['batch_stats'], variables['batch_stats'])

    plain, other = with_auxiliaries(toy, Transfer('linear_probe'), optim, aux=False)
    other['params']['backbone'] = variables['params']['backbone']
    other['params']['head'] = {name: variables['params']['head'][name] for name in ('kernel', 'bias')}
    expected, expected_metrics = run(toy, plain, other, 3)
    for name, value in expected.trainable['head'].items():
        assert not np.array_equal(value, other['params']['head'][name])
        np.testing.assert_allclose(state.trainable['head'][name], value, rtol=1e-6)
    assert [float(m['loss']) for m in metrics] == pytest.approx([float(m['loss']) for m in expected_metrics])


def test_a_frozen_stage_keeps_its_statistics_while_others_move(toy):
    parts, variables = toy.make(transfer=Transfer('fine_tune', rules=(('backbone/(stem|stage1)/.*', 'freeze'),)))
    state, _ = run(toy, parts, variables, 3)
    before, after = variables['batch_stats']['backbone'], state.model_state['batch_stats']['backbone']
    for stage in ('stem', 'stage1'):
        chex.assert_trees_all_equal(after[stage], before[stage])
    for path, leaf in rules.flatten(after['stage2']).items():
        assert not np.array_equal(leaf, rules.flatten(before['stage2'])[path]), path
    for path, leaf in rules.flatten(state.trainable).items():
        assert not np.array_equal(leaf, rules.flatten(variables['params'])[path]), path


def test_no_optimiser_or_average_element_belongs_to_a_frozen_parameter(toy):
    parts, variables = toy.make(transfer=Transfer('linear_probe'), optim=EVERYTHING_ON)
    state = toy.start(parts, variables)
    head = sum(leaf.size for leaf in jax.tree.leaves(variables['params']['head']))
    assert sum(leaf.size for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim) == 2 * head
    assert sum(leaf.size for leaf in jax.tree.leaves(state.ema)) == head


def flops(function, *args, compiled=True):
    lowered = jax.jit(function).lower(*args)
    return (lowered.compile() if compiled else lowered).cost_analysis()['flops']


@pytest.mark.parametrize('name', ['resnet_tiny', 'vit_tiny_test', *slow('resnet_small', 'vit_mini')])
def test_a_frozen_backbone_costs_a_forward_pass(toy, name):
    optim = Optim(weight_decay=0.1, clip_norm=1.0, ema_decay=0.9)
    parts, variables = toy.make(name, Transfer('linear_probe'), optim)
    state = toy.start(parts, variables)
    batch = toy.batch(batch=32)
    probe = flops(make_train_step(parts, state.trainable), state, batch)

    def forward_and_head(variables, images):
        features = parts.network.apply(variables, images, method='features')['pooled']
        head = variables['params']['head']

        def loss(head):
            return jnp.sum((features @ head['kernel'] + head['bias']) ** 2)

        return jax.grad(loss)(head)

    images = jnp.zeros((32, toy.side, toy.side, 3))
    ideal = flops(forward_and_head, variables, images)
    assert ideal <= probe < 1.05 * ideal, (probe, ideal)

    full, _ = toy.make(name, Transfer('fine_tune'), optim)
    whole = toy.start(full, variables)
    # Before XLA simplifies, which is quicker to count, and near enough for the bound above to mean something.
    assert flops(make_train_step(full, whole.trainable), whole, batch, compiled=False) > 2.2 * ideal


def test_accumulation_equals_one_batch_without_batch_statistics(toy):
    sgd = Optim(name='sgd', learning_rate=0.1)
    single, variables = toy.make('vit_tiny_test', optim=sgd)
    several, _ = toy.make('vit_tiny_test', optim=dataclasses.replace(sgd, accumulate_steps=4))
    one, [first, *_] = run(toy, single, variables, 2)
    four, [second, *_] = run(toy, several, variables, 2)
    np.testing.assert_allclose(first['loss'], second['loss'], rtol=1e-5)
    np.testing.assert_allclose(first['gradient_norm'], second['gradient_norm'], rtol=1e-4)
    chex.assert_trees_all_close(one.trainable, four.trainable, atol=3e-5)


def test_the_average_follows_its_formula(toy):
    parts, variables = toy.make(optim=Optim(ema_decay=0.3))
    state = toy.start(parts, variables)
    step = jax.jit(make_train_step(parts, state.trainable))
    expected = jax.tree.map(np.asarray, state.trainable)
    for index in range(5):
        state, _ = step(state, toy.batch(index))
        decay = min(0.3, (1 + index) / (10 + index))
        expected = jax.tree.map(lambda e, p, d=decay: d * e + (1 - d) * np.asarray(p), expected, state.trainable)
    chex.assert_trees_all_close(state.ema, expected, atol=1e-6)


def test_a_step_that_is_not_finite_changes_nothing_and_neither_does_any_later_one(toy):
    parts, variables = toy.make(optim=dataclasses.replace(EVERYTHING_ON, accumulate_steps=1))
    state = toy.start(parts, variables)
    poisoned = jax.tree.map(jnp.array, state)
    poisoned.trainable['head']['bias'] = jnp.full((toy.classes,), jnp.nan)
    step = jax.jit(make_train_step(parts, state.trainable))
    after, metrics = step(poisoned, toy.batch(0))
    assert not metrics['finite']
    assert int(after.step) == 0
    chex.assert_trees_all_equal(after.model_state, state.model_state)
    chex.assert_trees_all_equal(after.opt_state, state.opt_state)
    later, metrics = step(state, toy.batch(1))  # a good batch, but the one before it was lost
    assert not metrics['finite']
    chex.assert_trees_all_equal(later, state)


def test_a_finite_gradient_that_overflows_the_parameters_is_not_finite(toy):
    sgd = Optim(name='sgd', learning_rate=1e38, schedule='constant', warmup=0.0)
    parts, variables = toy.make(transfer=Transfer('linear_probe'), optim=sgd)
    state = toy.start(parts, variables)
    step = jax.jit(make_train_step(parts, state.trainable))
    for index in range(20):
        before = state
        state, metrics = step(before, toy.batch(index))
        if not metrics['finite']:
            break
    assert not metrics['finite']
    assert np.isfinite(metrics['loss'])
    assert np.isfinite(metrics['gradient_norm'])
    chex.assert_tree_all_finite(state)
    chex.assert_trees_all_equal(state, before)


def test_bfloat16_computes_low_and_keeps_high(toy):
    low, variables = toy.make(dtype=jnp.bfloat16)
    high, _ = toy.make()
    state, metrics = run(toy, low, variables, 2)
    _, reference = run(toy, high, variables, 2)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.trainable))
    assert metrics[1]['loss'].dtype == jnp.float32
    assert metrics[0]['loss'] != reference[0]['loss']
    np.testing.assert_allclose(metrics[0]['loss'], reference[0]['loss'], rtol=0.05)


def test_one_compilation_for_all_steps_and_seeds(toy):
    parts, variables = toy.make(augment=Augment(horizontal_flip=0.5, brightness=0.2))
    state = toy.start(parts, variables)
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(make_train_step(parts, state.trainable), n=1))
    for index in range(3):
        state, metrics = step(state, toy.batch(index, seed=index))
    assert np.isfinite(metrics['loss'])


def test_dropout_draws_anew_for_every_step_and_seed(toy):
    still = Optim(name='sgd', learning_rate=1e-30)
    parts, variables = toy.make(transfer=Transfer('linear_probe'), optim=still, dropout=0.5)
    start = toy.start(parts, variables)
    step = jax.jit(make_train_step(parts, start.trainable))

    def losses(seed):
        state, found = start, []
        for index in range(3):
            batch = {**toy.batch(0, seed), 'step': np.int32(index)}  # the same pictures every time
            state, metrics = step(state, batch)
            found.append(float(metrics['loss']))
        return found

    assert losses(0) == losses(0)
    assert len({*losses(0), *losses(1)}) == 6


def test_metrics_name_the_learning_rate_of_each_group(toy):
    parts, variables = toy.make(
        transfer=Transfer('fine_tune', backbone_learning_rate_scale=0.1),
        optim=Optim(learning_rate=0.5, warmup=0.0, schedule='constant'),
    )
    _, [metrics] = run(toy, parts, variables, 1)
    assert float(metrics['learning_rate/head']) == pytest.approx(0.5)
    assert float(metrics['learning_rate/backbone']) == pytest.approx(0.05)


def test_stream_keys_differ_by_seed_stream_and_step():
    def data(*args):
        return tuple(jax.random.key_data(stream_key(*args)).tolist())

    assert data(0, 'a', 0) == data(0, 'a', 0)
    assert len({data(0, 'a', 0), data(1, 'a', 0), data(0, 'b', 0), data(0, 'a', 1)}) == 4
