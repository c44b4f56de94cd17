"""ConvNeXt and its published names against the references, from the fixtures of tests/golden/make_convnext.py."""

import numpy as np
import pytest

from jtransfer.models.convnext.network import ConvNeXt
from jtransfer.models.network import Network
from jtransfer.pretrained.load.namemap import choose
from jtransfer.pretrained.names import namings
from tests.golden import check

TINY = {'depths': (1, 2, 1, 1), 'widths': (4, 6, 5, 8)}
CASES = {
    'convnext_dense': ('timm', {}),
    'convnext_conv_mlp': ('timm', {'conv_mlp': True}),
    'convnext_v2': ('timm', {'grn': True}),
    'convnext_facebook': ('facebook', {}),
    'convnext_facebook_v2': ('facebook', {'grn': True}),
    'convnext_hf': ('huggingface', {}),
    'convnext_hf_v2': ('huggingface', {'grn': True}),
}


def case(name):
    """Network, naming and what the reference said."""
    source, kwargs = CASES[name]
    network = Network(ConvNeXt(**TINY, **kwargs), {'': 5})
    return network, check.naming_called(source, 'convnext', network), check.golden(name)


@pytest.mark.parametrize('name', CASES)
def test_evaluation(name):
    network, naming, arrays = case(name)
    shares = check.evaluation(network, naming, arrays)
    assert {*network.stages, 'logits'} == set(shares)


@pytest.mark.parametrize('name', CASES)
def test_names_go_there_and_back(name):
    check.round_trip(*case(name))


@pytest.mark.parametrize('name', CASES)
def test_a_file_is_recognised_by_its_names(name):
    network, naming, arrays = case(name)
    assert choose(namings('convnext', network.backbone), list(check.state(arrays)), name) == naming


@pytest.mark.parametrize(('name', 'base'), [('convnext_hf', 'convnext.'), ('convnext_hf_v2', 'convnextv2.')])
def test_a_file_of_the_bare_backbone_lacks_the_prefix(name, base):
    network, naming, arrays = case(name)
    bare = {key.removeprefix(base): value for key, value in check.state(arrays).items() if key.startswith(base)}
    assert choose(namings('convnext', network.backbone), list(bare), name) == naming
    converted = naming.to_ours(bare, check.shapes(network, arrays['image']))
    assert not converted.unknown
    assert set(converted.values) == {p for p in check.shapes(network, arrays['image']) if '/backbone/' in p}


@pytest.mark.parametrize('kwargs', [{}, {'conv_mlp': True}])
def test_both_forms_of_the_mlp_are_read_and_timms_own_is_written(kwargs):
    network = Network(ConvNeXt(**TINY, **kwargs), {'': 5})
    naming = check.naming_called('timm', 'convnext', network)
    shapes = check.shapes(network, check.golden('convnext_dense')['image'])
    for name in ('convnext_dense', 'convnext_conv_mlp'):
        values = naming.to_ours(check.state(check.golden(name)), shapes).values
        theirs = naming.to_theirs(values)
        assert theirs['stages.1.blocks.1.mlp.fc1.weight'].shape == ((24, 6, 1, 1) if kwargs else (24, 6))
        np.testing.assert_array_equal(
            theirs['stages.1.blocks.1.mlp.fc1.weight'].reshape(24, 6).T,
            values['params/backbone/stage2/block1/mlp/fc1/kernel'],
        )


@pytest.mark.parametrize(
    ('name', 'tensor'),
    [
        ('convnext_dense', 'head.norm.bias'),
        ('convnext_dense', 'stages.2.blocks.0.gamma'),
        ('convnext_v2', 'stages.1.blocks.1.mlp.grn.bias'),
        ('convnext_hf', 'convnext.encoder.stages.1.downsampling_layer.0.bias'),
    ],
)
def test_a_tensor_in_the_wrong_place_would_be_noticed(name, tensor):
    network, naming, arrays = case(name)
    with pytest.raises(AssertionError, match='of the largest magnitude'):
        check.evaluation(network, naming, {**arrays, f'state/{tensor}': arrays[f'state/{tensor}'][::-1]})


def test_another_epsilon_would_be_noticed():
    network, naming, arrays = case('convnext_dense')
    other = network.clone(backbone=network.backbone.clone(eps=1e-3))
    with pytest.raises(AssertionError, match='of the largest magnitude'):
        check.evaluation(other, naming, arrays)
