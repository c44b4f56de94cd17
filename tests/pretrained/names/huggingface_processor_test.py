"""What Hugging Face's preprocessor_config.json does to pictures; `tests/parity` compares with the library itself."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jtransfer.errors import UserError
from jtransfer.inputs.image import IMAGENET_MEAN, IMAGENET_STD, ImagePreprocessor
from jtransfer.inputs.image_pixels import evaluation_pixels, normalise
from jtransfer.pretrained.names.huggingface_processor import framing

HALF = (0.5,) * 3
CLIP = {'size': {'shortest_edge': 20}, 'crop_size': 17, 'image_mean': HALF, 'image_std': HALF}


@pytest.mark.parametrize(
    ('kind', 'processor', 'expected'),
    [
        # google/vit-base-patch16-224, which does not state the filter
        ('vit', {'do_resize': True, 'size': 224}, ImagePreprocessor(224, HALF, HALF, 'bilinear', squash=True)),
        # facebook/dinov2-base
        (
            'dinov2',
            {
                'image_processor_type': 'BitImageProcessor',
                'size': {'shortest_edge': 256},
                'do_center_crop': True,
                'crop_size': {'height': 224, 'width': 224},
                'image_mean': list(IMAGENET_MEAN),
                'image_std': list(IMAGENET_STD),
            },
            ImagePreprocessor(224, crop_fraction=0.875),
        ),
        # microsoft/resnet-50, whose number is the shortest edge
        (
            'resnet',
            {'feature_extractor_type': 'ConvNextFeatureExtractor', 'size': 224, 'crop_pct': 0.95, 'resample': 3},
            ImagePreprocessor(224, HALF, HALF, crop_fraction=0.95),
        ),
        ('convnext', {'size': {'shortest_edge': 384}}, ImagePreprocessor(384, HALF, HALF, 'bilinear', squash=True)),
        ('convnext', {'size': 300}, ImagePreprocessor(300, HALF, HALF, 'bilinear', 0.875)),
        # facebook/deit-base-patch16-224, whose number is the side of a square
        ('deit', {'size': 256, 'crop_size': 224}, ImagePreprocessor(224, HALF, HALF, crop_fraction=0.875, squash=True)),
        ('deit', {'size': 96, 'do_center_crop': False}, ImagePreprocessor(96, HALF, HALF, squash=True)),
        ('mobilenet_v2', {}, ImagePreprocessor(224, HALF, HALF, 'bilinear', 0.875)),
        (
            'siglip',
            {'image_processor_type': 'SiglipImageProcessorFast', 'size': {'height': 128, 'width': 256}},
            ImagePreprocessor(128, HALF, HALF, squash=True, image_width=256),
        ),
        # A crop that is not made says nothing, and neither do labels that are pictures.
        (
            'vit',
            {'crop_size': 200, 'do_center_crop': False, 'do_reduce_labels': False, 'crop_pct': None, 'resample': 3},
            ImagePreprocessor(224, HALF, HALF, squash=True),
        ),
    ],
)
def test_how_pictures_are_framed(kind, processor, expected):
    found = framing(processor, kind)
    assert found.crop_rounding == 'floor'
    assert {**found.to_dict(), 'crop_rounding': 'round'} == expected.to_dict()


@pytest.mark.parametrize(
    ('kind', 'processor', 'message'),
    [
        ('vit', {'resample': 1}, r'resample=1 must be 2'),
        ('vit', {'size': [1, 2, 3]}, r'size=\[1, 2, 3\] must be a number, height and width, or shortest_edge'),
        ('vit', {'size': {'longest_edge': 224}}, 'longest_edge'),
        ('clip', {'size': {'shortest_edge': 224, 'longest_edge': 300}}, 'longest_edge'),
        ('clip', {'size': {'max_height': 224, 'max_width': 300}}, 'max_height'),
        ('clip', {'size': 256, 'crop_size': {'height': 224, 'width': 200}}, 'only a square is cut'),
        ('clip', {'size': 200, 'crop_size': 224}, 'padded with black'),
        ('clip', {'size': 200, 'do_center_crop': False}, 'pictures of several shapes'),
        ('deit', {'size': [100, 100], 'crop_size': [50, 90]}, 'lose the same share'),
        ('vit', {'size': {'shortest_edge': 224}}, 'pictures of several shapes'),
        ('convnext', {'size': {'height': 224, 'width': 224}}, 'must be a shortest_edge'),
        ('convnext', {'size': 224, 'crop_pct': 1.2}, 'crop_fraction=1.2'),
        ('vit', {'do_center_crop': True, 'crop_size': 200}, 'do_center_crop=True is not what a ViTImageProcessor does'),
        ('vit', {'do_flip_channel_order': True}, 'do_flip_channel_order=True is not'),
        ('clip', {'do_pad': True}, 'do_pad=True is not what a CLIPImageProcessor does'),
        ('bit', {'rescale_offset': True}, 'rescale_offset=True is not'),
        ('bit', {'crop_pct': 0.9}, 'crop_pct=0.9 is not'),
        ('vit', {'do_resize': False}, 'do_resize=False'),
        ('vit', {'rescale_factor': 0}, 'rescale_factor=0.0 must be above 0'),
        ('vit', {'image_mean': [0.5]}, r'image_mean=\[0.5\] must be three numbers'),
        ('vit', {'image_processor_type': 'BeitImageProcessor'}, "'BeitImageProcessor' does to pictures is not had"),
    ],
)
def test_what_cannot_be_had_is_one_line_with_a_remedy(kind, processor, message):
    with pytest.raises(UserError, match=message) as told:
        framing(processor, kind)
    assert '\n' not in str(told.value)
    assert 'model.preprocessing' in str(told.value) or 'crop_fraction' in str(told.value)


@pytest.mark.parametrize(('height', 'width'), [(20, 33), (33, 20), (20, 35), (31, 64)])
def test_the_crop_starts_at_the_lower_half(height, width):
    """The library's resize and center_crop, spelt out."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    short = min(height, width)
    new = tuple(20 if side == short else int(20 * side / short) for side in (height, width))
    resized = np.asarray(Image.fromarray(image).resize(new[::-1], Image.Resampling.BICUBIC))
    top, left = (new[0] - 17) // 2, (new[1] - 17) // 2
    ours = evaluation_pixels(image, framing(CLIP, 'clip'))
    np.testing.assert_array_equal(ours, resized[top : top + 17, left : left + 17])


