"""What is kept of the source is what the pulls ask for, and a pull of one's own is taken up by the training step."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jtransfer import rules
from jtransfer.config import Optim, Transfer
from jtransfer.inputs.image_pixels import normalise
from jtransfer.train.step import make_train_step
from jtransfer.transfer.pull import Pull, keep_source, source_features
from jtransfer.transfer.towards_source import L2SP, DecayToSource, Distillation
from tests.train.conftest import Toy

RATE = 0.1
SGD = Optim(
    name='sgd', momentum=0.0, weight_decay=0.0, clip_norm=0.0, warmup=0.0, schedule='constant', learning_rate=RATE
)


@pytest.fixture(scope='module')
def toy():
    """The toy problem of the training step."""
    return Toy()


class Nothing(Pull):
    """Pulls at nothing, and needs nothing."""

    keep = ()


class Statistics(Nothing):
    """Needs the statistics of the source."""

    keep = ('model_state',)


@dataclasses.dataclass(frozen=True)
class Everywhere(Pull):
    """A pull at every place: at the features, of constant strength at the parameters, and at what is applied."""

    keep = ('params', 'model_state')
    strength: float

    def loss(self, features, source_features):
        """The largest difference of the pooled features."""
        return self.strength * jnp.abs(features['pooled'] - source_features()['pooled']).max()

    def gradient(self, grads, trainable, source):
        """That of the sum of absolute differences (L1-SP)."""
        sign = jax.tree.map(lambda new, old: jnp.sign(new - old), trainable['backbone'], source['backbone'])
        backbone = jax.tree.map(lambda grad, way: grad + self.strength * way, grads['backbone'], sign)
        return {**grads, 'backbone': backbone}

    def update(self, updates, trainable, source, schedules, step):
        """Everything shrinks by the learning rate, more with every step."""
        values, flat = rules.flatten(trainable), rules.flatten(updates)
        return rules.unflatten({path: flat[path] - schedules[path](step) * (step + 1) * values[path] for path in flat})


def start(toy, pulls, transfer=None, name='dense_norm'):
    """Parts with these pulls, the variables of the source, and a state that is away from it."""
    parts, variables = toy.make(name, transfer or Transfer('fine_tune', batch_norm='evaluate'), SGD)
    parts = dataclasses.replace(parts, more_pulls=pulls)
    state = parts.start(variables)
    away = jax.tree.map(
        lambda leaf: leaf + 0.1 * np.cos(np.arange(leaf.size, dtype=np.float32)).reshape(leaf.shape), state.trainable
    )
    return parts, variables, dataclasses.replace(state, trainable=away)


@pytest.mark.parametrize(
    ('pulls', 'params', 'statistics'),
    [
        ((L2SP(0.1, 0.0),), True, False),
        ((DecayToSource(0.1),), True, False),
        ((Distillation(1.0, ('pooled',)),), True, True),
        ((Statistics(),), False, True),
        ((Statistics(), Nothing(), L2SP(0.1, 0.0)), True, True),
    ],
)
def test_what_the_pulls_need_is_kept_of_the_source(toy, pulls, params, statistics):
    parts, variables = toy.make('dense_norm', Transfer('fine_tune', freeze_until='stage2'))
    kept = keep_source(variables, parts.plan, pulls)
    trained = {name: tree for name, tree in variables['params']['backbone'].items() if name != 'stage1'}
    assert set(trained) == {'stage2', 'stage3'}
    chex.assert_trees_all_equal(kept['params'], {'backbone': trained} if params else {})
    chex.assert_trees_all_equal(kept['model_state'], {'batch_stats': variables['batch_stats']} if statistics else {})


def test_nothing_is_kept_where_no_pull_needs_it(toy):
    parts, variables = toy.make('dense_norm')
    for pulls in ((), (Nothing(),)):
        assert keep_source(variables, parts.plan, pulls) is None


def test_the_features_of_the_source_are_those_before_training(toy):
    parts, variables, state = start(toy, (Everywhere(1.0),), Transfer('fine_tune', freeze_until='stage2'))
    images = normalise(jnp.asarray(toy.batch()['inputs']['image']), parts.preprocessing)
    found = source_features(parts.network, state.source, state.frozen, images)
    expected = parts.network.apply(variables, images, method='features')
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected)


def test_a_pull_of_ones_own_is_taken_up_by_the_step(toy):
    parts, variables, state = start(toy, (Everywhere(0.3),))
    assert parts.pulls == (Everywhere(0.3),)
    batches = [toy.batch(step, batch=16) for step in range(2)]

    @jax.jit
    def differentiate(params, batch):
        images = normalise(batch['inputs']['image'], parts.preprocessing)

        def loss(params):
            now = {**variables, 'params': params}
            entropy = optax.softmax_cross_entropy_with_integer_labels(
                parts.network.apply(now, images)[''], batch['labels']['']
            )
            ours, theirs = (parts.network.apply(v, images, method='features')['pooled'] for v in (now, variables))
            return entropy.mean() + 0.3 * jnp.abs(ours - theirs).max()

        return jax.value_and_grad(loss)(params)

    step = jax.jit(make_train_step(parts, state.trainable))
    source, expected = rules.flatten(variables['params']), state.trainable
    for index, batch in enumerate(batches):
        state, metrics = step(state, batch)
        loss, grads = differentiate(expected, {name: batch[name] for name in ('inputs', 'labels')})
        before, grads = rules.flatten(expected), rules.flatten(grads)
        for path in grads:
            if path.startswith('backbone/'):
                grads[path] += 0.3 * jnp.sign(before[path] - source[path])
        after = {path: before[path] - RATE * grads[path] - RATE * (index + 1) * before[path] for path in grads}
        expected = rules.unflatten(after)
        assert float(metrics['loss']) == pytest.approx(float(loss), rel=1e-5)
        assert float(metrics['gradient_norm']) == pytest.approx(float(optax.tree.norm(grads)), rel=1e-4)
        chex.assert_trees_all_close(state.trainable, expected, rtol=1e-4, atol=1e-6)
    far = optax.tree.norm({path: after[path] - source[path] for path in source if path.startswith('backbone/')})
    assert float(metrics['source_distance']) == pytest.approx(float(far), rel=1e-4)


def test_pulls_act_beside_the_configured_ones_and_one_that_does_nothing_is_not_compiled(toy):
    transfer = Transfer('fine_tune', l2_sp=0.1, distill=1.0)

    def program(pulls):
        parts, _, state = start(toy, pulls, transfer, 'dense')
        assert parts.pulls == (L2SP(0.1, 0.0), Distillation(1.0, ('pooled',)), *pulls)
        return jax.jit(make_train_step(parts, state.trainable)).lower(state, toy.batch()).as_text()

    plain = program(())
    assert program((Nothing(),)) == plain
    assert program((DecayToSource(0.1),)) != plain
