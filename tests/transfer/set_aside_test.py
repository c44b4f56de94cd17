"""What is meant for pretrained weights does nothing to random ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import models, rules
from jtransfer.config import Transfer
from jtransfer.config.transfer import STRATEGIES
from jtransfer.transfer.plan import make_plan
from jtransfer.transfer.pull import keep_source
from jtransfer.transfer.set_aside import FOR_PRETRAINED, for_weights
from jtransfer.transfer.towards_source import configured_pulls

SETTINGS = {
    'backbone_learning_rate_scale': 0.3,
    'stage_learning_rates': (('stem', 0.1),),
    'layer_decay': 0.5,
    'freeze_until': 'stage2',
    'frozen_dtype': 'bfloat16',
    'l2_sp': 0.1,
    'l2_sp_head': 0.1,
    'decay_to_source': 0.1,
    'distill': 1.0,
    'batch_norm': 'evaluate',
}
NETWORK = models.create('resnet_tiny', num_classes=3)


@pytest.fixture(scope='module')
def params():
    return jax.eval_shape(NETWORK.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))['params']


def test_every_setting_for_pretrained_weights_is_tried():
    assert {*FOR_PRETRAINED, 'batch_norm'} == set(SETTINGS)


@pytest.mark.parametrize('name', SETTINGS)
def test_a_setting_for_pretrained_weights_has_no_effect_from_scratch_and_is_said(params, name):
    transfer = Transfer('scratch', **{name: SETTINGS[name]})
    plain, plan = (make_plan(NETWORK, params, own, 0.1) for own in (Transfer('scratch'), transfer))
    assert plan.groups == plain.groups
    assert plan.transfer == plain.transfer == Transfer('scratch')
    assert plan.frozen_modules == ()
    line = f'scratch: transfer.{name}={SETTINGS[name]} is for pretrained weights and was set aside'
    assert (plan.notes, plain.notes) == ((line,), ())


def test_several_are_said_in_one_line(params):
    plan = make_plan(NETWORK, params, Transfer('scratch', layer_decay=0.5, l2_sp=0.1))
    (line,) = plan.notes
    assert line == (
        'scratch: transfer.layer_decay=0.5, transfer.l2_sp=0.1 are for pretrained weights and were set aside'
    )


def test_rules_of_ones_own_apply_as_written_and_are_said(params):
    written = (('backbone/stem/.*', 'freeze'), ('backbone/stage1/.*', 'learning_rate=2'), ('head/.*', 'phase=1'))
    plan = make_plan(NETWORK, params, Transfer('scratch', rules=written, layer_decay=0.5))
    assert [group.trainable for group in plan.groups if group.pattern == 'backbone/stem/.*'] == [False]
    (line,) = plan.notes
    assert line.endswith('; transfer.rules were applied to random weights as written (backbone/stem/.*: freeze)')
    assert make_plan(NETWORK, params, Transfer('fine_tune', rules=written[:1])).notes == ()


@pytest.mark.parametrize('strategy', [name for name in STRATEGIES if name != 'scratch'])
def test_other_strategies_keep_what_they_are_given(strategy):
    transfer = Transfer(strategy, **SETTINGS)
    assert for_weights(transfer) == (transfer, ())


def test_no_source_is_kept_of_random_weights(params):
    variables = {'params': jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), params)}
    plan = make_plan(NETWORK, params, Transfer('scratch', l2_sp=0.1, distill=1.0))
    assert configured_pulls(plan.transfer) == ()
    assert keep_source(variables, plan, configured_pulls(plan.transfer)) is None
    assert {path for group in plan.groups for path in group.paths} == set(rules.flatten(params))
