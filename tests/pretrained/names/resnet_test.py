"""ResNets of every naming against timm, transformers and a plain torch module: tests/golden/make_resnet.py."""

import dataclasses

import numpy as np
import pytest

from jtransfer.models.network import Network
from jtransfer.models.resnet.network import ResNet
from jtransfer.pretrained.load.namemap import choose
from jtransfer.pretrained.names.resnet import namings
from tests.golden import check

DEPTHS, WIDTHS = (1, 1, 1, 2), (4, 6, 5, 6)
DEEP = {'stem': 'deep', 'shortcut': 'pool', 'stem_width': 8}
HUGGINGFACE = {'stem_width': 8, 'depths': DEPTHS}


def backbone(block, **fields):
    return ResNet(block, **{'depths': DEPTHS, 'widths': WIDTHS, **fields})


CASES = {
    'resnet_basic': ('timm', backbone('basic')),
    'resnet_bottleneck': ('timm', backbone('bottleneck')),
    'resnet_groups': ('timm', backbone('bottleneck', widths=(4, 6, 8, 4), groups=4, inner_width=2)),
    'resnet_deep_basic': ('timm', backbone('basic', **DEEP)),
    'resnet_deep': ('timm', backbone('bottleneck', **DEEP)),
    'resnet_cifar': (
        'akamaster',
        backbone('basic', depths=(2, 2, 2), widths=(4, 6, 10), stem='cifar', stem_width=4, shortcut='pad'),
    ),
    'resnet_huggingface': ('huggingface', backbone('bottleneck', widths=(4, 6, 8, 10), **HUGGINGFACE)),
    'resnet_flax': ('huggingface_flax', backbone('bottleneck', widths=(4, 6, 8, 10), **HUGGINGFACE)),
    'resnet_flax_basic': ('huggingface_flax', backbone('basic', widths=(8, 6, 8, 10), **HUGGINGFACE)),
}
TRAINED = [case for case, (naming, _) in CASES.items() if naming != 'huggingface_flax']


def case(name):
    naming, made = CASES[name]
    network = Network(made, {'': 5})
    return network, check.naming_called(naming, 'resnet', network), check.golden(name)


@pytest.mark.parametrize('name', CASES)
def test_evaluation_is_the_reference(name):
    shares = check.evaluation(*case(name))
    assert len(shares) >= 4  # logits and every stage


@pytest.mark.parametrize('name', TRAINED)
def test_training_mode_and_statistics_are_the_reference(name):
    check.training(*case(name))


@pytest.mark.parametrize('name', CASES)
def test_the_names_go_both_ways(name):
    check.round_trip(*case(name))


@pytest.mark.parametrize('name', CASES)
def test_a_file_is_recognised_by_its_names(name):
    network, naming, arrays = case(name)
    names = list(check.state(arrays))
    assert choose(namings(network.backbone), names, 'file').name == naming.name


@pytest.mark.parametrize(
    ('name', 'wrong'),
    [
        ('resnet_deep', {'shortcut': 'conv', 'stem': 'deep'}),
        ('resnet_groups', {'groups': 2}),
        ('resnet_cifar', {'shortcut': 'conv'}),
        ('resnet_basic', {'block': 'bottleneck'}),
    ],
)
def test_another_architecture_would_be_noticed(name, wrong):
    network, naming, arrays = case(name)
    other = dataclasses.replace(network, backbone=dataclasses.replace(network.backbone, **wrong))
    with pytest.raises(AssertionError):
        check.evaluation(other, naming, arrays)


def test_padded_channels_must_stand_on_both_sides():
    # The zeros behind alone would be another option A.
    network, naming, arrays = case('resnet_cifar')
    state = check.state(arrays)
    order = np.roll(np.arange(6), 1)
    for key in [k for k in state if k.startswith('layer2') and ('conv2.weight' in k or '.bn2.' in k)]:
        if state[key].ndim:
            arrays[f'state/{key}'] = state[key][order]
    with pytest.raises(AssertionError, match='differs'):
        check.evaluation(network, naming, arrays)


@pytest.mark.parametrize(
    ('name', 'before', 'after'),
    [
        ('resnet_basic', '', 'module.'),
        ('resnet_cifar', '', 'module.'),
        ('resnet_huggingface', 'resnet.', ''),  # the bare backbone's file
    ],
)
def test_prefixes_that_some_files_have_or_lack_do_not_matter(name, before, after):
    network, naming, arrays = case(name)
    shapes = check.shapes(network, arrays['image'])
    plain = {key: value for key, value in check.state(arrays).items() if key.startswith(before)}
    renamed = {f'{after}{key.removeprefix(before)}': value for key, value in plain.items()}
    expected, found = naming.to_ours(plain, shapes).values, naming.to_ours(renamed, shapes).values
    assert {path for path in shapes if '/backbone/' in path} <= set(found)
    assert set(found) == set(expected)
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value)
    assert choose(namings(network.backbone), list(renamed), 'file').name == naming.name
