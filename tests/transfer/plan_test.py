"""The plan: groups cover every parameter once, and the split loses nothing."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jtransfer import models, rules
from jtransfer.config import Transfer
from jtransfer.errors import UserError
from jtransfer.transfer.plan import combine, make_plan

NETWORK = models.create('resnet_tiny', num_classes=3)


def params():
    def block():
        return {'conv1': {'kernel': np.ones((3, 3, 4, 4))}, 'bn1': {'scale': np.ones(4), 'bias': np.zeros(4)}}

    return {
        'backbone': {'stem': block(), 'stage1': {'block0': block()}, 'stage2': {'block0': block()}},
        'head': {'kernel': np.zeros((4, 3)), 'bias': np.zeros(3)},
    }


def leaf_paths(tree):
    return set(rules.flatten(tree)) if tree else set()


def test_linear_probe_trains_the_head_alone():
    plan = make_plan(NETWORK, params(), Transfer('linear_probe'), weight_decay=0.1)
    trainable, frozen = plan.split(params())
    assert leaf_paths(trainable) == {'head/kernel', 'head/bias'}
    assert plan.frozen_modules == ('backbone',)
    assert leaf_paths(frozen) == leaf_paths(params()) - leaf_paths(trainable)
    assert plan.trainable_elements == 15


def test_fine_tune_scales_the_backbone_and_decays_kernels_only():
    plan = make_plan(NETWORK, params(), Transfer('fine_tune', backbone_learning_rate_scale=0.1), weight_decay=0.1)
    by_path = {path: group for group in plan.groups for path in group.paths}
    assert by_path['backbone/stem/conv1/kernel'].learning_rate_scale == 0.1
    assert by_path['backbone/stem/conv1/kernel'].weight_decay == 0.1
    assert by_path['backbone/stem/bn1/scale'].weight_decay == 0.0
    assert by_path['backbone/stem/bn1/scale'].learning_rate_scale == 0.1
    assert by_path['head/kernel'].learning_rate_scale == 1.0
    assert by_path['head/bias'].weight_decay == 0.0
    assert plan.frozen_modules == ()
    assert [g.name for g in plan.groups] == ['head', 'head (no decay)', 'backbone', 'backbone (no decay)']


def test_rules_come_before_the_strategy_and_may_name_a_decay():
    transfer = Transfer('fine_tune', rules=(('backbone/(stem|stage1)/.*', 'freeze'), ('.*/bn1/.*', 'weight_decay=0.3')))
    plan = make_plan(NETWORK, params(), transfer, weight_decay=0.1)
    by_path = {path: group for group in plan.groups for path in group.paths}
    assert not by_path['backbone/stage1/block0/bn1/bias'].trainable
    assert by_path['backbone/stage2/block0/bn1/bias'].weight_decay == 0.3
    assert plan.frozen_modules == ('backbone/stage1', 'backbone/stem')


def test_a_module_with_one_moving_parameter_is_not_frozen():
    plan = make_plan(NETWORK, params(), Transfer('linear_probe', rules=(('.*/bn1/scale', 'train'),)))
    assert plan.frozen_modules == (
        'backbone/stage1/block0/conv1',
        'backbone/stage2/block0/conv1',
        'backbone/stem/conv1',
    )


@given(
    st.lists(
        st.tuples(st.sampled_from(['.*/kernel', 'backbone/stage1/.*', '.*bias', '.*/bn1/.*']), st.booleans()),
        max_size=3,
    )
)
def test_split_and_combine_are_inverse_for_any_rules(chosen):
    written = tuple((pattern, 'train' if train else 'freeze') for pattern, train in chosen)
    try:
        plan = make_plan(NETWORK, params(), Transfer('fine_tune', rules=written), 0.1)
    except UserError:
        return  # a rule without effect, or nothing to train
    trainable, frozen = plan.split(params())
    assert not leaf_paths(trainable) & leaf_paths(frozen)
    whole = combine(trainable, frozen)
    assert leaf_paths(whole) == leaf_paths(params())
    np.testing.assert_array_equal(whole['head']['kernel'], params()['head']['kernel'])
    assert sorted(p for g in plan.groups for p in g.paths) == sorted(leaf_paths(params()))
    assert leaf_paths(plan.labels(trainable)) == leaf_paths(trainable)


def test_everything_frozen_is_an_error():
    with pytest.raises(UserError, match='every parameter is frozen'):
        make_plan(NETWORK, params(), Transfer('fine_tune', rules=(('.*', 'freeze'),)))


def test_summary_says_what_trains():
    text = make_plan(NETWORK, params(), Transfer('linear_probe')).summary()
    assert 'trained: head (15 of 471 parameters, 3.2%)' in text
    assert 'frozen: backbone' in text


def test_rows_have_the_elements():
    rows = make_plan(NETWORK, params(), Transfer('fine_tune'), 0.1).rows()
    assert sum(row['elements'] for row in rows) == sum(jnp.size(leaf) for leaf in rules.flatten(params()).values())
