"""What timm's names and configurations mean here."""

import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.inputs.image import IMAGENET_MEAN, IMAGENET_STD, ImagePreprocessor
from jtransfer.pretrained.timm import names
from jtransfer.pretrained.timm.names import architecture_of, described, preprocessing_of

HALF = (0.5, 0.5, 0.5)
CONFIG = {
    'tag': 'a1_in1k',
    'input_size': [3, 224, 224],
    'test_input_size': [3, 288, 288],
    'fixed_input_size': False,
    'interpolation': 'bicubic',
    'crop_pct': 0.95,
    'test_crop_pct': 1.0,
    'crop_mode': 'center',
    'mean': [0.485, 0.456, 0.406],
    'std': [0.229, 0.224, 0.225],
    'num_classes': 1000,
}


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('resnet50', ('resnet50', {})),
        ('resnet50d', ('resnet50d', {})),
        ('wide_resnet101_2', ('wide_resnet101_2', {})),
        ('resnext50_32x4d', ('resnext50_32x4d', {})),
        ('resnetv2_152x4_bit', ('bit_r152x4', {})),
        ('vgg16_bn', ('vgg16_bn', {})),
        ('convnext_tiny', ('convnext_tiny', {})),
        ('convnextv2_huge', ('convnextv2_huge', {})),
        ('mobilenetv2_110d', ('mobilenetv2_110d', {})),
        ('vit_tiny_patch16_224', ('vit_ti16', {})),
        ('vit_small_patch8_224', ('vit_s16', {'patch': 8})),
        ('vit_base_patch16_384', ('vit_b16', {})),
        ('vit_large_patch32_384', ('vit_l32', {})),
        ('deit_base_distilled_patch16_384', ('deit_b16_distilled', {})),
        ('deit3_small_patch16_384', ('deit3_s16', {})),
        ('vit_giant_patch14_reg4_dinov2', ('dinov2_g14_reg4', {})),
        ('vit_base_patch16_clip_224', ('clip_b16', {'gelu': 'erf'})),
        ('vit_base_patch16_clip_quickgelu_224', ('clip_b16', {})),
        ('vit_huge_patch14_clip_336', ('clip_h14', {})),
        ('vit_huge_patch14_clip_quickgelu_378', ('clip_h14', {'gelu': 'quick'})),
        ('vit_base_patch16_siglip_512', ('siglip_b16', {'gelu': 'erf'})),
        ('vit_large_patch16_siglip_384', ('siglip_l16', {'gelu': 'erf'})),
        ('vit_large_patch16_siglip_512', ('siglip_l16', {})),
        ('vit_so400m_patch14_siglip_384', ('siglip_so400m14', {'gelu': 'erf'})),
        ('vit_so400m_patch14_siglip_gap_224', ('siglip_so400m14', {'gelu': 'erf', 'pool': 'avg'})),
    ],
)
def test_architectures(name, expected):
    assert architecture_of(name) == expected


def test_every_name_is_of_a_network_that_can_be_made():
    for variant, options in names._STEMS.values():
        network = models.create(variant, num_classes=2, options=options)
        assert all(getattr(network.backbone, option) == value for option, value in options.items())
        own = models.describe(variant).kwargs
        assert all(own.get(option) != value for option, value in options.items())


