"""Our evaluation pixels against timm's and transformers' own, exactly, in uint8, on photographs and on odd sizes."""

import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_pixels import evaluation_pixels, normalise
from jtransfer.pretrained.names.huggingface_processor import _OF_TYPE, framing

pytestmark = pytest.mark.parity
pytest.importorskip('torch')

PHOTOS = sorted((pathlib.Path(__file__).parents[3] / 'shared' / 'data' / 'photos').glob('*.JPEG'))
ODD = [(1, 1), (7, 301), (301, 7), (223, 225), (640, 427), (333, 500), (255, 255), (256, 641)]


def pictures():
    """Photographs, where they are at hand, and noise of odd sizes."""
    for index, (height, width) in enumerate(ODD):
        yield f'{height}×{width}', np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)
    for path in PHOTOS:
        yield path.name, np.asarray(Image.open(path).convert('RGB'))


@pytest.mark.parametrize('mode', ['center', 'squash'])
@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
@pytest.mark.parametrize(
    ('shape', 'fraction'),
    [((224, 224), 0.875), ((224, 224), 0.95), ((288, 288), 1.0), ((33, 33), 0.9), ((96, 160), 0.9)],
)
def test_evaluation_pixels_equal_timm(shape, fraction, interpolation, mode):
    from tests.golden.reference import import_timm

    import_timm()
    from timm.data.transforms_factory import transforms_imagenet_eval

    # No normalisation, no conversion to tensors of [0, 1]: the pixels.
    reference = transforms_imagenet_eval(
        shape, crop_pct=fraction, crop_mode=mode, interpolation=interpolation, use_prefetcher=True
    )
    preprocessing = ImagePreprocessor(
        shape[0],
        interpolation=interpolation,
        crop_fraction=fraction,
        squash=mode == 'squash',
        image_width=0 if shape[0] == shape[1] else shape[1],
    )
    compared = 0
    for name, picture in pictures():
        height, width = picture.shape[:2]
        if max(height, width) > 32 * min(height, width):
            continue
        theirs = np.asarray(reference(Image.fromarray(picture)))
        theirs = theirs.transpose(1, 2, 0) if theirs.shape[0] == 3 else theirs
        np.testing.assert_array_equal(evaluation_pixels(picture, preprocessing), theirs, err_msg=name)
        compared += 1
    assert compared >= 6


# By the network's type: what a file may say beyond the class's defaults.
STATED = {
    'bit': [{'size': {'shortest_edge': 231}, 'crop_size': 200}, {'size': {'height': 230, 'width': 230}}],
    'clip': [{'size': 99, 'crop_size': {'height': 98, 'width': 98}}],
    'convnext': [{'size': 224}, {'size': {'shortest_edge': 97}, 'crop_pct': 0.95, 'resample': 3}],
    'deit': [{'size': 257, 'crop_size': 222}, {'do_center_crop': False}, {'size': [200, 100], 'crop_size': [150, 75]}],
    'dinov2': [{'size': {'shortest_edge': 256}, 'crop_size': 224, 'image_mean': [0.485, 0.456, 0.406]}],
    'mobilenet_v2': [{'size': 255, 'crop_size': 224}],
    'resnet': [{'size': 224, 'crop_pct': 0.875, 'resample': 3}, {'size': {'shortest_edge': 224}}, {'size': 448}],
    'siglip': [{'size': {'height': 90, 'width': 130}, 'resample': 2}],
    'vit': [{'size': 224, 'resample': 3}, {'do_normalize': False}, {'rescale_factor': 1 / 127.5, 'image_mean': 1.0}],
    'vit_mae': [{'do_rescale': False, 'image_mean': [120.0, 110.0, 100.0], 'image_std': [60.0, 59.0, 58.0]}],
}
CASES = [(kind, stated) for kind in _OF_TYPE for stated in ({}, *STATED.get(kind, ()))]


@pytest.mark.parametrize(('kind', 'stated'), CASES, ids=[f'{kind} {json.dumps(stated)}' for kind, stated in CASES])
def test_pixels_and_numbers_equal_those_of_transformers(kind, stated):
    from tests.golden.reference import import_torchvision

    import_torchvision()
    transformers = pytest.importorskip('transformers')
    # What the library writes, and the file with nothing but what is stated.
    processor = getattr(transformers, _OF_TYPE[kind])(**stated)
    preprocessing = framing(processor.to_dict(), kind)
    assert preprocessing == framing(stated, kind)
    plain = {'do_rescale': False, 'do_normalize': False, 'return_tensors': 'np'}
    compared = 0
    for index, (name, picture) in enumerate(pictures()):
        height, width = picture.shape[:2]
        # The library takes a picture with a side of 1 or 3 for one with the channels first.
        if max(height, width) > 32 * min(height, width) or min(height, width) < 4:
            continue
        image = Image.fromarray(picture)
        ours = evaluation_pixels(picture, preprocessing)
        theirs = processor.preprocess(image, **plain)['pixel_values'][0].transpose(1, 2, 0)
        assert theirs.dtype == np.uint8
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
        if index % 8 == 0:
            numbers = processor.preprocess(image, return_tensors='np')['pixel_values'][0].transpose(1, 2, 0)
            found = normalise(jnp.asarray(ours[None]), preprocessing)[0]
            np.testing.assert_allclose(found, numbers, rtol=2e-6, atol=2e-6, err_msg=name)
        compared += 1
    assert compared >= 5


def test_the_fast_processors_frame_pictures_alike_and_differ_by_rounding():
    from tests.golden.reference import import_torchvision

    import_torchvision()
    transformers = pytest.importorskip('transformers')
    processor = transformers.CLIPImageProcessorFast(size={'shortest_edge': 99}, crop_size=84)
    preprocessing = framing(processor.to_dict(), 'clip')
    plain = {'do_rescale': False, 'do_normalize': False, 'return_tensors': 'pt'}
    for name, picture in pictures():
        height, width = picture.shape[:2]
        if max(height, width) > 32 * min(height, width) or min(height, width) < 4:
            continue
        theirs = processor.preprocess(Image.fromarray(picture), **plain)['pixel_values'][0].numpy().transpose(1, 2, 0)
        apart = np.abs(evaluation_pixels(picture, preprocessing).astype(int) - theirs.astype(int))
        assert apart.max() <= 2, name
