"""The config.json of timm: what stands in it, and that it is read back as the network it was written for."""

import pytest

from jtransfer import models
from jtransfer.pretrained.names import namings
from jtransfer.pretrained.timm.arguments import backbone_of
from jtransfer.pretrained.timm.config import timm_config
from jtransfer.pretrained.timm.names import described, preprocessing_of


@pytest.mark.parametrize(
    ('architecture', 'first', 'classifier'),
    [
        ('resnet50', 'conv1', 'fc'),
        ('resnet18d', 'conv1.0', 'fc'),
        ('bit_r50x1', 'stem.conv', 'head.fc'),
        ('convnext_atto', 'stem.0', 'head.fc'),
        ('mobilenetv2_100', 'conv_stem', 'classifier'),
        ('vit_s16', 'patch_embed.proj', 'head'),
        ('deit_s16_distilled', 'patch_embed.proj', ['head', 'head_dist']),
    ],
)
def test_it_is_read_as_the_network_it_was_written_for(architecture, first, classifier):
    variant = models.describe(architecture)
    backbone = backbone_of(architecture, {})
    naming = namings(variant.family, backbone)[0]
    config = timm_config(architecture, backbone, variant.preprocessing, ('10', '2'), naming)
    assert (config['num_classes'], config['label_names']) == (2, ['10', '2'])
    assert config['pretrained_cfg']['first_conv'] == first
    assert config['pretrained_cfg']['classifier'] == classifier
    assert config['pretrained_cfg']['fixed_input_size'] == (variant.family == 'vit')
    name, options, shape = described(config)
    assert (name, options) == (architecture, {})
    assert preprocessing_of(config, shape) == variant.preprocessing
    bare = timm_config(architecture, backbone, variant.preprocessing, (), naming)
    assert bare['num_classes'] == 0
    assert 'label_names' not in bare
