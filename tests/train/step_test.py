"""The training step: what should move moves, what should not is bit-identical, and frozen parts cost nothing."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import models, rules
from jtransfer.config import Augment, Config, Optim, Transfer
from jtransfer.preprocessing import Preprocessing
from jtransfer.train.state import init_state
from jtransfer.train.step import StepParts, make_train_step, stream_key
from jtransfer.transfer.plan import make_plan

SIDE, CLASSES, BATCH = 16, 3, 8
PREPROCESSING = Preprocessing(SIDE, (0.5,) * 3, (0.5,) * 3)
EVERYTHING_ON = Optim(weight_decay=0.1, ema_decay=0.9, accumulate_steps=2, clip_norm=0.1, learning_rate=0.01)


def make(name='resnet_tiny', transfer=None, optim=None, dtype=jnp.float32, steps=20, augment=None):
    optim = optim or Optim()
    network = models.create(name, num_classes=CLASSES, dtype=dtype, head_init='normal')
    variables = jax.jit(network.init)(jax.random.key(1), jnp.zeros((1, SIDE, SIDE, 3)))
    plan = make_plan(variables['params'], transfer or Transfer('fine_tune'), optim.weight_decay)
    config = Config(optim=optim, augment=augment or Augment())
    return StepParts(network, PREPROCESSING, plan, config, steps), variables


def start(parts, variables):
    trainable, _ = parts.plan.split(variables['params'])
    return init_state(variables, parts.plan, parts.optimizer(trainable), ema=parts.config.optim.ema_decay > 0)


def make_batch(step=0, seed=0, batch=BATCH):
    rng = np.random.default_rng(step)
    return {
        'image': rng.integers(0, 256, (batch, SIDE, SIDE, 3), dtype=np.uint8),
        'label': rng.integers(0, CLASSES, batch).astype(np.int32),
        'aspect': np.ones(batch, np.float32),
        'id': np.arange(batch, dtype=np.int32),
        'epoch': np.full(batch, step, np.int32),
        'seed': np.uint32(seed),
        'step': np.int32(step),
    }


def run(parts, variables, steps=20):
    state = start(parts, variables)
    step = jax.jit(make_train_step(parts, state.trainable))
    metrics = []
    for index in range(steps):
        state, values = step(state, make_batch(index))
        metrics.append(values)
    return state, metrics


@pytest.mark.parametrize('name', ['resnet_tiny', 'vit_tiny_test'])
def test_a_frozen_backbone_is_bit_identical_with_everything_on(name):
    parts, variables = make(name, Transfer('linear_probe'), EVERYTHING_ON)
    state, _metrics = run(parts, variables)
    chex.assert_trees_all_equal(state.frozen['backbone'], variables['params']['backbone'])
    if 'batch_stats' in variables:
        chex.assert_trees_all_equal(state.model_state['batch_stats'], variables['batch_stats'])
    chex.assert_trees_all_equal(state.variables()['params']['backbone'], variables['params']['backbone'])
    assert set(state.trainable) == {'head'}
    for leaf in jax.tree.leaves(
        jax.tree.map(lambda a, b: jnp.abs(a - b).max(), state.trainable['head'], variables['params']['head'])
    ):
        assert leaf > 0


def test_a_frozen_stage_keeps_its_statistics_while_others_move():
    parts, variables = make(transfer=Transfer('fine_tune', rules=(('backbone/(stem|stage1)/.*', 'freeze'),)))
    state, _ = run(parts, variables, 3)
    before, after = variables['batch_stats']['backbone'], state.model_state['batch_stats']['backbone']
    for stage in ('stem', 'stage1'):
        chex.assert_trees_all_equal(after[stage], before[stage])
    for path, leaf in rules.flatten(after['stage2']).items():
        assert not np.array_equal(leaf, rules.flatten(before['stage2'])[path]), path
    for path, leaf in rules.flatten(state.trainable).items():
        assert not np.array_equal(leaf, rules.flatten(variables['params'])[path]), path


def test_no_optimiser_or_average_element_belongs_to_a_frozen_parameter():
    parts, variables = make(transfer=Transfer('linear_probe'), optim=EVERYTHING_ON)
    state = start(parts, variables)
    head = sum(leaf.size for leaf in jax.tree.leaves(variables['params']['head']))
    assert sum(leaf.size for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim) == 2 * head
    assert sum(leaf.size for leaf in jax.tree.leaves(state.ema)) == head


def flops(function, *args):
    return jax.jit(function).lower(*args).compile().cost_analysis()['flops']


@pytest.mark.parametrize('name', ['resnet_tiny', 'resnet_small', 'vit_tiny_test', 'vit_mini'])
def test_a_frozen_backbone_costs_a_forward_pass(name):
    optim = Optim(weight_decay=0.1, clip_norm=1.0, ema_decay=0.9)
    parts, variables = make(name, Transfer('linear_probe'), optim)
    state = start(parts, variables)
    batch = make_batch(batch=32)
    probe = flops(make_train_step(parts, state.trainable), state, batch)

    def forward_and_head(variables, images):
        features = parts.network.apply(variables, images, method='features')['pooled']
        head = variables['params']['head']

        def loss(head):
            return jnp.sum((features @ head['kernel'] + head['bias']) ** 2)

        return jax.grad(loss)(head)

    images = jnp.zeros((32, SIDE, SIDE, 3))
    ideal = flops(forward_and_head, variables, images)
    assert ideal <= probe < 1.05 * ideal + 60 * 32 * SIDE * SIDE, (probe, ideal)

    full, _ = make(name, Transfer('fine_tune'), optim)
    whole = start(full, variables)
    assert flops(make_train_step(full, whole.trainable), whole, batch) > 2.2 * ideal


def test_accumulation_equals_one_batch_without_batch_statistics():
    sgd = Optim(name='sgd', learning_rate=0.1)
    single, variables = make('vit_tiny_test', optim=sgd)
    several, _ = make('vit_tiny_test', optim=dataclasses.replace(sgd, accumulate_steps=4))
    one, [first, *_] = run(single, variables, 2)
    four, [second, *_] = run(several, variables, 2)
    np.testing.assert_allclose(first['loss'], second['loss'], rtol=1e-5)
    np.testing.assert_allclose(first['gradient_norm'], second['gradient_norm'], rtol=1e-4)
    chex.assert_trees_all_close(one.trainable, four.trainable, atol=3e-5)


def test_the_average_follows_its_formula():
    parts, variables = make(optim=Optim(ema_decay=0.3))
    state = start(parts, variables)
    step = jax.jit(make_train_step(parts, state.trainable))
    expected = jax.tree.map(np.asarray, state.trainable)
    for index in range(5):
        state, _ = step(state, make_batch(index))
        decay = min(0.3, (1 + index) / (10 + index))
        expected = jax.tree.map(lambda e, p, d=decay: d * e + (1 - d) * np.asarray(p), expected, state.trainable)
    chex.assert_trees_all_close(state.ema, expected, atol=1e-6)


def test_a_step_that_is_not_finite_changes_nothing_and_neither_does_any_later_one():
    parts, variables = make(optim=dataclasses.replace(EVERYTHING_ON, accumulate_steps=1))
    state = start(parts, variables)
    poisoned = jax.tree.map(jnp.array, state)
    poisoned.trainable['head']['bias'] = jnp.full((CLASSES,), jnp.nan)
    step = jax.jit(make_train_step(parts, state.trainable))
    after, metrics = step(poisoned, make_batch(0))
    assert not metrics['finite']
    assert int(after.step) == 0
    chex.assert_trees_all_equal(after.model_state, state.model_state)
    chex.assert_trees_all_equal(after.opt_state, state.opt_state)
    later, metrics = step(state, make_batch(1))  # a good batch, but the one before it was lost
    assert not metrics['finite']
    chex.assert_trees_all_equal(later, state)


def test_bfloat16_computes_low_and_keeps_high():
    low, variables = make(dtype=jnp.bfloat16)
    high, _ = make()
    state, metrics = run(low, variables, 2)
    _, reference = run(high, variables, 2)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.trainable))
    assert metrics[1]['loss'].dtype == jnp.float32
    assert metrics[0]['loss'] != reference[0]['loss']
    np.testing.assert_allclose(metrics[0]['loss'], reference[0]['loss'], rtol=0.05)


def test_one_compilation_for_all_steps_and_seeds():
    parts, variables = make(augment=Augment(horizontal_flip=0.5, brightness=0.2))
    state = start(parts, variables)
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(make_train_step(parts, state.trainable), n=1))
    for index in range(3):
        state, metrics = step(state, make_batch(index, seed=index))
    assert np.isfinite(metrics['loss'])


def test_metrics_name_the_learning_rate_of_each_group():
    parts, variables = make(
        transfer=Transfer('fine_tune', backbone_learning_rate_scale=0.1),
        optim=Optim(learning_rate=0.5, warmup=0.0, schedule='constant'),
    )
    _, [metrics] = run(parts, variables, 1)
    assert float(metrics['learning_rate/head']) == pytest.approx(0.5)
    assert float(metrics['learning_rate/backbone']) == pytest.approx(0.05)


def test_stream_keys_differ_by_seed_stream_and_step():
    def data(*args):
        return tuple(jax.random.key_data(stream_key(*args)).tolist())

    assert data(0, 'a', 0) == data(0, 'a', 0)
    assert len({data(0, 'a', 0), data(1, 'a', 0), data(0, 'b', 0), data(0, 'a', 1)}) == 4
