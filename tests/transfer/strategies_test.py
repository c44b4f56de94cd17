"""The rules that the strategies stand for, and the names that they do not know."""

import jax
import jax.numpy as jnp
import pytest

from jtransfer import adapters, models
from jtransfer.config import Transfer
from jtransfer.config.transfer import ADAPTATIONS, Adapters
from jtransfer.errors import UserError
from jtransfer.transfer.plan import make_plan


def plan_of(name, transfer, weight_decay=0.1):
    network = models.create(name, num_classes=3)
    side = max(16, network.backbone.smallest_side)
    params = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))['params']
    return make_plan(network, params, transfer, weight_decay)


def factors(plan):
    return {path: group.learning_rate_scale for group in plan.groups for path in group.paths if group.trainable}


@pytest.mark.parametrize(
    ('transfer', 'message'),
    [
        (Transfer('fine_tune', freeze_until='stag2'), "transfer.freeze_until: .* no stage 'stag2'.*stage2"),
        (Transfer('surgical', blocks=('stage9',)), "transfer.blocks: .* no stage or block 'stage9'"),
        (Transfer('surgical', blocks=('stage1/blok0',)), "'stage1/blok0'.*stage1/block0"),
        (Transfer('fine_tune', stage_learning_rates=(('stage7', 0.1),)), "'stage7'.*nearest.*stage"),
        (Transfer('fine_tune', stage_learning_rates=(('stage.', 0.1), ('stage1', 0.2))), "'stage1' has no effect"),
        (Transfer('fine_tune', stage_learning_rates=(('(', 0.1),)), 'not a regular expression'),
        (Transfer('fine_tune', rules=(('backbone/stage9/.*', 'train'),)), 'matches no parameter'),
        *((Transfer(kind), f'{kind} trains what is added') for kind in ADAPTATIONS),
    ],
)
def test_what_the_network_does_not_have_is_told_with_what_it_has(transfer, message):
    with pytest.raises(UserError, match=message):
        plan_of('resnet_tiny', transfer)


def test_one_then_all_spreads_the_rates_over_the_stages():
    found = factors(plan_of('resnet_small', Transfer('one_then_all', backbone_learning_rate_scale=0.5)))
    by_stage = {path.split('/')[1]: factor for path, factor in found.items() if path.startswith('backbone')}
    assert by_stage == pytest.approx(
        {'stem': 0.005, 'stage1': 0.5 * 10**-1.5, 'stage2': 0.05, 'stage3': 0.5 * 10**-0.5, 'stage4': 0.5}
    )
    assert found['head/kernel'] == 1.0


def test_one_then_all_with_rates_of_its_own_has_those():
    transfer = Transfer('one_then_all', stage_learning_rates=(('stem', 0.25),))
    by_stage = {path.split('/')[1]: f for path, f in factors(plan_of('resnet_tiny', transfer)).items()}
    assert (by_stage['stem'], by_stage['stage1'], by_stage['stage2']) == (0.25, 1.0, 1.0)


@pytest.mark.parametrize('pull', ['l2_sp', 'decay_to_source'])
def test_a_pull_takes_the_place_of_the_backbones_decay_unless_a_rule_names_one(pull):
    transfer = Transfer('fine_tune', rules=(('backbone/stage2/.*', 'weight_decay=0.3'),), **{pull: 0.01})
    decays = {path: g.weight_decay for g in plan_of('resnet_tiny', transfer).groups for path in g.paths}
    assert decays['head/kernel'] == 0.1
    assert decays['backbone/stage1/block0/conv1/kernel'] == 0.0
    assert decays['backbone/stage2/block0/conv1/kernel'] == 0.3


@pytest.mark.parametrize(
    'name', ['resnet50', 'bit_r50x1', 'vit_ti16', 'convnextv2_atto', 'mobilenetv2_100', 'vgg11_bn']
)
def test_norms_and_biases_are_what_their_names_say(name):
    network = models.create(name, num_classes=3)
    params = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))['params']
    norms, biases = (
        {path for group in make_plan(network, params, Transfer(s)).trainable_groups for path in group.paths}
        for s in ('norm_only', 'bitfit')
    )
    plan = make_plan(network, params, Transfer('fine_tune'))
    paths = {path for group in plan.groups for path in group.paths}
    head = {path for path in paths if path.startswith('head/')}
    # A scale is only ever that of a normalisation, and every normalisation has its bias beside it.
    scaled = {path.removesuffix('scale') for path in paths if path.endswith('/scale')}
    assert norms - head == {f'{module}{leaf}' for module in scaled for leaf in ('scale', 'bias')}
    assert biases - head == {path for path in paths - head if path.endswith('/bias')}


@pytest.mark.parametrize(
    'transfer', [Transfer('gradual', unfreeze_every=2), Transfer('fine_tune', layer_decay=0.5), Transfer('lp_ft')]
)
def test_several_tasks_are_treated_as_one_head(transfer):
    network = models.create('resnet_tiny', num_classes=0, heads={'kind': 3, 'size': 1})
    params = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))['params']
    plan = make_plan(network, params, transfer, 0.1)
    single = plan_of('resnet_tiny', transfer)
    found, expected = (
        {path: (g.phase, g.learning_rate_scale, g.weight_decay) for g in p.groups for path in g.paths}
        for p in (plan, single)
    )
    for path, treated in found.items():
        assert treated == expected[f'head/{path.split("/")[-1]}' if path.startswith('heads/') else path]


@pytest.mark.parametrize(
    ('kind', 'still'),
    [('prompt', {'block0'}), ('lora', {'block0'}), ('adapter', {'block0'}), ('ssf', {'embed', 'block0'})],
)
def test_what_is_added_to_frozen_stages_is_frozen_too(kind, still):
    network = models.create('vit_mini', num_classes=3)
    params = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))['params']
    adaptation = adapters.make_adaptation(kind, Adapters(), network, params)
    shapes = jax.eval_shape(
        lambda key: adaptation.init(key, network, params, jax.ShapeDtypeStruct((16, 16, 3), jnp.float32)),
        jax.random.key(0),
    )
    adapted = adapters.AdaptedNetwork(network, adaptation)
    plan = make_plan(adapted, {**params, 'adapters': shapes}, Transfer(kind, freeze_until='block1'))
    moving = {path for group in plan.trainable_groups for path in group.paths}
    added = {path for group in plan.groups for path in group.paths if path.startswith('adapters/')}
    assert {path.split('/')[2] for path in added - moving} == still
    assert {path.split('/')[2] for path in added & moving} == {path.split('/')[2] for path in added} - still


@pytest.mark.parametrize('pull', ['l2_sp', 'decay_to_source', 'distill'])
def test_a_pull_on_what_stands_still_is_refused(pull):
    with pytest.raises(UserError, match=rf'transfer\.{pull} pulls towards the source, from which nothing moves away'):
        plan_of('resnet_tiny', Transfer('linear_probe', **{pull: 0.1}))
    assert plan_of('resnet_tiny', Transfer('bitfit', **{pull: 0.1})).trainable_groups
