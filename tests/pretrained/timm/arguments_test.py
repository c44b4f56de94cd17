"""Arguments of timm's networks as fields of ours, and back."""

import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.pretrained.timm.arguments import arguments_of, backbone_of, options_of
from jtransfer.pretrained.timm.names import architecture_of, named_by_timm

CASES = [
    ('vit_b16', {}, 'vit_base_patch16_224', {}),
    ('mae_b16', {}, 'vit_base_patch16_224', {}),
    ('vit_b16', {'gelu': 'tanh'}, 'vit_base_patch16_224', {'act_layer': 'gelu_tanh'}),
    ('vit_b16', {'pool': 'avg'}, 'vit_base_patch16_224', {'global_pool': 'avg', 'fc_norm': False}),
    ('vit_b16', {'pool': 'avg_norm'}, 'vit_base_patch16_224', {'global_pool': 'avg', 'fc_norm': True}),
    ('vit_ti16', {'qkv_bias': False}, 'vit_tiny_patch16_224', {'qkv_bias': False}),
    ('dinov2_s14', {}, 'vit_small_patch14_dinov2', {}),
    ('dinov2_s14_reg4', {}, 'vit_small_patch14_reg4_dinov2', {}),
    ('deit_s16_distilled', {}, 'deit_small_distilled_patch16_224', {}),
    ('clip_b16', {}, 'vit_base_patch16_clip_quickgelu_224', {}),
    ('clip_b16', {'eps': 1e-6}, 'vit_base_patch16_clip_quickgelu_224', {'norm_layer': 'layernorm'}),
    ('siglip_b16', {}, 'vit_base_patch16_siglip_224', {'act_layer': 'gelu_tanh'}),
    ('siglip_l16', {}, 'vit_large_patch16_siglip_512', {}),
    ('siglip_b16', {'pool': 'avg', 'gelu': 'erf'}, 'vit_base_patch16_siglip_gap_224', {}),
    ('vit_mini', {}, '', {'mlp_ratio', 'patch_size', 'embed_dim', 'depth', 'num_heads'}),
    (
        'mobilenetv2_100',
        {'padding': 'tensorflow', 'eps': 1e-3},
        'mobilenetv2_100',
        {'pad_type': 'same', 'bn_eps': 1e-3},
    ),
    ('convnext_tiny', {'conv_mlp': True}, 'convnext_tiny', {'conv_mlp': True}),
    ('resnet50', {}, 'resnet50', {}),
    ('bit_r50x1', {}, 'resnetv2_50x1_bit', {}),
]


@pytest.mark.parametrize(('architecture', 'options', 'name', 'arguments'), CASES)
def test_a_name_and_arguments_of_timm_are_the_network(architecture, options, name, arguments):
    backbone = backbone_of(architecture, options)
    found, told = named_by_timm(architecture, backbone)
    if name:
        assert (found, told) == (name, arguments)
    else:
        assert set(told) <= arguments | {'class_token', 'global_pool', 'fc_norm'}
    # And back: the same network, whatever it is called.
    variant, own = architecture_of(found)
    read = options_of(found, models.describe(variant), own, told)
    again = backbone_of(variant, {**own, **read})
    assert arguments_of(found, again, backbone, models.describe(variant).family) == {}


@pytest.mark.parametrize(
    ('architecture', 'options', 'message'),
    [
        ('vit_b16', {'eps': 1e-12}, "timm's vit_base_patch16_224 has eps=1e-06, and this network 1e-12"),
        ('dinov2_s14_reg4', {'embed_class': True}, 'positions for these or for no prefix token'),
        ('dinov2_s14', {'pool': 'token_avg'}, 'has pool=token, and this network token_avg'),
        ('deit_s16_distilled', {'pool': 'class'}, 'has pool=token, and this network class'),
        ('vit_b16', {'patch_bias': False}, 'has patch_bias=True'),
        ('resnet50', {'groups': 2}, "timm's resnet50 has groups=1, and this network 2"),
        ('resnet_tiny', {}, 'timm has no network of the form of resnet_tiny'),
        ('mobilenetv2_130', {}, 'timm has no network|and this network'),
    ],
)
def test_what_timm_does_not_have_is_said(architecture, options, message):
    with pytest.raises(UserError, match=message):
        named_by_timm(architecture, backbone_of(architecture, options))


@pytest.mark.parametrize('arguments', [{'global_pool': 'token', 'fc_norm': True}, {'mlp_layer': 'swiglu'}])
def test_arguments_that_are_not_read_are_said(arguments):
    with pytest.raises(UserError, match='which is not had here'):
        options_of('vit_base_patch16_224', models.describe('vit_b16'), {}, arguments)


def test_null_is_what_timm_takes_when_nothing_is_said():
    usual = models.describe('vit_ti16')
    nothing = dict.fromkeys(('embed_dim', 'mlp_ratio', 'global_pool', 'act_layer', 'norm_layer', 'no_embed_class'))
    assert options_of('vit_tiny_patch16_224', usual, {}, nothing) == {}
    # Of these it is a value.
    assert options_of('vit_tiny_patch16_224', usual, {'layer_scale': 1e-5}, {'init_values': None}) == {
        'layer_scale': 0.0
    }
    assert options_of('vit_tiny_patch16_224', usual, {}, {'global_pool': 'avg', 'fc_norm': None}) == {
        'pool': 'avg_norm'
    }


@pytest.mark.parametrize('pool', [{}, {'global_pool': 'token'}, {'global_pool': None}])
@pytest.mark.parametrize('norm', [None, False])
def test_a_norm_that_there_is_none_of_anyway(pool, norm):
    assert options_of('vit_tiny_patch16_224', models.describe('vit_ti16'), {}, {**pool, 'fc_norm': norm}) == {}
    distilled = models.describe('deit_s16_distilled')
    assert options_of('deit_small_distilled_patch16_224', distilled, {}, {'fc_norm': norm}) == {}


@pytest.mark.parametrize('architecture', ['vit_ti16', 'convnext_tiny', 'resnet50'])
def test_what_is_of_training_says_nothing_of_the_network(architecture):
    arguments = {'drop_rate': 0.1, 'drop_path_rate': 0.1, 'attn_drop_rate': 0.0, 'weight_init': 'skip'}
    assert options_of('x', models.describe(architecture), {}, arguments) == {}
