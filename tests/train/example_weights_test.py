"""Weights of examples in the training step: a weighted mean, however the batch is split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.augment.keys import example_keys
from jtransfer.augment.pipeline import make_augment
from jtransfer.config import Augment, Optim, Transfer
from jtransfer.config.optim import Loss
from jtransfer.inputs.image_pixels import normalise
from jtransfer.tasks.base import Task
from jtransfer.tasks.losses import cross_entropy
from jtransfer.train.placement import JitPlacement, PmapPlacement
from jtransfer.train.step import make_train_step

CLASS_WEIGHTS = (0.5, 1.0, 3.0)
SGD = Optim(name='sgd', learning_rate=0.1, warmup=0.0, schedule='constant', weight_decay=0.0)


def weighted(toy, batch=32, seed=7):
    """A batch with weights, a few of them 0."""
    values = toy.batch(batch=batch)
    random = np.random.default_rng(seed)
    weights = random.uniform(0, 3, batch) * (random.uniform(size=batch) > 0.2)
    return {**values, 'weight': weights.astype(np.float32)}


def run(toy, batch, placement=None, **settings):
    """The trainable parameters after one step, and its metrics."""
    placement = placement or JitPlacement(jax.devices()[:1])
    parts, variables = toy.make('dense', batch_size=32, **{'loss': Loss('cross_entropy'), **settings})
    state = parts.start(variables)
    step = placement.compile(parts, state.trainable)
    state, metrics = step(placement.put_state(state), placement.put_batch(batch))
    return jax.tree.map(np.array, placement.get_state(state).trainable), jax.device_get(metrics)


def assert_alike(ours, expected, names=('loss', 'gradient_norm')):
    for name in names:
        np.testing.assert_allclose(np.ravel(ours[1][name])[0], np.ravel(expected[1][name])[0], rtol=2e-5)
    for a, b in zip(jax.tree.leaves(ours[0]), jax.tree.leaves(expected[0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize('class_weights', [(), CLASS_WEIGHTS])
def test_the_loss_and_its_gradient_are_of_the_weighted_mean(toy, class_weights):
    batch = weighted(toy)
    loss = Loss('cross_entropy', class_weights=class_weights)
    parts, variables = toy.make('dense', loss=loss)
    _, metrics = run(toy, batch, optim=SGD, loss=loss)
    weights = jnp.asarray(batch['weight'] * np.array(class_weights or (1.0,) * 3, 'f4')[batch['labels']['']])
    images = normalise(jnp.asarray(batch['inputs']['image']), toy.preprocessing)

    def by_hand(params):
        losses = cross_entropy(parts.network.apply({'params': params}, images)[''], jnp.asarray(batch['labels']['']))
        return (losses * weights).sum() / weights.sum()

    value, grads = jax.jit(jax.value_and_grad(by_hand))(variables['params'])
    np.testing.assert_allclose(metrics['loss'], value, rtol=1e-5)
    norm = np.sqrt(sum((np.asarray(leaf) ** 2).sum() for leaf in jax.tree.leaves(grads)))
    np.testing.assert_allclose(metrics['gradient_norm'], norm, rtol=1e-5)
    plain = run(toy, {name: value for name, value in batch.items() if name != 'weight'}, optim=SGD, loss=loss)
    assert abs(plain[1]['loss'] - metrics['loss']) > 1e-3


def test_a_weight_of_two_is_the_example_twice_and_of_nought_its_absence(toy):
    batch = toy.batch(batch=8)
    times = np.array([2, 1, 0, 1, 3, 1, 1, 0])
    again = jax.tree.map(lambda leaf: np.repeat(leaf, times, axis=0) if np.ndim(leaf) else leaf, batch)
    assert_alike(run(toy, {**batch, 'weight': times.astype('f4')}, optim=SGD), run(toy, again, optim=SGD))


@pytest.mark.parametrize('scale', [1.0, 5.0])
def test_equal_weights_are_none(toy, scale):
    batch = toy.batch(batch=8)
    equal = {**batch, 'weight': np.full(8, scale, np.float32)}
    assert_alike(run(toy, equal, optim=SGD), run(toy, batch, optim=SGD), ('loss', 'gradient_norm', 'accuracy'))


@pytest.mark.parametrize('augment', [Augment(), Augment(operations=('mixup_or_cutmix(mode=element)',))])
def test_layouts_agree(toy, augment):
    """One device, eight by jit and by pmap, and micro-batches of which one weighs nothing."""
    batch = weighted(toy)
    batch['weight'][::4] = 0
    one = run(toy, batch, optim=SGD, augment=augment)
    for placement, steps in ((JitPlacement(jax.devices()[:1]), 4), (JitPlacement(), 1), (PmapPlacement(), 4)):
        optim = Optim(**{**vars(SGD), 'accumulate_steps': steps})
        assert_alike(run(toy, batch, placement, optim=optim, augment=augment), one)
    plain = run(toy, {name: leaf for name, leaf in batch.items() if name != 'weight'}, optim=SGD, augment=augment)
    assert abs(plain[1]['loss'] - one[1]['loss']) > 1e-3


def test_of_mixed_images_the_weight_is_that_of_the_place(toy):
    batch = weighted(toy, batch=8)
    mix = Augment(operations=('mixup_or_cutmix(mode=element)',))
    _, metrics = run(toy, batch, optim=SGD, augment=mix)
    keys = example_keys(0, jnp.asarray(batch['epoch']), jnp.asarray(batch['id']))
    augment = make_augment(mix, toy.preprocessing, {'': toy.classes})
    mixed = augment(keys, jnp.asarray(batch['inputs']['image']), batch['labels'])
    images, labels = mixed.images, mixed.labels['']
    assert ((labels > 0.01) & (labels < 0.99)).any()
    parts, variables = toy.make('dense')
    losses = cross_entropy(parts.network.apply(variables, normalise(images, toy.preprocessing))[''], labels)
    np.testing.assert_allclose(metrics['loss'], np.average(losses, weights=batch['weight']), rtol=1e-5)


def test_every_head_takes_the_weights(toy):
    kind = Task('kind', 'single_label', ('a', 'b', 'c'))
    size = Task('size', 'regression', ('width', 'height'), weight=0.5)
    tasks = [(kind, Loss('cross_entropy')), (size, Loss('mse'))]
    batch = weighted(toy, batch=8)
    sizes = np.random.default_rng(3).standard_normal((8, 2)).astype('f4')
    sizes[2] = np.nan
    batch['labels'] = {'kind': batch['labels'][''], 'size': sizes}
    parts, variables = toy.make('dense', tasks=tasks)
    state = parts.start(variables)
    _, metrics = jax.jit(make_train_step(parts, state.trainable))(state, batch)
    logits = parts.network.apply(variables, normalise(jnp.asarray(batch['inputs']['image']), toy.preprocessing))
    kind = cross_entropy(logits['kind'], jnp.asarray(batch['labels']['kind']))
    np.testing.assert_allclose(metrics['loss/kind'], np.average(kind, weights=batch['weight']), rtol=1e-5)
    known = np.arange(8) != 2
    size = ((np.asarray(logits['size']) - sizes) ** 2).mean(1)[known]
    np.testing.assert_allclose(metrics['loss/size'], np.average(size, weights=batch['weight'][known]), rtol=1e-5)
    np.testing.assert_allclose(metrics['loss'], metrics['loss/kind'] + 0.5 * metrics['loss/size'], rtol=1e-5)


def test_a_batch_that_weighs_nothing_teaches_nothing(toy):
    batch = {**toy.batch(batch=8), 'weight': np.zeros(8, np.float32)}
    _, variables = toy.make('dense')
    trainable, metrics = run(toy, batch, optim=SGD, transfer=Transfer('fine_tune'))
    assert metrics['finite']
    assert metrics['loss'] == 0
    assert metrics['gradient_norm'] == 0
    for after, before in zip(jax.tree.leaves(trainable), jax.tree.leaves(variables['params']), strict=True):
        np.testing.assert_array_equal(after, before)
