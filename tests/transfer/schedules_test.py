"""Every schedule is torch's of that name, and its closed form, at every step."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jtransfer.config.optim import SCHEDULES, Optim
from jtransfer.errors import UserError
from jtransfer.transfer.schedules import make_schedule, scaled, shifted, with_warmup

STEPS = 40
PEAK = 0.3


def values(schedule, steps=STEPS):
    """By traced steps, as in training."""
    return np.asarray(jax.jit(jax.vmap(lambda s: jnp.asarray(schedule(s), jnp.float32)))(jnp.arange(steps)))


def torch_values(make, learning_rate=PEAK, steps=STEPS):
    torch = pytest.importorskip('torch')
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=learning_rate)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    rates = []
    for step in range(steps):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return rates


@pytest.mark.parametrize('warmup', [0.1, 0.25, 0.3125, 0.33, 0.9])  # 0.33 · 40 is between two steps
def test_one_cycle_equals_torch(warmup):
    ours = values(make_schedule(Optim(learning_rate=PEAK, schedule='one_cycle', warmup=warmup), STEPS))
    theirs = torch_values(lambda s, o: s.OneCycleLR(o, max_lr=PEAK, total_steps=STEPS, pct_start=warmup))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7 * PEAK)


def test_one_cycle_starts_and_ends_where_torch_does():
    ours = values(make_schedule(Optim(learning_rate=PEAK, schedule='one_cycle', warmup=0.25), STEPS))
    assert ours[0] == pytest.approx(PEAK / 25)
    assert ours[9] == pytest.approx(PEAK)
    assert ours[-1] == pytest.approx(PEAK / 25e4, rel=1e-4)


@pytest.mark.parametrize('end', [0.0, 0.1])
def test_cosine_equals_torch(end):
    optim = Optim(learning_rate=PEAK, schedule='cosine', warmup=0.0, final_learning_rate_scale=end)
    theirs = torch_values(lambda s, o: s.CosineAnnealingLR(o, T_max=STEPS, eta_min=end * PEAK))
    np.testing.assert_allclose(values(make_schedule(optim, STEPS)), theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('end', [0.0, 0.2])
def test_linear_equals_torch_with_its_warmup(end):
    optim = Optim(learning_rate=PEAK, schedule='linear', warmup=0.2, final_learning_rate_scale=end)

    def make(s, o):
        rise = s.LinearLR(o, start_factor=1 / 9, total_iters=8)
        fall = s.LinearLR(o, start_factor=1.0, end_factor=end, total_iters=32)
        return s.SequentialLR(o, [rise, fall], [8])

    np.testing.assert_allclose(values(make_schedule(optim, STEPS)), torch_values(make), rtol=1e-5, atol=1e-7)


def test_step_equals_torch_multi_step():
    optim = Optim(learning_rate=PEAK, schedule='step', warmup=0.0, step_milestones=(0.3, 0.55, 0.9), step_factor=0.2)
    theirs = torch_values(lambda s, o: s.MultiStepLR(o, milestones=[12, 22, 36], gamma=0.2))
    np.testing.assert_allclose(values(make_schedule(optim, STEPS)), theirs, rtol=1e-5)


def test_step_at_equal_distances_equals_torch_step():
    optim = Optim(learning_rate=PEAK, schedule='step', warmup=0.0, step_milestones=(0.25, 0.5, 0.75), step_factor=0.5)
    theirs = torch_values(lambda s, o: s.StepLR(o, step_size=10, gamma=0.5))
    np.testing.assert_allclose(values(make_schedule(optim, STEPS)), theirs, rtol=1e-5)


def test_milestones_count_from_the_start_of_the_run_not_the_end_of_the_warmup():
    optim = Optim(learning_rate=1.0, schedule='step', warmup=0.25, step_milestones=(0.1, 0.5), step_factor=0.1)
    expected = [(step + 1) / 11 for step in range(10)] + [0.1] * 10 + [0.01] * 20
    np.testing.assert_allclose(values(make_schedule(optim, STEPS)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ('milestones', 'expected'),
    [((0.1, 0.9), [1.0]), ((0.1, 0.95), [1.0, 0.1]), ((0.6, 0.7), [1.0, 1.0, 0.01])],
    ids=['none at the first step', 'one after it', 'two at one step'],
)
def test_milestones_of_very_short_runs(milestones, expected):
    optim = Optim(learning_rate=1.0, schedule='step', warmup=0.0, step_milestones=milestones, step_factor=0.1)
    rates = values(make_schedule(optim, len(expected)), len(expected))
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


def closed_form(name, share):
    return {
        'cosine': 0.1 + 0.9 * (1 + math.cos(math.pi * share)) / 2,
        'linear': 1 - 0.9 * share,
        'constant': 1.0,
        'step': 0.1 ** sum(milestone <= 10 + share * 30 for milestone in (20, 30)),
    }[name]


@pytest.mark.parametrize('name', ['cosine', 'linear', 'step', 'constant'])
def test_closed_forms_after_the_warmup(name):
    optim = Optim(learning_rate=PEAK, warmup=0.25, final_learning_rate_scale=0.1)
    expected = [PEAK * (step + 1) / 11 for step in range(10)]
    expected += [PEAK * closed_form(name, step / 30) for step in range(30)]
    np.testing.assert_allclose(values(make_schedule(optim, STEPS, name)), expected, rtol=2e-5)


@pytest.mark.parametrize('name', ['cosine', 'constant'])
@pytest.mark.parametrize(('warmup', 'warmup_steps'), [(0.0, 0), (0.1, 4)])
def test_cosine_and_constant_are_bit_for_bit_optax_pieces(name, warmup, warmup_steps):
    if name == 'cosine':
        by_hand = optax.cosine_decay_schedule(PEAK, STEPS - warmup_steps)
    else:
        by_hand = optax.constant_schedule(PEAK)
    if warmup_steps:
        rise = optax.linear_schedule(PEAK / (warmup_steps + 1), PEAK, warmup_steps)
        by_hand = optax.join_schedules([rise, by_hand], [warmup_steps])
    ours = make_schedule(Optim(learning_rate=PEAK, schedule=name, warmup=warmup), STEPS)
    np.testing.assert_array_equal(values(ours), values(by_hand))


@pytest.mark.parametrize('name', SCHEDULES)
@pytest.mark.parametrize('warmup', [0.0, 0.1])
@pytest.mark.parametrize('steps', [1, 2, 7])
def test_short_runs_have_finite_positive_rates_and_stay_below_the_peak(name, warmup, steps):
    rates = values(make_schedule(Optim(learning_rate=PEAK, schedule=name, warmup=warmup), steps), steps)
    assert np.all(np.isfinite(rates))
    assert rates[0] > 0
    assert np.all((rates >= 0) & (rates <= PEAK * (1 + 1e-6)))


@pytest.mark.parametrize('name', SCHEDULES)
def test_traced_and_python_steps_agree(name):
    schedule = make_schedule(Optim(learning_rate=PEAK, schedule=name), STEPS)
    np.testing.assert_allclose(values(schedule, 12), [float(schedule(step)) for step in range(12)], rtol=1e-5)


def test_the_name_overrides_the_configuration():
    optim = Optim(schedule='constant', warmup=0.0)
    named = values(make_schedule(optim, STEPS, 'linear'))
    np.testing.assert_array_equal(named, values(make_schedule(Optim(schedule='linear', warmup=0.0), STEPS)))
    assert named[-1] < values(make_schedule(optim, STEPS))[-1]


def test_an_unknown_name_is_one_clear_line():
    with pytest.raises(UserError, match=r"'one_circle' is not one of .*Did you mean 'one_cycle'"):
        make_schedule(Optim(), STEPS, 'one_circle')


def test_with_warmup_ramps_from_its_start_and_then_is_the_schedule():
    schedule = make_schedule(Optim(learning_rate=PEAK, warmup=0.0), STEPS)
    plain, ours = values(schedule), values(with_warmup(schedule, 15, 5))
    ramp = [(k + 1) / 6 for k in range(5)]
    np.testing.assert_allclose(ours[15:20], plain[15:20] * ramp, rtol=1e-6)
    np.testing.assert_array_equal(ours[20:], plain[20:])
    np.testing.assert_array_equal(ours[:15], 0)


def test_no_warmup_is_the_schedule_itself():
    schedule = make_schedule(Optim(), STEPS)
    assert with_warmup(schedule, 15, 0) is schedule


def test_scaled_and_shifted():
    schedule = make_schedule(Optim(learning_rate=PEAK), STEPS)
    plain = values(schedule)
    np.testing.assert_allclose(values(scaled(schedule, 0.25)), 0.25 * plain, rtol=1e-6)
    np.testing.assert_array_equal(values(shifted(schedule, 15), STEPS - 15), plain[15:])


def test_a_group_unfrozen_late_sees_the_global_schedule():
    """An optimiser made at step 15 counts from zero; its first update has the rate of step 15, first of the ramp."""
    schedule = make_schedule(Optim(learning_rate=PEAK, schedule='linear', warmup=0.0), STEPS)
    optimizer = optax.sgd(shifted(with_warmup(schedule, 15, 3), 15))
    state, moved = optimizer.init(jnp.zeros(())), []
    for _ in range(5):
        update, state = optimizer.update(jnp.ones(()), state)
        moved.append(-float(update))
    expected = [PEAK * (1 - (15 + k) / STEPS) * min(1, (k + 1) / 4) for k in range(5)]
    np.testing.assert_allclose(moved, expected, rtol=1e-5)