@pytest.mark.parametrize('size', range(17, 60))
def test_the_resized_side_is_the_stated_one(size):
    found = framing({**CLIP, 'size': size}, 'clip')
    assert math.floor(17 / found.crop_fraction) == size


@pytest.mark.parametrize(
    ('stated', 'wanted'),
    [
        ({}, lambda x: (x / 255 - 0.4) / 0.2),
        ({'rescale_factor': 1 / 127.5}, lambda x: (x / 127.5 - 0.4) / 0.2),
        ({'do_rescale': False}, lambda x: (x - 0.4) / 0.2),
        ({'do_rescale': False, 'rescale_factor': 7.0}, lambda x: (x - 0.4) / 0.2),
        ({'do_normalize': False}, lambda x: x / 255),
        ({'do_normalize': False, 'rescale_factor': 0.5}, lambda x: x * 0.5),
        ({'do_normalize': False, 'do_rescale': False}, lambda x: x),
    ],
)
def test_what_is_stated_of_the_numbers_is_done(stated, wanted):
    processor = {'size': 4, 'image_mean': 0.4, 'image_std': [0.2] * 3, **stated}
    values = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3) * 5
    found = normalise(jnp.asarray(values), framing(processor, 'vit'))
    np.testing.assert_allclose(found, wanted(values.astype(np.float64)), rtol=2e-6, atol=2e-6)
