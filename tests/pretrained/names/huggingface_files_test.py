"""The files of transformers: read back as the network and the preprocessing they were written for, or refused."""

import dataclasses

import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_pixels import resized_shape
from jtransfer.pretrained.names.huggingface import described
from jtransfer.pretrained.names.huggingface_files import network_config, processor_config
from jtransfer.pretrained.names.huggingface_processor import framing
from jtransfer.pretrained.timm.arguments import backbone_of
from jtransfer.tasks.base import Task, single_label

TASKS = (single_label(('10', '2', '1')),)


@pytest.mark.parametrize(
    ('naming', 'architecture', 'options'),
    [
        ('huggingface', 'resnet50', {}),
        ('huggingface', 'bit_r50x3', {}),
        ('huggingface', 'convnext_tiny', {}),
        ('huggingface', 'convnextv2_atto', {}),
        ('huggingface', 'mobilenetv2_140', {'padding': 'tensorflow', 'eps': 1e-3}),
        ('huggingface', 'vit_b16', {'eps': 1e-12}),
        ('huggingface_deit', 'deit_s16_distilled', {'eps': 1e-12}),
        ('huggingface_dinov2', 'dinov2_g14', {'pool': 'token_avg'}),
        ('huggingface_siglip', 'siglip_b16', {'pool': 'avg'}),
    ],
)
def test_the_configuration_is_read_as_the_network_it_was_written_for(naming, architecture, options):
    backbone, usual = backbone_of(architecture, options), models.describe(architecture).preprocessing
    config = network_config(naming, backbone, usual, TASKS)
    assert described(config)[:2] == (architecture, options)
    assert config['id2label'] == {'0': '10', '1': '2', '2': '1'}
    assert 'problem_type' not in config
    several = network_config(naming, backbone, usual, [Task('', 'multi_label', ('a', 'b'))])
    assert several['problem_type'] == 'multi_label_classification'


def test_a_projection_has_no_classes():
    config = network_config('huggingface_clip', backbone_of('clip_b16', {}), ImagePreprocessor(224), TASKS)
    assert config['projection_dim'] == 3
    assert 'id2label' not in config


@pytest.mark.parametrize(
    ('naming', 'architecture', 'options', 'message'),
    [
        ('huggingface', 'resnext50_32x4d', {}, 'ResNet has groups=1, and this network 32'),
        ('huggingface', 'convnext_xxlarge', {}, 'ConvNext has eps=1e-06, and this network 1e-05'),
        ('huggingface', 'mobilenetv2_110d', {}, 'other numbers of blocks'),
        ('huggingface', 'vit_b16', {'pre_logits': True}, 'without the layer before the head'),
        ('huggingface', 'dinov2_s14', {}, 'ViT has layer_scale=0.0'),
        ('huggingface_deit', 'vit_b16', {}, 'DeiT has distilled=True, and this network False'),
        ('huggingface_dinov2', 'dinov2_s14', {}, 'has pool=token_avg, and this network token'),
        ('huggingface_siglip', 'siglip_b16', {}, 'Siglip has pool=avg, and this network map'),
        ('huggingface_clip', 'clip_b16', {'pool': 'avg'}, 'CLIP pools its class token'),
    ],
)
def test_a_network_that_transformers_does_not_have_is_said(naming, architecture, options, message):
    with pytest.raises(UserError, match=message):
        network_config(naming, backbone_of(architecture, options), ImagePreprocessor(224), TASKS)


@pytest.mark.parametrize(
    'change',
    [
        {},
        {'crop_fraction': 0.9},
        {'crop_fraction': 0.95, 'image_size': 288},
        {'squash': True, 'crop_fraction': 1.0},
        {'squash': True, 'crop_fraction': 1.0, 'image_width': 160},
        {'squash': True, 'crop_fraction': 0.875},
        {'interpolation': 'bilinear', 'mean': (0.5, 0.5, 0.5)},
    ],
)
def test_the_processor_frames_pictures_as_the_preprocessing_does(change):
    preprocessing = dataclasses.replace(ImagePreprocessor(224, crop_fraction=0.875), **change)
    again = framing(processor_config(preprocessing), 'vit')
    for sides in ((300, 400), (401, 299), (224, 224)):
        assert resized_shape(sides, again) == resized_shape(sides, preprocessing)
    shown = ('mean', 'std', 'interpolation', 'squash', 'shape')
    assert all(getattr(again, name) == getattr(preprocessing, name) for name in shown)


def test_a_rectangle_that_is_not_squashed_is_refused():
    with pytest.raises(UserError, match='scaled until they cover 256×182 pixels'):
        processor_config(ImagePreprocessor(224, crop_fraction=0.875, image_width=160))
