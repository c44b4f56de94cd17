"""The pulls towards the source equal their closed forms, alone and inside the training step."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jtransfer import rules
from jtransfer.config import Optim, Transfer
from jtransfer.inputs.image_pixels import normalise
from jtransfer.train.placement import make_placement
from jtransfer.train.step import make_train_step
from jtransfer.transfer.towards_source import L2SP, DecayToSource, Distillation, configured_pulls, distance
from tests.train.conftest import Toy

RATE = 0.1
SGD = Optim(
    name='sgd', momentum=0.0, weight_decay=0.3, clip_norm=0.0, warmup=0.0, schedule='constant', learning_rate=RATE
)
TREE = {'backbone': {'a': jnp.array([1.0, 2.0])}, 'head': {'kernel': jnp.array([3.0])}}
SOURCE = {'backbone': {'a': jnp.array([0.0, 4.0])}}


@pytest.fixture(scope='module')
def toy():
    """The toy problem of the training step."""
    return Toy()


def steps(toy, transfer, optim=SGD, count=2, name='dense', source=None, dtype=jnp.float32):
    """The states before and after some steps, and the metrics of each.

    With `source`, training does not start at the source, so that the pulls are felt from the first step on.
    """
    parts, variables = toy.make(name, transfer, optim, dtype=dtype)
    state = parts.start(variables)
    if source:
        away = jax.tree.map(lambda leaf: leaf + source * np.cos(np.arange(leaf.size)).reshape(leaf.shape), variables)
        trainable, _ = parts.current.split(away['params'])
        state = dataclasses.replace(state, trainable=jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), trainable))
    step = jax.jit(make_train_step(parts, state.trainable))
    states, found = [state], []
    for index in range(count):
        state, metrics = step(state, toy.batch(index, batch=16))
        states.append(state)
        found.append(metrics)
    return states, found


def flat(tree):
    return {path: np.asarray(leaf) for path, leaf in rules.flatten(tree).items()}


def test_the_gradient_of_l2_sp_is_the_derivative_of_the_penalty():
    def penalty(tree):
        backbone = 0.25 * jnp.square(tree['backbone']['a'] - SOURCE['backbone']['a']).sum()
        return backbone + 0.35 * jnp.square(tree['head']['kernel']).sum()

    zero = jax.tree.map(jnp.zeros_like, TREE)
    added = L2SP(alpha=0.5, beta=0.7).gradient(zero, TREE, SOURCE)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), added, jax.grad(penalty)(TREE))


def test_decay_towards_the_source_goes_a_share_of_the_way():
    schedules = {'backbone/a': lambda step: 0.25 * step, 'head/kernel': lambda step: 0.75 * step}
    zero = jax.tree.map(jnp.zeros_like, TREE)
    moved = optax.apply_updates(TREE, DecayToSource(0.5).update(zero, TREE, SOURCE, schedules, jnp.array(2)))
    np.testing.assert_allclose(moved['backbone']['a'], [0.75, 2.5])
    np.testing.assert_allclose(moved['head']['kernel'], [3.0])


def test_distances():
    assert float(distance(TREE, SOURCE)) == pytest.approx(5**0.5)
    ours = {'pooled': jnp.array([[1.0, 3.0]]), 'stage1': jnp.array([[2.0]])}
    theirs = {'pooled': jnp.array([[0.0, 0.0]]), 'stage1': jnp.array([[5.0]])}
    assert float(Distillation(2.0, ('pooled',)).loss(ours, lambda: theirs)) == pytest.approx(2 * 5.0)
    both = Distillation(1.0, ('pooled', 'stage1'))
    assert float(both.loss(ours, lambda: theirs)) == pytest.approx((5 + 9) / 2)
    grads = jax.grad(lambda source: both.loss(ours, lambda: source))(theirs)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(grads))


def test_the_settings_name_the_pulls():
    assert configured_pulls(Transfer('fine_tune', backbone_learning_rate_scale=0.5)) == ()
    assert configured_pulls(Transfer(l2_sp_head=0.2)) == (L2SP(0.0, 0.2),)
    everything = Transfer(l2_sp=0.1, decay_to_source=0.3, distill=2.0, distill_features=('stage1',))
    assert configured_pulls(everything) == (L2SP(0.1, 0.0), DecayToSource(0.3), Distillation(2.0, ('stage1',)))


def test_nothing_is_kept_of_the_source_without_a_pull(toy):
    parts, variables = toy.make('dense', Transfer('fine_tune'))
    assert parts.pulls == ()
    assert parts.start(variables).source is None
    [state, _], [metrics] = steps(toy, Transfer('fine_tune'), count=1)
    assert state.source is None
    assert 'source_distance' not in metrics


@pytest.mark.parametrize('frozen', ['', 'stage2'])
def test_l2_sp_adds_its_gradient_to_the_step(toy, frozen):
    transfer = Transfer('fine_tune', freeze_until=frozen)
    pulled = dataclasses.replace(transfer, l2_sp=0.7, l2_sp_head=0.2)
    # Without decay, of which L2-SP takes the place in the backbone.
    plain = dataclasses.replace(SGD, weight_decay=0.0)
    [first, without], [free] = steps(toy, transfer, plain, 1, source=0.1)
    [_, with_pull], [metrics] = steps(toy, pulled, SGD, 1, source=0.1)
    _, variables = toy.make('dense', transfer)
    source, start = flat(variables['params']), flat(first.trainable)
    assert any(path.startswith('backbone') for path in start)
    grads = {path: (start[path] - leaf) / RATE for path, leaf in flat(without.trainable).items()}
    whole = 0.0
    for path, leaf in flat(with_pull.trainable).items():
        pull = 0.7 * (start[path] - source[path]) if path.startswith('backbone') else 0.2 * start[path]
        # The head's kernel keeps its weight decay, which SGD adds to the gradient.
        decay = 0.3 * start[path] if path == 'head/kernel' else 0.0
        np.testing.assert_allclose(leaf - flat(without.trainable)[path], -RATE * (pull + decay), rtol=1e-3, atol=1e-6)
        assert np.abs(pull).max() > 1e-3 or path == 'head/bias'
        whole += np.square(grads[path] + pull).sum()
    # The norm that is logged, and by which gradients are clipped, is that of all that is minimised.
    assert float(metrics['gradient_norm']) == pytest.approx(whole**0.5, rel=1e-3)
    assert float(metrics['loss']) == pytest.approx(float(free['loss']), rel=1e-6)
    backbone = {path: leaf for path, leaf in flat(with_pull.trainable).items() if path.startswith('backbone')}
    far = sum(np.square(leaf - source[path]).sum() for path, leaf in backbone.items()) ** 0.5
    assert float(metrics['source_distance']) == pytest.approx(far, rel=1e-5)


@pytest.mark.parametrize('name', ['sgd', 'adamw'])
def test_decay_to_the_source_is_decoupled(toy, name):
    plain = dataclasses.replace(SGD, name=name, weight_decay=0.0)
    transfer = Transfer('fine_tune', rules=(('backbone/stage3/.*', 'learning_rate=0.5'),))
    [first, without], _ = steps(toy, transfer, plain, 1, source=0.1)
    [_, with_pull], _ = steps(toy, dataclasses.replace(transfer, decay_to_source=0.6), plain, 1, source=0.1)
    _, variables = toy.make('dense', transfer)
    source, start = flat(variables['params']), flat(first.trainable)
    for path, leaf in flat(with_pull.trainable).items():
        rate = RATE * (0.5 if 'stage3' in path else 1) * (0.6 if path.startswith('backbone') else 0)
        expected = -rate * (start[path] - source[path])
        np.testing.assert_allclose(leaf - flat(without.trainable)[path], expected, rtol=1e-3, atol=1e-6)


def test_decay_to_the_source_alone_goes_there_by_the_schedule(toy):
    # The gradient is clipped to nothing; what is decoupled from it is not.
    optim = dataclasses.replace(SGD, learning_rate=0.5, schedule='linear', weight_decay=0.0, clip_norm=1e-12)
    transfer = Transfer('linear_probe', rules=(('backbone/stage1/.*', 'learning_rate=1'),), decay_to_source=0.4)
    parts, variables = toy.make('dense', transfer, optim, steps=4)
    state = parts.start(variables)
    away = jax.tree.map(lambda leaf: leaf + 1, state.trainable['backbone'])
    state = dataclasses.replace(state, trainable={**state.trainable, 'backbone': away})
    step = jax.jit(make_train_step(parts, state.trainable))
    left = 1.0
    for index in range(4):
        state, metrics = step(state, toy.batch(index))
        left *= 1 - 0.5 * (1 - index / 4) * 0.4
        for path, leaf in flat(state.trainable['backbone']).items():
            np.testing.assert_allclose(leaf - flat(variables['params']['backbone'])[path], left, rtol=1e-4)
        size = sum(leaf.size for leaf in jax.tree.leaves(state.trainable['backbone']))
        assert float(metrics['source_distance']) == pytest.approx(left * size**0.5, rel=1e-4)


@pytest.mark.parametrize('features', [('pooled',), ('stage1', 'stage2')])
def test_distillation_is_the_gradient_of_its_loss_with_the_source_held_fixed(toy, features):
    optim = dataclasses.replace(SGD, weight_decay=0.0)
    transfer = Transfer('fine_tune', distill=3.0, distill_features=features, batch_norm='evaluate')
    [first, after], [metrics] = steps(toy, transfer, optim, 1, name='dense_norm', source=0.1)
    parts, variables = toy.make('dense_norm', transfer)
    batch = toy.batch(0, batch=16)
    images = normalise(jnp.asarray(batch['inputs']['image']), parts.preprocessing)
    theirs = parts.network.apply(variables, images, method='features')

    def loss(params):
        now = {**variables, 'params': params}
        ours = parts.network.apply(now, images, method='features')
        logits = parts.network.apply(now, images)['']
        entropy = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(batch['labels'][''])).mean()
        apart = sum(jnp.square(ours[name] - theirs[name]).mean() for name in features) / len(features)
        return entropy + 3.0 * apart, apart

    (expected, apart), grads = jax.value_and_grad(loss, has_aux=True)(first.trainable)
    assert float(apart) > 1e-4
    assert float(metrics['loss']) == pytest.approx(float(expected), rel=1e-5)
    moved = jax.tree.map(lambda a, b: (a - b) / RATE, first.trainable, after.trainable)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), moved, grads)


def test_the_teacher_stands_still_while_the_network_moves(toy):
    transfer = Transfer('fine_tune', distill=1.0)
    optim = dataclasses.replace(SGD, accumulate_steps=2)
    states, found = steps(toy, transfer, optim, 3, name='dense_norm')
    _, variables = toy.make('dense_norm', transfer)
    for state in states:
        jax.tree.map(np.testing.assert_array_equal, state.source['params']['backbone'], variables['params']['backbone'])
        jax.tree.map(
            np.testing.assert_array_equal, state.source['model_state'], {'batch_stats': variables['batch_stats']}
        )
    assert not np.array_equal(
        states[-1].model_state['batch_stats']['backbone']['stage1']['bn']['mean'],
        variables['batch_stats']['backbone']['stage1']['bn']['mean'],
    )
    assert float(found[-1]['source_distance']) > 0


@pytest.mark.parametrize('strategy', ['lora', 'ssf'])
def test_the_teacher_of_an_adapted_network_has_no_adapters(toy, strategy):
    """At first they are alike, in evaluation mode, and the distance is nothing; then they are not."""
    losses = {}
    for weight in (0.0, 5.0):
        transfer = Transfer(strategy, distill=weight)
        states, found = steps(toy, transfer, dataclasses.replace(SGD, weight_decay=0.0), 3, 'resnet_tiny')
        losses[weight] = [float(metrics['loss']) for metrics in found]
        assert 'source_distance' not in found[0]
        assert (states[0].source is None) == (weight == 0)
    assert losses[0.0][0] == pytest.approx(losses[5.0][0], rel=1e-5)
    assert losses[5.0][2] != pytest.approx(losses[0.0][2], rel=1e-5)


def test_the_pulls_are_the_same_on_eight_devices(toy):
    transfer = Transfer('fine_tune', l2_sp=0.3, decay_to_source=0.2, distill=0.5)
    found = []
    for kind, devices in (('jit', 1), ('jit', 8), ('pmap', 8)):
        parts, variables = toy.make('dense', transfer, SGD)
        placement = make_placement(kind, jax.devices()[:devices])
        state = parts.start(variables)
        step = placement.compile(parts, state.trainable)
        state = placement.put_state(state)
        for index in range(2):
            state, _ = step(state, placement.put_batch(toy.batch(index, batch=16)))
        found.append(flat(placement.get_state(state).trainable))
    for other in found[1:]:
        for path, leaf in other.items():
            np.testing.assert_allclose(leaf, found[0][path], rtol=1e-4, atol=1e-6)
