"""ConvNeXt and MobileNetV2 by their config.json."""

import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.pretrained.names.convnet_config import options_from_config

SMALL = {'depths': [3, 3, 27, 3], 'hidden_sizes': [96, 192, 384, 768]}
ATTO = {'depths': [2, 2, 6, 2], 'hidden_sizes': [40, 80, 160, 320]}


@pytest.mark.parametrize(
    ('config', 'name', 'options'),
    [
        ({'model_type': 'convnext'}, 'convnext_tiny', {}),
        ({'model_type': 'convnext', **SMALL}, 'convnext_small', {}),
        ({'model_type': 'convnextv2', **ATTO, 'layer_norm_eps': 1e-12}, 'convnextv2_atto', {}),
        ({'model_type': 'mobilenet_v2'}, 'mobilenetv2_100', {'padding': 'tensorflow', 'eps': 1e-3}),
        (
            {'model_type': 'mobilenet_v2', 'depth_multiplier': 0.35, 'tf_padding': False, 'layer_norm_eps': 1e-5},
            'mobilenetv2_035',
            {'padding': 'torch', 'eps': 1e-5},
        ),
        (
            {'model_type': 'mobilenet_v2', 'depth_multiplier': 1.4, 'finegrained_output': False},
            'mobilenetv2_140',
            {'padding': 'tensorflow', 'eps': 1e-3},
        ),
    ],
)
def test_the_network_of_a_configuration(config, name, options):
    assert options_from_config(config) == (name, options)
    models.create(name, num_classes=2, options=options)


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'model_type': 'convnext', 'depths': [1, 1, 1, 1]}, r'no ConvNeXt here has depths=\[1, 1, 1, 1\]'),
        ({'model_type': 'convnextv2', 'hidden_sizes': [8, 16]}, r'no ConvNeXt V2 here .*hidden_sizes=\[8, 16\]'),
        ({'model_type': 'convnext', 'hidden_act': 'relu'}, "hidden_act='relu' cannot be had here; only 'gelu' can"),
        ({'model_type': 'mobilenet_v2', 'depth_multiplier': 0.9}, 'no MobileNetV2 here has depth_multiplier=0.9'),
        ({'model_type': 'mobilenet_v2', 'depth_multiplier': 0.354}, 'no MobileNetV2 here has depth_multiplier=0.354'),
        ({'model_type': 'mobilenet_v2', 'depth_multiplier': 0.5, 'finegrained_output': False}, 'no MobileNetV2 here'),
        ({'model_type': 'mobilenet_v2', 'output_stride': 16}, 'output_stride=16 cannot be had here'),
    ],
)
def test_what_no_network_is(config, message):
    with pytest.raises(UserError, match=message):
        options_from_config(config)
