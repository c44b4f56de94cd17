"""The optimiser of a plan equals the same thing done by hand, and holds nothing for frozen parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jtransfer import models
from jtransfer.config import Optim, Transfer
from jtransfer.models.role import usual_role
from jtransfer.transfer import optimizer
from jtransfer.transfer import plan as plan_lib
from jtransfer.transfer.schedules import make_schedule
from jtransfer.transfer.timetable import make_timetable

PARAMS = {
    'backbone': {'stage1': {'kernel': jnp.array([[1.0, -2.0]]), 'bias': jnp.array([0.5])}},
    'head': {'kernel': jnp.array([[3.0], [1.0]]), 'bias': jnp.array([-1.0])},
}
GRADS = jax.tree.map(lambda p: 0.3 * p + 0.1, PARAMS)


def make_plan(transfer, weight_decay=0.0):
    network = models.create('resnet_tiny', num_classes=1)
    return plan_lib.make_plan(network, PARAMS, transfer, weight_decay)


def schedules_of(optim, plan):
    timetable = make_timetable(optim, plan, total_steps=10, epoch_steps=1)
    return {group.name: timetable.schedule(group, (0,)) for group in plan.trainable_groups}


def make_optimizer(optim, plan, trainable):
    return optimizer.make_optimizer(optim, plan, trainable, schedules_of(optim, plan), usual_role)


def run(optimizer, params, grads, steps=3):
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize('name', ['adamw', 'sgd'])
def test_groups_equal_separate_optimisers_by_hand(name):
    optim = Optim(name=name, learning_rate=0.1, weight_decay=0.2, clip_norm=0.0)
    plan = make_plan(Transfer('fine_tune', backbone_learning_rate_scale=0.5), optim.weight_decay)
    ours = run(make_optimizer(optim, plan, PARAMS), PARAMS, GRADS)

    def by_hand(scale, decay):
        def rate(step):
            return scale * make_schedule(optim, 10)(step)

        if name == 'adamw':
            return optax.adamw(rate, b1=0.9, b2=0.999, weight_decay=decay)
        return optax.chain(optax.add_decayed_weights(decay), optax.sgd(rate, momentum=0.9))

    for path, scale, decay in [
        (('backbone', 'stage1', 'kernel'), 0.5, 0.2),
        (('backbone', 'stage1', 'bias'), 0.5, 0.0),
        (('head', 'kernel'), 1.0, 0.2),
        (('head', 'bias'), 1.0, 0.0),
    ]:
        param, grad, result = PARAMS, GRADS, ours
        for part in path:
            param, grad, result = param[part], grad[part], result[part]
        np.testing.assert_allclose(result, run(by_hand(scale, decay), param, grad), rtol=1e-6)


def test_clipping_uses_the_norm_of_the_trainable_gradients():
    optim = Optim(
        name='sgd', learning_rate=1.0, momentum=0.0, weight_decay=0.0, clip_norm=0.01, warmup=0.0, schedule='constant'
    )
    plan = make_plan(Transfer('linear_probe'))
    trainable, _ = plan.split(PARAMS)
    grads, _ = plan.split(GRADS)
    moved = run(make_optimizer(optim, plan, trainable), trainable, grads, steps=1)
    moved_by = optax.tree.norm(jax.tree.map(jnp.subtract, moved, trainable))
    np.testing.assert_allclose(moved_by, 0.01, rtol=1e-5)


def test_no_optimiser_state_for_frozen_parameters():
    plan = make_plan(Transfer('linear_probe'))
    trainable, _ = plan.split(PARAMS)
    state = make_optimizer(Optim(), plan, trainable).init(trainable)
    elements = sum(leaf.size for leaf in jax.tree.leaves(state) if leaf.ndim)
    assert elements == 2 * 3  # two moments of the head's kernel and bias


def test_schedule_rises_peaks_and_ends_near_zero():
    schedule = make_schedule(Optim(learning_rate=1.0, warmup=0.2), 50)
    values = np.array([schedule(step) for step in range(50)])
    assert values[0] == pytest.approx(1 / 11)
    assert np.all(np.diff(values[:11]) > 0)
    assert values[10] == pytest.approx(1.0)
    assert np.all(np.diff(values[10:]) < 0)
    assert 0 < values[-1] < 0.01


def test_one_step_moves_even_with_warmup():
    assert make_schedule(Optim(learning_rate=1.0, warmup=0.1), 1)(0) == pytest.approx(1.0)


def test_learning_rates_are_reported_a_group():
    optim = Optim(learning_rate=0.1, warmup=0.0, schedule='constant')
    plan = make_plan(Transfer('fine_tune', backbone_learning_rate_scale=0.25), 0.1)
    rates = optimizer.learning_rates(plan, schedules_of(optim, plan))(jnp.array(3))
    assert {k: float(v) for k, v in rates.items()} == pytest.approx(
        {'learning_rate/head': 0.1, 'learning_rate/backbone': 0.025}
    )