def test_the_options_are_the_callers_own():
    architecture_of('vit_base_patch16_clip_224')[1]['gelu'] = 'tanh'
    assert architecture_of('vit_base_patch16_clip_224')[1] == {'gelu': 'erf'}


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('vit_base_patch16_234_miil', 'vit_base_patch16'),
        ('resnet51', "Did you mean 'resnet101'|Did you mean 'resnet50'"),
        ('swin_base_patch4_window7_224', "'swin_base_patch4_window7_224' is not among the networks here"),
        ('', 'not among'),
    ],
)
def test_an_unknown_architecture_is_told(name, message):
    with pytest.raises(UserError, match=message) as told:
        architecture_of(name)
    assert '\n' not in str(told.value)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({}, ImagePreprocessor(224, IMAGENET_MEAN, IMAGENET_STD, 'bicubic', 0.95)),
        ({'crop_mode': 'squash'}, ImagePreprocessor(224, IMAGENET_MEAN, IMAGENET_STD, 'bicubic', 0.95, squash=True)),
        # torchvision's second weights are for the size they were tested at.
        ({'tag': 'tv2_in1k'}, ImagePreprocessor(288, IMAGENET_MEAN, IMAGENET_STD, 'bicubic', 1.0)),
        ({'mean': HALF, 'std': HALF, 'tag': None}, ImagePreprocessor(224, HALF, HALF, 'bicubic', 0.95)),
        (
            {'input_size': [3, 192, 256]},
            ImagePreprocessor(192, IMAGENET_MEAN, IMAGENET_STD, 'bicubic', 0.95, image_width=256),
        ),
        # What timm takes when a field is missing.
        (
            {'interpolation': None, 'crop_pct': None, 'crop_mode': None},
            ImagePreprocessor(224, IMAGENET_MEAN, IMAGENET_STD, 'bicubic', 0.875),
        ),
    ],
)
def test_preprocessing(changes, expected):
    config = {**CONFIG, **changes}
    assert preprocessing_of(config) == expected
    assert preprocessing_of({'architecture': 'resnet50', 'pretrained_cfg': config}) == expected


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'input_size': None}, 'input_size=None'),
        ({'input_size': [224, 224]}, r'input_size=\[224, 224\] must be \[channels, height, width\]'),
        ({'crop_mode': 'border'}, "crop_mode='border'; known: center, squash"),
        ({'mean': None}, 'mean=None'),
        ({'interpolation': 'random'}, "interpolation='random'"),
        ({'crop_pct': 1.15}, 'crop_fraction=1.15'),
        ({'pretrained_cfg': 'a1'}, "pretrained_cfg='a1' must be an object of fields"),
    ],
)
def test_a_configuration_that_cannot_be_is_told(changes, message):
    with pytest.raises(UserError, match=message) as told:
        preprocessing_of({**CONFIG, **changes})
    assert '\n' not in str(told.value)


FRAMING = {'input_size': [3, 224, 224], 'mean': [0.5] * 3, 'std': [0.5] * 3}


@pytest.mark.parametrize(
    ('name', 'arguments', 'options', 'size'),
    [
        ('resnet18', {'num_classes': 7, 'in_chans': 3, 'global_pool': 'avg'}, {}, ()),
        ('vit_tiny_patch16_224', {'global_pool': 'token', 'img_size': [96, 160]}, {}, [96, 160]),
        ('vit_tiny_patch16_224', {'global_pool': 'avg'}, {'pool': 'avg_norm'}, ()),
        ('vit_huge_patch14_gap_224', {'global_pool': 'avg'}, {'class_token': False, 'pool': 'avg'}, ()),
        ('vit_base_patch16_siglip_224', {'global_pool': 'map', 'img_size': 256}, {'gelu': 'erf'}, (256, 256)),
    ],
)
def test_arguments_of_the_network_are_read(name, arguments, options, size):
    config = {'architecture': name, 'model_args': arguments, 'pretrained_cfg': FRAMING}
    _, needed, shape = described(config)
    assert (needed, shape) == (options, size)
    assert preprocessing_of(config, shape).shape == tuple(size or (224, 224))


@pytest.mark.parametrize(
    ('name', 'arguments', 'message'),
    [
        ('resnet18', {'global_pool': 'max'}, "global_pool='max'"),
        ('vit_tiny_patch16_224', {'global_pool': ''}, "global_pool=''"),
        ('vit_tiny_patch16_224', {'qk_norm': True}, 'model_args qk_norm=True, which is not had here'),
    ],
)
def test_arguments_that_make_another_network_are_refused(name, arguments, message):
    with pytest.raises(UserError, match=message):
        described({'architecture': name, 'model_args': arguments, 'pretrained_cfg': FRAMING})
