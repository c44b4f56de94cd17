"""What Hugging Face's files say of a network and its pictures."""

import pytest

from jtransfer.errors import UserError
from jtransfer.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from jtransfer.pretrained.names.huggingface import described, framing

HALF = [0.5, 0.5, 0.5]
USUAL = Preprocessing(96, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 'bicubic', 0.9)
VIT = {
    'model_type': 'vit',
    'hidden_size': 192,
    'num_hidden_layers': 12,
    'num_attention_heads': 3,
    'intermediate_size': 768,
    'image_size': 384,
    'patch_size': 16,
}


def test_a_configuration_alone():
    name, options, preprocessing = described(VIT)
    assert name == 'vit_ti16'
    assert options['eps'] == 1e-12
    assert preprocessing.image_size == 384


@pytest.mark.parametrize('kind', ['gpt2', ['vit'], None])
def test_another_kind_of_network_gets_the_list_of_those_there_are(kind):
    with pytest.raises(UserError, match='is none of resnet, bit, convnext, convnextv2, mobilenet_v2, vit, '):
        described({'model_type': kind})


def test_a_convolutional_network_with_its_processor():
    name, options, preprocessing = described(
        {'model_type': 'convnext', 'image_size': 384}, {'size': {'shortest_edge': 384}, 'crop_pct': 0.875}
    )
    assert (name, options, preprocessing.image_size) == ('convnext_tiny', {}, 384)


@pytest.mark.parametrize(
    ('processor', 'expected'),
    [
        # google/vit-base-patch16-224
        (
            {'do_resize': True, 'size': 224, 'resample': 2, 'image_mean': HALF, 'image_std': HALF},
            Preprocessing(224, (0.5,) * 3, (0.5,) * 3, 'bilinear', squash=True),
        ),
        # facebook/dinov2-base
        (
            {
                'size': {'shortest_edge': 256},
                'do_center_crop': True,
                'crop_size': {'height': 224, 'width': 224},
                'resample': 3,
                'image_mean': list(IMAGENET_MEAN),
                'image_std': list(IMAGENET_STD),
            },
            Preprocessing(224, IMAGENET_MEAN, IMAGENET_STD, 'bicubic', 224 / 256),
        ),
        # microsoft/resnet-50
        (
            {'size': {'shortest_edge': 224}, 'crop_pct': 0.875, 'resample': 3},
            Preprocessing(224, USUAL.mean, USUAL.std, 'bicubic', 0.875),
        ),
        (
            {'size': {'shortest_edge': 384}, 'crop_pct': 0.875, 'resample': 3},
            Preprocessing(384, USUAL.mean, USUAL.std, 'bicubic', squash=True),
        ),
        (
            {'size': {'height': 128, 'width': 256}},
            Preprocessing(128, USUAL.mean, USUAL.std, 'bicubic', squash=True, image_width=256),
        ),
        ({'do_normalize': False}, Preprocessing(96, (0.0,) * 3, (1.0,) * 3, 'bicubic', 0.9)),
        ({}, USUAL),
    ],
)
def test_how_pictures_are_framed(processor, expected):
    assert framing(processor, USUAL) == expected


@pytest.mark.parametrize(
    ('processor', 'message'),
    [
        ({'resample': 1}, 'resample=1 must be 2'),
        ({'size': [224, 224]}, 'neither a number nor edges'),
        ({'size': {'longest_edge': 224}}, 'cannot be had here'),
        (
            {'size': {'shortest_edge': 256}, 'do_center_crop': True, 'crop_size': {'height': 224, 'width': 200}},
            'cannot be had here',
        ),
    ],
)
def test_what_cannot_be_had_is_one_line(processor, message):
    with pytest.raises(UserError, match=message):
        framing(processor, USUAL)
