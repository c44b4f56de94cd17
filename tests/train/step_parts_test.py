"""Options of the training step against the same thing by hand: SAM, class weights, tasks, an optimiser a group.

However the batch is split, over micro-batches and devices, the numbers are those of the whole.
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jtransfer import rules
from jtransfer.config import Optim, Transfer
from jtransfer.config.optim import Loss
from jtransfer.inputs.image_pixels import normalise
from jtransfer.tasks.base import Task
from jtransfer.train.placement import make_placement

RATE = 0.1
PLAIN = {'clip_norm': 0.0, 'warmup': 0.0, 'schedule': 'constant', 'learning_rate': RATE}
SGD = Optim(name='sgd', momentum=0.0, weight_decay=0.0, **PLAIN)
# Devices and micro-batches.
SPLITS = [('jit', 1, 2), ('jit', 8, 1), ('jit', 8, 2), ('pmap', 8, 1), ('pmap', 8, 2)]


def run(parts, variables, batches, kind='jit', devices=1):
    """The state after the batches, and the metrics of each."""
    placement = make_placement(kind, jax.devices()[:devices])
    state = parts.start(variables)
    step = placement.compile(parts, state.trainable)
    state = placement.put_state(state)
    found = []
    for batch in batches:
        state, metrics = step(state, placement.put_batch(batch))
        found.append({name: float(np.ravel(value)[0]) for name, value in metrics.items()})
    return jax.tree.map(np.asarray, placement.get_state(state)), found


def forward(parts):
    def apply(params, batch):
        images = normalise(jnp.asarray(batch['inputs']['image']), parts.preprocessing)
        outputs = parts.network.apply({'params': params}, images)
        return outputs if parts.criterion.named else outputs['']

    return apply


def cross_entropy(logits, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(labels))


def mean_loss(parts):
    return lambda params, batch: cross_entropy(forward(parts)(params, batch), batch['labels']['']).mean()


def kernels(params):
    flat = rules.flatten(params)
    return rules.unflatten({path: path.endswith('/kernel') for path in flat})


@pytest.mark.parametrize('name', ['sgd', 'adamw'])
def test_sharpness_aware_minimisation_is_that_of_optax(toy, name):
    optim = dataclasses.replace(SGD, name=name, sam_rho=0.3, weight_decay=0.2, learning_rate=0.05)
    parts, variables = toy.make('dense', optim=optim)
    batches = [toy.batch(step, batch=16) for step in range(3)]
    params = jax.tree.map(jnp.asarray, variables['params'])
    inner = {
        'sgd': optax.chain(optax.add_decayed_weights(0.2, kernels), optax.sgd(0.05)),
        'adamw': optax.adamw(0.05, weight_decay=0.2, mask=kernels),
    }[name]
    uphill = optax.chain(optax.contrib.normalize(), optax.sgd(0.3))
    sam = optax.contrib.sam(inner, uphill, opaque_mode=True)
    gradient = jax.jit(jax.grad(mean_loss(parts)))
    state = sam.init(params)
    for batch in batches:
        given = {name: batch[name] for name in ('inputs', 'labels')}
        updates, state = sam.update(
            gradient(params, given), state, params, grad_fn=lambda p, _, given=given: gradient(p, given)
        )
        params = optax.apply_updates(params, updates)
    found, _ = run(parts, variables, batches)
    chex.assert_trees_all_close(found.trainable, params, rtol=1e-4, atol=1e-6)
    without, _ = run(toy.make('dense', optim=dataclasses.replace(optim, sam_rho=0.0))[0], variables, batches)
    assert max(jax.tree.leaves(jax.tree.map(lambda a, b: np.abs(a - b).max(), without.trainable, params))) > 1e-3

    for kind, devices, count in SPLITS[-3:] if name == 'sgd' else ():
        split, _ = toy.make('dense', optim=dataclasses.replace(optim, accumulate_steps=count))
        other, _ = run(split, variables, batches, kind, devices)
        chex.assert_trees_all_close(other.trainable, found.trainable, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('network', ['dense_norm'])
def test_sam_on_devices_is_the_same_with_batch_statistics(toy, network):
    parts, variables = toy.make(network, optim=dataclasses.replace(SGD, sam_rho=0.3))
    batches = [toy.batch(step, batch=16) for step in range(2)]
    one, _ = run(parts, variables, batches)
    for kind in ('jit', 'pmap'):
        other, _ = run(parts, variables, batches, kind, 8)
        chex.assert_trees_all_close(other.trainable, one.trainable, rtol=1e-4, atol=1e-6)
        chex.assert_trees_all_close(other.model_state, one.model_state, rtol=1e-4, atol=1e-6)


def test_class_weights_are_those_of_the_whole_batch_however_it_is_split(toy):
    weights = (0.2, 1.0, 3.0)
    parts, variables = toy.make('dense', optim=SGD, loss=Loss(class_weights=weights))
    batch = toy.batch(0, batch=16)

    def loss(params):
        of = jnp.asarray(weights)[batch['labels']['']]
        return (of * cross_entropy(forward(parts)(params, batch), batch['labels'][''])).sum() / of.sum()

    expected, grads = jax.value_and_grad(loss)(variables['params'])
    for kind, devices, count in [('jit', 1, 1), *SPLITS]:
        split, _ = toy.make(
            'dense', optim=dataclasses.replace(SGD, accumulate_steps=count), loss=Loss(class_weights=weights)
        )
        state, [metrics] = run(split, variables, [batch], kind, devices)
        assert metrics['loss'] == pytest.approx(float(expected), rel=1e-5), (kind, devices, count)
        moved = jax.tree.map(lambda a, b: (b - a) / RATE, state.trainable, variables['params'])
        chex.assert_trees_all_close(moved, grads, rtol=1e-3, atol=1e-5)


TASKS = (
    (Task('kind', 'single_label', ('a', 'b', 'c')), Loss('cross_entropy', class_weights=(0.5, 1.0, 2.0))),
    (Task('tags', 'multi_label', ('p', 'q', 'r', 's'), weight=0.5), Loss('binary')),
    (Task('size', 'regression', ('size',), weight=2.0), Loss('mse')),
)


def with_tasks(batch):
    """The batch with labels for three tasks, some of them missing."""
    random = np.random.default_rng(7)
    count = len(batch['labels'][''])
    tags = random.integers(0, 2, (count, 4)).astype(np.float32)
    tags[[1, 6, 7]] = np.nan
    kind = batch['labels'][''].copy()
    kind[[0, 1, 5]] = -1
    size = random.standard_normal((count, 1)).astype(np.float32)
    size[3] = np.nan
    return {**batch, 'labels': {'kind': kind, 'tags': tags, 'size': size}}


def test_several_tasks_train_as_their_weighted_sum(toy):
    parts, variables = toy.make('dense', optim=SGD, tasks=TASKS)
    batch = with_tasks(toy.batch(0, batch=16))
    labels = batch['labels']

    def losses(params):
        logits = forward(parts)(params, batch)
        known = labels['kind'] >= 0
        of = jnp.asarray((0.5, 1.0, 2.0))[labels['kind'][known]]
        kind = (of * cross_entropy(logits['kind'][known], labels['kind'][known])).sum() / of.sum()
        known = ~np.isnan(labels['tags']).any(1)
        tags = optax.sigmoid_binary_cross_entropy(logits['tags'][known], labels['tags'][known]).mean()
        known = ~np.isnan(labels['size']).any(1)
        size = jnp.square(logits['size'][known] - labels['size'][known]).mean()
        return kind + 0.5 * tags + 2 * size, {'kind': kind, 'tags': tags, 'size': size}

    (expected, each), grads = jax.value_and_grad(losses, has_aux=True)(variables['params'])
    assert set(variables['params']['heads']) == {task.name for task, _ in TASKS}
    for kind, devices, count in [('jit', 1, 1), ('jit', 8, 1), ('pmap', 8, 2)]:
        split, _ = toy.make('dense', optim=dataclasses.replace(SGD, accumulate_steps=count), tasks=TASKS)
        state, [metrics] = run(split, variables, [batch], kind, devices)
        assert metrics['loss'] == pytest.approx(float(expected), rel=1e-5), (kind, devices, count)
        for task, value in each.items():
            assert metrics[f'loss/{task}'] == pytest.approx(float(value), rel=1e-5), (kind, devices, count)
        moved = jax.tree.map(lambda a, b: (b - a) / RATE, state.trainable, variables['params'])
        chex.assert_trees_all_close(moved, grads, rtol=1e-3, atol=2e-5)


def test_a_probe_of_several_tasks_trains_the_heads_alone(toy):
    parts, variables = toy.make('dense_norm', Transfer('linear_probe'), SGD, tasks=TASKS)
    state, _ = run(parts, variables, [with_tasks(toy.batch(0, batch=16))])
    heads = {f'heads/{task.name}/{leaf}' for task, _ in TASKS for leaf in ('kernel', 'bias')}
    assert set(rules.flatten(state.trainable)) == heads
    chex.assert_trees_all_equal(state.frozen['backbone'], variables['params']['backbone'])
    chex.assert_trees_all_equal(state.model_state['batch_stats'], variables['batch_stats'])
    for path, leaf in rules.flatten(state.trainable).items():
        assert not np.array_equal(leaf, rules.flatten(variables['params'])[path])


def test_groups_with_optimisers_of_their_own_equal_separate_ones_by_hand(toy):
    transfer = Transfer(
        'fine_tune',
        rules=(
            ('backbone/stage1/.*', 'optimizer=lion,learning_rate=0.1,weight_decay=0.3'),
            ('backbone/stage2/.*', 'optimizer=sgd,schedule=linear'),
            ('backbone/stage3/.*', 'optimizer=muon,schedule=constant,learning_rate=0.5'),
            ('head/bias', 'learning_rate=2,optimizer=lamb'),
        ),
    )
    optim = Optim(learning_rate=0.02, weight_decay=0.1, warmup=0.0, clip_norm=0.0, momentum=0.8, b1=0.85, b2=0.95)
    steps = 4
    parts, variables = toy.make('dense', transfer, optim, steps=steps)
    batches = [toy.batch(step, batch=16) for step in range(steps)]

    def cosine(step):
        return 0.02 * 0.5 * (1 + jnp.cos(jnp.pi * step / steps))

    def muon(path):
        if not path.endswith('/kernel'):
            return optax.adamw(0.01, b1=0.85, b2=0.95, weight_decay=0.0)
        return optax.chain(
            optax.contrib.scale_by_muon(beta=0.8),
            optax.scale(0.2 * 5**0.5),  # of an orthogonal matrix of 5 × 5, to a root mean square of 0.2
            optax.add_decayed_weights(0.1),
            optax.scale(-0.01),
        )

    def of(path):
        decay = 0.1 if path.endswith('/kernel') else 0.0
        if 'stage1' in path:
            return optax.lion(lambda s: 0.1 * cosine(s), b1=0.85, b2=0.95, weight_decay=0.3)
        if 'stage2' in path:
            rate = optax.linear_schedule(0.02, 0.0, steps)
            return optax.chain(optax.add_decayed_weights(decay), optax.sgd(rate, momentum=0.8))
        if 'stage3' in path:
            return muon(path)
        if path == 'head/bias':
            return optax.lamb(lambda s: 2 * cosine(s), b1=0.85, b2=0.95, weight_decay=0.0)
        return optax.adamw(cosine, b1=0.85, b2=0.95, weight_decay=decay)

    params = rules.flatten(jax.tree.map(jnp.asarray, variables['params']))
    optimizers = {path: of(path) for path in params}
    states = {path: optimizers[path].init(leaf) for path, leaf in params.items()}
    gradient = jax.jit(jax.grad(mean_loss(parts)))
    for batch in batches:
        given = {name: batch[name] for name in ('inputs', 'labels')}
        grads = rules.flatten(gradient(rules.unflatten(params), given))
        for path, grad in grads.items():
            update, states[path] = optimizers[path].update(grad, states[path], params[path])
            params[path] = params[path] + update
    found, metrics = run(parts, variables, batches)
    for path, leaf in rules.flatten(found.trainable).items():
        np.testing.assert_allclose(leaf, params[path], rtol=1e-3, atol=1e-5, err_msg=path)
    assert metrics[2]['learning_rate/backbone/stage2'] == pytest.approx(0.01)
    assert metrics[2]['learning_rate/backbone/stage3'] == pytest.approx(0.01)
    assert metrics[2]['learning_rate/backbone/stage1'] == pytest.approx(0.001)
    assert metrics[2]['learning_rate/head/bias'] == pytest.approx(0.02)
