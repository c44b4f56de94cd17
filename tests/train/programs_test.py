"""Training steps that are compiled once for runs that differ in numbers alone."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from jtransfer.config import Augment, Optim, Train, Transfer
from jtransfer.tasks.classification import Classification
from jtransfer.tasks.criterion import Criterion, Term
from jtransfer.train import programs
from jtransfer.train.lane_placement import LanePlacement
from jtransfer.train.loop import fit
from jtransfer.train.placement import make_placement
from jtransfer.train.sizes import steps_by_size
from tests.train.folds import STATE_TOLERANCE, host

STEPS = 3
OPTIM = Optim(learning_rate=0.05, weight_decay=0.01, ema_decay=0.9, clip_norm=1.0, warmup=0.4, sam_rho=0.01)
FROZEN = Transfer('fine_tune', rules=(('backbone/stage1/.*', 'freeze'),), l2_sp=0.01, decay_to_source=0.1, distill=0.5)
# Everything that is data, in other numbers.
OTHER_OPTIM = Optim(learning_rate=0.02, weight_decay=0.03, ema_decay=0.5, clip_norm=1.0, warmup=0.4, sam_rho=0.05)
OTHER_FROZEN = dataclasses.replace(FROZEN, l2_sp=0.05, decay_to_source=0.3, distill=1.5)
TRAIN = Train(log_every=1, tensorboard=False, progress=False)


@pytest.fixture(autouse=True)
def none_yet():
    programs.forget()
    yield
    programs.forget()


@pytest.fixture
def compiled():
    """The names of the programs that XLA compiles."""
    names = []

    def note(event, seconds, **about):
        if event.endswith('backend_compile_duration'):
            names.append(str(about.get('fun_name')))

    jax.monitoring.register_event_duration_secs_listener(note)
    yield names
    jax.monitoring.unregister_event_duration_listener(note)


def make(toy, optim=OPTIM, transfer=FROZEN, **changes):
    changes = {'augment': Augment(horizontal_flip=0.5), 'train': TRAIN, 'steps': STEPS, **changes}
    return toy.make('dense_norm', transfer, optim, **changes)


def shapes(parts, variables):
    return jax.eval_shape(parts.start, variables).trainable


@pytest.mark.parametrize('name', ['jit', 'pmap'])
def test_a_run_with_other_numbers_compiles_nothing_anew_and_is_the_run_it_is_alone(toy, name, compiled):
    both = []
    for optim, transfer in ((OPTIM, FROZEN), (OTHER_OPTIM, OTHER_FROZEN)):
        placement = make_placement(name, jax.devices()[:2])
        parts, variables = make(toy, optim, transfer)
        before = len(compiled)
        both.append((parts, variables, fit(parts, variables, toy.feeder(placement), placement)))
    steps = ('jit(step)', 'jit(_fun)')  # the second is what `pmap` makes of it
    assert {*compiled[:before]} & {*steps}
    assert not {*compiled[before:]} & {*steps}
    assert len(programs._kept) == 1
    # And as a program that has the numbers for constants.
    parts, variables, result = both[1]
    placement = make_placement(name, jax.devices()[:2])
    state = placement.put_state(parts.start(variables))
    step = placement.compile(parts, state.trainable)
    feed = toy.feeder(placement)(0)
    for _ in range(STEPS):
        state, metrics = step(state, next(feed))
    chex.assert_trees_all_close(host(result.state), host(placement.get_state(state)), **STATE_TOLERANCE)
    np.testing.assert_allclose(result.history[-1]['gradient_norm'], np.ravel(metrics['gradient_norm'])[0], rtol=1e-5)
    moved = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(host(r.state.trainable))]) for *_, r in both]
    assert np.abs(moved[0] - moved[1]).max() > 1e-3
    rates = [line['learning_rate/head'] for line in result.history]
    assert rates == pytest.approx([float(parts.schedules()['head'](step)) for step in range(STEPS)], rel=1e-6)


@pytest.mark.parametrize(
    'change',
    [
        {'optim': dataclasses.replace(OPTIM, sam_rho=0.0)},
        {'optim': dataclasses.replace(OPTIM, clip_norm=0.5)},
        {'optim': dataclasses.replace(OPTIM, b2=0.9)},
        {'transfer': dataclasses.replace(FROZEN, distill=0.0)},
        {'augment': Augment(horizontal_flip=0.4)},
        {'steps': STEPS + 1},
    ],
)
def test_what_is_not_a_number_of_the_update_makes_another_program(toy, change):
    placement = make_placement('jit', jax.devices()[:1])
    keys = []
    for changes in ({}, {'optim': dataclasses.replace(OPTIM, learning_rate=1.0, weight_decay=0.5)}, change):
        parts, variables = make(toy, **changes)
        keys.append(programs._key(placement, parts, shapes(parts, variables)))
    assert keys[0] == keys[1] != keys[2]
    assert None not in keys


def test_devices_and_lanes_make_another_program(toy):
    parts, variables = make(toy)
    placements = [
        make_placement('jit', jax.devices()[:1]),
        make_placement('jit', jax.devices()[:2]),
        make_placement('pmap', jax.devices()[:1]),
        LanePlacement(1, 16, devices=jax.devices()[:1]),
        LanePlacement(2, 16, devices=jax.devices()[:1]),
    ]
    assert len({programs._key(placement, parts, shapes(parts, variables)) for placement in placements}) == 5


def test_a_schedule_of_ones_own_is_compiled_for_itself(toy):
    parts, variables = make(toy)
    parts = dataclasses.replace(parts, schedule=lambda step: 0.1)
    placement = make_placement('jit', jax.devices()[:1])
    assert programs._key(placement, parts, shapes(parts, variables)) is None
    steps_by_size(placement, parts, shapes(parts, variables))(0)
    assert not programs._kept


def test_only_the_last_few_are_kept(toy):
    parts, variables = make(toy)
    placement = make_placement('jit', jax.devices()[:1])
    for more in range(programs.MOST + 2):
        longer = dataclasses.replace(parts, total_steps=STEPS + more)
        programs.program(placement, longer, shapes(parts, variables))
    assert len(programs._kept) == programs.MOST
    last = [*programs._kept][-1]
    programs.program(placement, longer, shapes(parts, variables))
    assert [*programs._kept][-1] == last


def test_a_task_of_ones_own_is_compiled_for_itself(toy):
    class Mine(Classification):
        """Another day its loss may be another."""

    parts, variables = make(toy)
    (term,) = parts.criterion.terms
    mine = Mine('', 'single_label', term.task.class_names)
    own = dataclasses.replace(parts, criterion=Criterion((Term(mine, term.loss),)))
    placement = make_placement('jit', jax.devices()[:1])
    assert programs._key(placement, own, shapes(own, variables)) is None
    assert programs._key(placement, parts, shapes(parts, variables)) is not None
