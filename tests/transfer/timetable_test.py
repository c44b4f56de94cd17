"""The timetable: when phases begin, and what cannot be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import models
from jtransfer.config import Optim, Transfer
from jtransfer.errors import UserError
from jtransfer.transfer.plan import make_plan
from jtransfer.transfer.timetable import make_timetable

NETWORK = models.create('resnet_tiny', num_classes=3)
OPTIM = Optim(learning_rate=0.1, warmup=0.2)


@pytest.fixture(scope='module')
def params():
    """The shapes of the parameters."""
    return jax.eval_shape(NETWORK.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))['params']


def timetable(params, transfer, total=20, epoch=5):
    return make_timetable(OPTIM, make_plan(NETWORK, params, transfer), total, epoch)


@pytest.mark.parametrize(
    ('transfer', 'planned'),
    [
        (Transfer('fine_tune'), (0,)),
        (Transfer('lp_ft'), (0, 6)),
        (Transfer('lp_ft', first_phase=0.5), (0, 10)),
        (Transfer('one_then_all'), (0, 5)),
        (Transfer('one_then_all', first_phase=0.1), (0, 2)),
        (Transfer('gradual', unfreeze_every=4), (0, 4, 8, 12)),
        # What is left after the first phase is divided evenly.
        (Transfer('fine_tune', rules=(('.*/stem/.*', 'phase=2'), ('.*/stage1/.*', 'phase=1'))), (0, 6, 13)),
        # Numbers without anything that begins in them are passed over.
        (Transfer('fine_tune', rules=(('.*/stem/.*', 'phase=9'), ('.*/stage1/.*', 'phase=4'))), (0, 6, 13)),
        # Frozen stages need no phase.
        (Transfer('gradual', unfreeze_every=4, freeze_until='stage2'), (0, 4)),
        (Transfer('lp_ft', rules=(('backbone/.*', 'freeze'),)), (0,)),
    ],
)
def test_when_phases_begin(params, transfer, planned):
    found = timetable(params, transfer)
    assert found.planned == planned
    assert found.phases == len(planned)
    assert not found.waits
    starts, begun = (0,), []
    for step in range(1, 21):
        if found.begins(starts, step, stalled=99):
            begun.append(step)
            starts = (*starts, step)
    assert tuple(begun) == planned[1:]


def test_a_phase_waits_for_validation_to_stall(params):
    found = timetable(params, Transfer('gradual', unfreeze_patience=3))
    assert found.planned == (0,)
    assert found.phases == 4
    assert found.waits
    assert not found.begins((0,), 7, stalled=2)
    assert found.begins((0,), 7, stalled=3)
    assert found.begins((0, 7, 8), 9, stalled=3)
    assert not found.begins((0, 7, 8, 9), 10, stalled=3)  # there is no other phase
    assert not found.begins((0,), 20, stalled=3)  # and no other step


def test_a_group_of_a_later_phase_has_a_rise_of_its_own(params):
    transfer = Transfer('gradual', unfreeze_every=5, unfreeze_warmup=3)
    plan = make_plan(NETWORK, params, transfer)
    found = make_timetable(OPTIM, plan, 20, 5)
    head, later = (next(g for g in plan.groups if g.phase == phase) for phase in (0, 2))
    usual = np.array([found.schedule(head, (0,))(step) for step in range(20)])
    rising = np.array([found.schedule(later, (0, 5, 10))(step) for step in range(20)])
    np.testing.assert_allclose(rising[10:13], usual[10:13] * [0.25, 0.5, 0.75], rtol=1e-6)
    np.testing.assert_allclose(rising[13:], usual[13:], rtol=1e-6)


@pytest.mark.parametrize(
    ('transfer', 'total', 'message'),
    [
        (Transfer('gradual', unfreeze_every=7), 20, 'the last of 4 phases after 21 of 20 steps: at most 6 would do'),
        (Transfer('gradual', unfreeze_every=1), 3, 'after 3 of 3 steps: train for at least 4 steps'),
        (Transfer('lp_ft'), 1, '1 steps are too few for 2 phases'),
        (Transfer('lp_ft', first_phase=0.99), 20, 'set transfer.first_phase'),
        (Transfer('one_then_all'), 5, 'train for longer'),
        (Transfer('lp_ft', first_phase=0.01), 20, 'would begin after the steps 0, 0'),
    ],
)
def test_a_training_too_short_for_its_phases(params, transfer, total, message):
    with pytest.raises(UserError, match=message):
        timetable(params, transfer, total)


def test_the_longest_interval_that_the_error_names_would_do(params):
    for total in (20, 21, 22, 5):
        most = (total - 1) // 3
        assert timetable(params, Transfer('gradual', unfreeze_every=most), total).planned[-1] < total
        with pytest.raises(UserError, match=f'at most {most} would do'):
            timetable(params, Transfer('gradual', unfreeze_every=most + 1), total)


def test_something_has_to_move_in_the_first_phase(params):
    with pytest.raises(UserError, match='nothing moves in phase 0'):
        make_plan(NETWORK, params, Transfer('linear_probe', rules=(('head/.*', 'phase=1'),)))
    with pytest.raises(UserError, match='nothing moves in phase 0'):
        make_plan(NETWORK, params, Transfer('lp_ft', rules=(('head/.*', 'freeze'),)))
