"""Mixed images in the training step: with the whole batch, whatever it is split into, and labels that count right."""

import jax
import jax.numpy as jnp
import numpy as np

from jtransfer.augment.keys import example_keys
from jtransfer.augment.pipeline import make_augment
from jtransfer.config import Augment, Optim
from jtransfer.config.optim import Loss
from jtransfer.inputs.image_pixels import normalise
from jtransfer.tasks.base import Task
from jtransfer.tasks.losses import cross_entropy
from jtransfer.train.placement import JitPlacement, PmapPlacement
from jtransfer.train.step import make_train_step

MIX = Augment(horizontal_flip=0.5, operations=('mixup_or_cutmix(mode=element)',))


def _run(toy, placement, batch, **settings):
    parts, variables = toy.make('dense', batch_size=16, **settings)
    state = parts.start(variables)
    step = placement.compile(parts, state.trainable)
    state, metrics = step(placement.put_state(state), placement.put_batch(batch))
    return jax.tree.map(np.array, placement.get_state(state).trainable), jax.device_get(metrics)


def test_layouts_agree_on_what_is_mixed(toy):
    """One device, eight by jit and by pmap, and micro-batches: the same update, although none has an image alike."""
    batch = toy.batch(batch=32)
    augment = Augment(operations=('mixup_or_cutmix(mode=element)',))
    one, metrics = _run(toy, JitPlacement(jax.devices()[:1]), batch, augment=augment)
    for placement, steps in ((JitPlacement(jax.devices()[:1]), 4), (JitPlacement(), 1), (PmapPlacement(), 4)):
        optim = Optim(accumulate_steps=steps)
        other, others = _run(toy, placement, batch, augment=augment, optim=optim)
        np.testing.assert_allclose(np.ravel(others['loss'])[0], metrics['loss'], rtol=1e-5)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-3, atol=2e-6)
    plain, _ = _run(toy, JitPlacement(jax.devices()[:1]), batch)
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(plain), strict=True))


def test_the_loss_is_that_of_the_mixed_images_with_their_mixed_labels(toy):
    batch = toy.batch()
    parts, variables = toy.make('dense', augment=MIX, optim=Optim(label_smoothing=0.1))
    state = parts.start(variables)
    _, metrics = jax.jit(make_train_step(parts, state.trainable))(state, batch)
    keys = example_keys(0, jnp.asarray(batch['epoch']), jnp.asarray(batch['id']))
    augment = make_augment(MIX, toy.preprocessing, {'': toy.classes})
    mixed = augment(keys, jnp.asarray(batch['inputs']['image']), batch['labels'])
    images, labels = mixed.images, mixed.labels['']
    assert ((labels > 0.01) & (labels < 0.99)).any()
    logits = parts.network.apply(variables, normalise(images, toy.preprocessing))['']
    np.testing.assert_allclose(metrics['loss'], cross_entropy(logits, labels, 0.1).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics['accuracy'], (logits.argmax(-1) == labels.argmax(-1)).mean(), rtol=1e-5)


def test_an_unlabelled_image_adds_nothing(toy):
    """What is not labelled takes no part in the mixing and in the mean, whatever its pixels are."""
    batch = toy.batch()
    batch['labels'][''][3] = -1
    parts, variables = toy.make('dense', augment=MIX)
    state = parts.start(variables)
    step = jax.jit(make_train_step(parts, state.trainable))
    _, metrics = step(state, batch)
    batch['inputs']['image'][3] = 255 - batch['inputs']['image'][3]
    _, others = step(state, batch)
    assert np.isfinite(metrics['loss'])
    np.testing.assert_array_equal(others['loss'], metrics['loss'])
    np.testing.assert_array_equal(others['gradient_norm'], metrics['gradient_norm'])


def test_tasks_are_mixed_each_in_its_own_form(toy):
    kind = Task('kind', 'single_label', ('a', 'b', 'c'))
    size = Task('size', 'regression', ('width', 'height'), weight=0.5)
    tasks = [(kind, Loss('cross_entropy')), (size, Loss('mse'))]
    batch = toy.batch()
    batch['labels'] = {'kind': batch['labels'][''], 'size': np.ones((8, 2), np.float32)}
    parts, variables = toy.make('dense', augment=MIX, tasks=tasks)
    state = parts.start(variables)
    _, metrics = jax.jit(make_train_step(parts, state.trainable))(state, batch)
    assert np.isfinite(metrics['loss'])
    np.testing.assert_allclose(metrics['loss'], metrics['loss/kind'] + 0.5 * metrics['loss/size'], rtol=1e-5)


def test_sam_goes_uphill_and_down_on_the_same_mixed_images(toy):
    parts, variables = toy.make('dense', augment=MIX, optim=Optim(sam_rho=0.05))
    state = parts.start(variables)
    step = jax.jit(make_train_step(parts, state.trainable))
    _, metrics = step(state, toy.batch())
    assert metrics['finite']
    # Pairs are found by sorting: once.
    assert str(jax.make_jaxpr(make_train_step(parts, state.trainable))(state, toy.batch())).count(' sort[') == 1
