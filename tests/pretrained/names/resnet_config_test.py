"""Hugging Face configurations of ResNets and BiTs."""

import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.pretrained.names.resnet_config import options_from_config

BASIC, BOTTLENECK = [64, 128, 256, 512], [256, 512, 1024, 2048]


def resnet(depths, sizes, layer_type, **fields):
    return {
        'model_type': 'resnet',
        'depths': depths,
        'hidden_sizes': sizes,
        'layer_type': layer_type,
        'embedding_size': 64,
        'hidden_act': 'relu',
        'downsample_in_first_stage': False,
        **fields,
    }


def bit(depths, factor, **fields):
    sizes = [factor * size for size in BOTTLENECK]
    return {'model_type': 'bit', 'depths': depths, 'hidden_sizes': sizes, 'embedding_size': 64 * factor, **fields}


CASES = {
    'resnet18': resnet([2, 2, 2, 2], BASIC, 'basic'),
    'resnet26': resnet([2, 2, 2, 2], BOTTLENECK, 'bottleneck'),
    'resnet34': resnet([3, 4, 6, 3], BASIC, 'basic'),
    'resnet50': resnet([3, 4, 6, 3], BOTTLENECK, 'bottleneck'),
    'resnet101': resnet([3, 4, 23, 3], BOTTLENECK, 'bottleneck', downsample_in_bottleneck=False),
    'resnet152': resnet([3, 8, 36, 3], BOTTLENECK, 'bottleneck'),
    'bit_r50x1': bit([3, 4, 6, 3], 1, layer_type='preactivation', global_padding=None, num_groups=32),
    'bit_r50x3': bit([3, 4, 6, 3], 3),
    'bit_r101x1': bit([3, 4, 23, 3], 1),
    'bit_r101x3': {**bit([3, 4, 23, 3], 3), 'hidden_sizes': BOTTLENECK, 'width_factor': 3},
    'bit_r152x2': bit([3, 8, 36, 3], 2),
    'bit_r152x4': bit([3, 8, 36, 3], 4),
}


@pytest.mark.parametrize('name', CASES)
def test_sizes_name_the_network(name):
    assert options_from_config(CASES[name]) == (name, {})
    models.create(name, num_classes=2, options={})


@pytest.mark.parametrize(('kind', 'name'), [('resnet', 'resnet50'), ('bit', 'bit_r50x1')])
def test_what_a_file_leaves_out_is_the_librarys_default(kind, name):
    assert options_from_config({'model_type': kind, 'num_labels': 3}) == (name, {})


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'model_type': 'regnet'}, "model_type 'regnet' is none of resnet, bit"),
        ({}, "model_type 'None' is none of"),
        (
            resnet([2, 2, 3, 2], BASIC, 'basic'),
            r"no network of model_type 'resnet' has these sizes: .*depths \[2, 2, 3, 2\], layer_type basic",
        ),
        (resnet([3, 4, 6, 3], BASIC, 'bottleneck'), "no network of model_type 'resnet' has these sizes"),
        (resnet([3, 4, 6, 3], BOTTLENECK, 'bottleneck', embedding_size=32), 'embedding_size 32'),
        (resnet([3, 4, 6, 3], BOTTLENECK, 'bottleneck', hidden_act='gelu'), "hidden_act is 'gelu', .* has 'relu'"),
        (
            resnet([3, 4, 6, 3], BOTTLENECK, 'bottleneck', downsample_in_bottleneck=True),
            'downsample_in_bottleneck is True, but a resnet here has False',
        ),
        (bit([3, 4, 9], 1), "no network of model_type 'bit' has these sizes: .*num_groups 32"),
        (bit([3, 4, 6, 3], 1, num_groups=16), 'num_groups 16'),
        (
            bit([3, 4, 6, 3], 1, layer_type='bottleneck'),
            "layer_type is 'bottleneck', but a bit here has 'preactivation'",
        ),
        (bit([3, 4, 6, 3], 1, global_padding='SAME'), "global_padding is 'SAME', but a bit here has None"),
    ],
)
def test_what_no_network_has_is_named(config, message):
    with pytest.raises(UserError, match=message) as caught:
        options_from_config(config)
    assert '\n' not in str(caught.value)
