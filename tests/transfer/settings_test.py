"""The numbers that are data of the compiled program: which they are, and where they go."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from jtransfer.config import Optim, Transfer
from jtransfer.transfer.plan import Group, Plan
from jtransfer.transfer.settings import exists, settings_of, with_settings

OPTIM = Optim(learning_rate=0.01, clip_norm=0.0, ema_decay=0.9)
PLAN = Plan(
    (
        Group('backbone', 'backbone/.*', True, 0.1, 0.02, ('backbone/kernel',), 3),
        Group('head', 'head/.*', True, 1.0, 0.0, ('head/kernel',), 3, phase=1),
        Group('stem', 'stem/.*', False, 1.0, 0.02, ('stem/kernel',), 3),
    ),
    Transfer('fine_tune', l2_sp=0.5),
)


def test_numbers_that_are_zero_are_no_data_and_what_is_frozen_has_none():
    assert settings_of(OPTIM, PLAN) == {
        'optim': {'learning_rate': 0.01, 'ema_decay': 0.9},
        'transfer': {'l2_sp': 0.5},
        'groups': {
            'backbone': {'learning_rate_scale': 0.1, 'weight_decay': 0.02},
            'head': {'learning_rate_scale': 1.0},
        },
    }


def test_numbers_go_where_they_come_from_and_nothing_else_changes():
    assert with_settings(OPTIM, PLAN, settings_of(OPTIM, PLAN)) == (OPTIM, PLAN)
    doubled = jax.tree.map(lambda number: 2 * number, settings_of(OPTIM, PLAN))
    optim, plan = with_settings(OPTIM, PLAN, doubled)
    assert optim == dataclasses.replace(OPTIM, learning_rate=0.02, ema_decay=1.8)
    assert plan.transfer == dataclasses.replace(PLAN.transfer, l2_sp=1.0)
    assert [(group.learning_rate_scale, group.weight_decay) for group in plan.groups] == [
        (0.2, 0.04),
        (2.0, 0.0),
        (1.0, 0.02),
    ]
    assert settings_of(OPTIM, PLAN)['transfer'] == {'l2_sp': 0.5}  # these are as they were
    assert settings_of(*with_settings(OPTIM, plan.at_phase(0), doubled))['groups'].keys() == {'backbone'}


@pytest.mark.parametrize(('number', 'there'), [(0, False), (0.0, False), (1e-9, True)])
def test_a_traced_number_is_a_term_whatever_it_is(number, there):
    assert exists(number) == there
    assert jax.jit(lambda traced: jnp.array(exists(traced)))(number)
