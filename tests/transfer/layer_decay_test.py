"""Layer-wise decay gives every parameter the learning rate that timm's parameter groups do.

timm's are in tests/golden/layer_decay.json; tests/golden/make_layer_decay.py makes it.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import pytest

from jtransfer import models, rules
from jtransfer.config import Transfer
from jtransfer.pretrained.names import namings
from jtransfer.transfer.plan import make_plan

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'layer_decay.json'
DECAY = 0.5


def golden():
    """timm's factors by network and timm's name."""
    found = json.loads(GOLDEN.read_text())
    return {
        network: {name: DECAY ** int(times) for times, names in layers.items() for name in names}
        for network, layers in found.items()
    }


def ours(architecture):
    """Our factors by our path, and the name in timm of each."""
    network = models.create(architecture, num_classes=1000)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    plan = make_plan(network, shapes['params'], Transfer('fine_tune', layer_decay=DECAY), 0.1)
    naming = next(n for n in namings(models.describe(architecture).family, network.backbone) if n.name == 'timm')
    factors = {path: group.learning_rate_scale for group in plan.groups for path in group.paths}
    assert factors.keys() == rules.flatten(shapes['params']).keys()
    return {path: (naming.name_of(f'params/{path}'), factor) for path, factor in factors.items()}


def assert_equal(architecture, theirs):
    found = ours(architecture)
    # A published tensor that is several of ours (query, key and value) has one rate; none is left over.
    assert {name for name, _ in found.values()} == set(theirs)
    for path, (name, factor) in found.items():
        assert factor == theirs[name], path


@pytest.mark.parametrize('architecture', ['resnet18', 'bit_r50x1', 'vit_ti16', 'convnextv2_atto', 'mobilenetv2_100'])
def test_every_learning_rate_is_timms(architecture):
    assert_equal(architecture, golden()[architecture])


@pytest.mark.parity
@pytest.mark.parametrize(
    ('architecture', 'timm_name'),
    [('resnet50', 'resnet50'), ('vit_b16', 'vit_base_patch16_224'), ('convnext_tiny', 'convnext_tiny')],
)
def test_every_learning_rate_is_that_of_timm_itself(architecture, timm_name):
    from tests.golden.make_layer_decay import learning_rates

    assert_equal(architecture, learning_rates(timm_name))


@pytest.mark.parity
def test_the_file_is_what_timm_says():
    from tests.golden.make_layer_decay import NETWORKS, learning_rates

    assert golden() == {network: learning_rates(theirs) for network, theirs in NETWORKS.items()}


def test_stage_learning_rates_multiply_it():
    network = models.create('resnet_tiny', num_classes=3)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    transfer = Transfer(
        'fine_tune',
        layer_decay=0.5,
        stage_learning_rates=(('stem|stage1', 0.1), ('stage2', 3.0)),
        rules=(('backbone/stem/bn/.*', 'learning_rate=0.7'),),
        backbone_learning_rate_scale=0.2,
    )
    plan = make_plan(network, shapes['params'], transfer)
    factors = {path: group.learning_rate_scale for group in plan.groups for path in group.paths}
    assert factors['head/kernel'] == 1.0
    assert factors['backbone/stage2/block0/conv1/kernel'] == pytest.approx(0.2 * 3.0 * 0.5)
    assert factors['backbone/stage1/block0/conv1/kernel'] == pytest.approx(0.2 * 0.1 * 0.25)
    assert factors['backbone/stem/conv/kernel'] == pytest.approx(0.2 * 0.1 * 0.125)
    # A rule of one's own has the factor that it states.
    assert factors['backbone/stem/bn/scale'] == 0.7
