"""A Hugging Face `config.json` leads to a variant and its options."""

import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.pretrained.names.vit_config import options_from_config

LARGE = {'hidden_size': 1024, 'num_hidden_layers': 24, 'num_attention_heads': 16, 'intermediate_size': 4096}
TOWER = {'hidden_size': 1280, 'num_hidden_layers': 32, 'num_attention_heads': 16, 'intermediate_size': 5120}
SO400M = {'hidden_size': 1152, 'num_hidden_layers': 27, 'num_attention_heads': 16, 'intermediate_size': 4304}
GIANT = {'hidden_size': 1536, 'num_hidden_layers': 40, 'num_attention_heads': 24, 'use_swiglu_ffn': True}
HF = {'eps': 1e-12}

EXPECTED = [
    ({'model_type': 'vit'}, 'vit_b16', HF),
    ({'model_type': 'vit', **LARGE, 'patch_size': 32}, 'vit_l32', HF),
    ({'model_type': 'vit', 'layer_norm_eps': 1e-6, 'hidden_act': 'gelu_new'}, 'vit_b16', {'gelu': 'tanh'}),
    ({'model_type': 'vit', 'qkv_bias': False, 'architectures': None}, 'vit_b16', {**HF, 'qkv_bias': False}),
    ({'model_type': 'vit_mae', **LARGE}, 'mae_l16', HF),
    ({'model_type': 'deit', 'architectures': ['DeiTForImageClassificationWithTeacher']}, 'deit_b16_distilled', HF),
    (
        {'model_type': 'deit', 'architectures': ['DeiTForImageClassification']},
        'deit_b16_distilled',
        {**HF, 'pool': 'class'},
    ),
    ({'model_type': 'dinov2', 'image_size': 518}, 'dinov2_b14', {}),
    ({'model_type': 'dinov2', **GIANT}, 'dinov2_g14', {}),
    ({'model_type': 'dinov2', 'architectures': ['Dinov2ForImageClassification']}, 'dinov2_b14', {'pool': 'token_avg'}),
    ({'model_type': 'dinov2_with_registers', 'patch_size': 14}, 'dinov2_b14_reg4', {'embed_class': True}),
    ({'model_type': 'clip', 'vision_config': {}}, 'clip_b32', {}),
    ({'model_type': 'clip', 'vision_config': {**TOWER, 'patch_size': 14, 'hidden_act': 'gelu'}}, 'clip_h14', {}),
    ({'model_type': 'clip_vision_model', **LARGE, 'patch_size': 14}, 'clip_l14', {}),
    ({'model_type': 'clip_vision_model', 'patch_size': 16, 'hidden_act': 'gelu'}, 'clip_b16', {'gelu': 'erf'}),
    ({'model_type': 'siglip', 'vision_config': {'model_type': 'siglip_vision_model'}}, 'siglip_b16', {}),
    ({'model_type': 'siglip_vision_model', **SO400M, 'patch_size': 14, 'image_size': 384}, 'siglip_so400m14', {}),
    (
        {'model_type': 'siglip', 'vision_config': {}, 'architectures': ['SiglipForImageClassification']},
        'siglip_b16',
        {'pool': 'avg'},
    ),
]


@pytest.mark.parametrize(('config', 'name', 'options'), EXPECTED)
def test_sizes_give_the_variant_and_the_rest_its_options(config, name, options):
    assert options_from_config(config) == (name, options)
    backbone = models.create(name, num_classes=2, options=options).backbone
    assert all(getattr(backbone, option) == value for option, value in options.items())


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'model_type': 'swin'}, "model_type 'swin' is none of vit, deit"),
        ({}, "model_type 'None' is none of"),
        ({'model_type': 'vit', 'hidden_size': 32}, "no network of model_type 'vit' has these sizes: patch 16, dim 32"),
        # Those of vit_mini, which has no class token.
        (
            {
                'model_type': 'vit',
                **{'patch_size': 4, 'hidden_size': 72, 'num_hidden_layers': 4, 'num_attention_heads': 4},
                'intermediate_size': 288,
            },
            'has these sizes: patch 4, dim 72',
        ),
        ({'model_type': 'vit', 'hidden_act': 'relu'}, "hidden_act 'relu' is none of gelu"),
        ({'model_type': 'clip', 'architectures': ['CLIPForImageClassification']}, 'pools in a way'),
    ],
)
def test_what_is_no_network_here_is_refused_in_one_line(config, message):
    with pytest.raises(UserError, match=message) as caught:
        options_from_config(config)
    assert '\n' not in str(caught.value)
