"""Pixels against Pillow calls written out by hand, in timm's and torchvision's words."""

import dataclasses
import math
import pickle

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jtransfer.errors import UserError
from jtransfer.inputs import image as preprocessing
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_pixels import evaluation_pixels, normalise, training_pixels, whole_picture


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def timm_evaluation(image, size, fraction, filter_):
    """timm's Resize(floor(size / fraction)) and CenterCrop(size), spelt out."""
    image = Image.fromarray(image)
    width, height = image.size
    target = math.floor(size / fraction)
    if width <= height:
        image = image.resize((target, int(target * height / width)), filter_)
    else:
        image = image.resize((int(target * width / height), target), filter_)
    width, height = image.size
    left, top = int(round((width - size) / 2.0)), int(round((height - size) / 2.0))  # noqa: RUF046
    return np.asarray(image.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize(('height', 'width'), [(40, 61), (61, 40), (33, 33), (9, 100), (301, 200), (5, 7)])
@pytest.mark.parametrize(('size', 'fraction'), [(32, 0.875), (32, 1.0), (24, 0.95), (17, 0.9)])
@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
def test_evaluation_pixels_equal_timm(height, width, size, fraction, interpolation):
    image = picture(height, width)
    filter_ = {'bilinear': Image.Resampling.BILINEAR, 'bicubic': Image.Resampling.BICUBIC}[interpolation]
    ours = evaluation_pixels(image, ImagePreprocessor(size, interpolation=interpolation, crop_fraction=fraction))
    assert ours.dtype == np.uint8
    np.testing.assert_array_equal(ours, timm_evaluation(image, size, fraction, filter_))


def test_evaluation_pixels_squash():
    image = picture(30, 50)
    expected = np.asarray(Image.fromarray(image).resize((24, 24), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(evaluation_pixels(image, ImagePreprocessor(24, squash=True)), expected)


def test_right_size_is_identity():
    image = picture(32, 32)
    np.testing.assert_array_equal(evaluation_pixels(image, ImagePreprocessor(32)), image)
    np.testing.assert_array_equal(evaluation_pixels(image, ImagePreprocessor(32, squash=True)), image)


def test_extreme_strip_stays_small():
    strip = np.repeat(picture(1, 1), 20_000, axis=1)
    np.testing.assert_array_equal(
        evaluation_pixels(strip, ImagePreprocessor(64)), np.broadcast_to(strip[0, 0], (64, 64, 3))
    )


def test_training_pixels():
    image = picture(50, 100)
    settings = ImagePreprocessor(224, interpolation='bilinear')
    whole = training_pixels(settings, crops=True)
    expected = np.asarray(Image.fromarray(image).resize((256, 256), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(whole(image), expected)
    np.testing.assert_array_equal(whole_picture(image, 256, 'bilinear'), expected)
    np.testing.assert_array_equal(training_pixels(settings, crops=False)(image), evaluation_pixels(image, settings))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(whole))(image), expected)


@pytest.mark.parametrize('sizes', [(20, 32, 24), (8,)])
def test_training_pixels_are_enough_for_the_largest_size(sizes):
    image = picture(50, 100)
    settings = ImagePreprocessor(16, crop_fraction=0.9)
    largest = dataclasses.replace(settings, image_size=max(sizes))
    framed = training_pixels(settings, False, sizes)(image)
    np.testing.assert_array_equal(framed, evaluation_pixels(image, largest))
    side = round(max(sizes) * 256 / 224)
    np.testing.assert_array_equal(training_pixels(settings, True, sizes)(image), whole_picture(image, side))


def test_normalise():
    images = picture(4, 5)[None]
    settings = ImagePreprocessor(4)
    expected = (images / 255 - np.array(preprocessing.IMAGENET_MEAN)) / np.array(preprocessing.IMAGENET_STD)
    np.testing.assert_allclose(normalise(jnp.asarray(images), settings), expected, atol=1e-6)
    assert normalise(jnp.asarray(images), settings, jnp.bfloat16).dtype == jnp.bfloat16


@pytest.mark.parametrize(('height', 'width'), [(40, 61), (61, 40), (33, 33), (9, 100)])
def test_an_input_that_is_not_square_is_covered_and_cropped(height, width):
    """timm's ResizeKeepRatio and CenterCrop, spelt out."""
    image = picture(height, width)
    target = (math.floor(24 / 0.9), math.floor(40 / 0.9))
    ratio = min(height / target[0], width / target[1])
    new = round(height / ratio), round(width / ratio)
    resized = np.asarray(Image.fromarray(image).resize(new[::-1], Image.Resampling.BICUBIC))
    top, left = round((new[0] - 24) / 2), round((new[1] - 40) / 2)
    preprocessing = ImagePreprocessor(24, crop_fraction=0.9, image_width=40)
    assert preprocessing.shape == (24, 40)
    np.testing.assert_array_equal(evaluation_pixels(image, preprocessing), resized[top : top + 24, left : left + 40])
    squashed = evaluation_pixels(image, ImagePreprocessor(24, image_width=40, squash=True))
    np.testing.assert_array_equal(squashed, Image.fromarray(image).resize((40, 24), Image.Resampling.BICUBIC))


def test_grey_networks_see_what_pillow_calls_grey():
    image = picture(20, 30)
    grey = ImagePreprocessor(20, (0.5, 0.4, 0.3), (0.1, 0.2, 0.3), image_width=30).for_channels(1)
    assert grey.channels == 1
    assert grey.mean == (pytest.approx(0.4),)
    assert grey.std == (pytest.approx(0.2),)
    expected = (np.asarray(Image.fromarray(image).convert('L'), np.float32)[..., None] / 255 - 0.4) / 0.2
    np.testing.assert_allclose(normalise(jnp.asarray(image[None]), grey)[0], expected, atol=0.5 / 255 / 0.2 + 1e-5)


@pytest.mark.parametrize('channels', [1, 2, 4, 6])
def test_every_channel_is_resized_by_itself(channels):
    """Pillow would take the last of two or four for transparency."""
    image = np.random.default_rng(0).integers(0, 256, (20, 30, channels), np.uint8)
    image[:10, :, -1] = 0
    ours = evaluation_pixels(image, ImagePreprocessor(12))
    assert ours.shape == (12, 12, channels)
    rgb = np.repeat(image[:, :, :1], 3, axis=2)
    np.testing.assert_array_equal(ours[:, :, 0], evaluation_pixels(rgb, ImagePreprocessor(12))[:, :, 0])


@pytest.mark.parametrize('width', [21, 23, 24, 27])
def test_the_place_of_the_crop_is_rounded_as_stated(width):
    image = picture(16, width)
    for rounding, left in (('round', round((width - 16) / 2)), ('floor', (width - 16) // 2)):
        found = evaluation_pixels(image, ImagePreprocessor(16, crop_rounding=rounding))
        np.testing.assert_array_equal(found, image[:, left : left + 16])
    # Of checkpoints that were written before it could be stated.
    assert ImagePreprocessor.from_dict({'image_size': 16}).crop_rounding == 'round'
    with pytest.raises(UserError, match="crop_rounding='up' must be one of round, floor"):
        ImagePreprocessor(16, crop_rounding='up')
