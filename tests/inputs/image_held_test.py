"""What is held of an image, to train on and in all its views: against Pillow, by hand, and batches that come apart."""

import pickle

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import ImageViews, view_pixels
from jtransfer.inputs.image_pixels import evaluation_pixels

SIZES = [(40, 61), (61, 40), (33, 33), (5, 7), (1, 1), (1, 7), (2, 90), (37, 53)]
WAYS = [
    ImagePreprocessor(16, crop_fraction=0.875, interpolation='bilinear'),
    ImagePreprocessor(17, crop_fraction=0.9),
    ImagePreprocessor(16),
    ImagePreprocessor(16, crop_fraction=0.8, squash=True),
    ImagePreprocessor(12, crop_fraction=0.9, image_width=20),
]


def picture(height, width, seed=0):
    """A crop of a photograph."""
    photo = load_sample_images().images[seed]
    return np.ascontiguousarray(photo[100 : 100 + height, 200 : 200 + width])


@pytest.mark.parametrize('sides', SIZES)
@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('crops', [1, 5])
def test_the_last_view_is_what_evaluation_sees(sides, way, crops):
    image = picture(*sides)
    views = view_pixels(image, way, crops)
    assert len(views) == crops
    assert all(view.shape == (*way.shape, 3) and view.dtype == np.uint8 for view in views)
    np.testing.assert_array_equal(views[-1], evaluation_pixels(image, way))


@pytest.mark.parametrize(('sides', 'resized'), [((40, 60), (20, 30)), ((60, 40), (30, 20)), ((33, 33), (20, 20))])
def test_five_crops_are_the_corners_and_the_centre_of_the_resized_picture(sides, resized):
    image = picture(*sides)
    whole = np.asarray(Image.fromarray(image).resize(resized[::-1], Image.Resampling.BICUBIC))
    corners = [whole[:16, :16], whole[:16, -16:], whole[-16:, :16], whole[-16:, -16:]]
    views = view_pixels(image, ImagePreprocessor(16, crop_fraction=0.8), 5)
    for view, corner in zip(views, corners, strict=False):
        np.testing.assert_array_equal(view, corner)


def test_squashed_pictures_and_inputs_that_are_not_square_have_corners_too():
    image = picture(40, 60)
    squashed = np.asarray(Image.fromarray(image).resize((20, 20), Image.Resampling.BICUBIC))
    views = view_pixels(image, ImagePreprocessor(16, crop_fraction=0.8, squash=True), 5)
    np.testing.assert_array_equal(views[1], squashed[:16, 4:])
    covered = np.asarray(Image.fromarray(image).resize((36, 24), Image.Resampling.BICUBIC))
    views = view_pixels(image, ImagePreprocessor(12, image_width=36), 5)
    np.testing.assert_array_equal(views[2], covered[12:])


def test_the_views_of_a_batch_come_apart_as_they_were():
    views = ImageViews(ImagePreprocessor(12, crop_fraction=0.9, image_width=20), crops=5, scales=(1.0, 0.5, 1.5))
    images = [picture(30, 41), picture(50, 33, 1)]
    batch = np.stack([views.pixels(image) for image in images])
    assert batch.shape == (2, 5 * (12 * 20 + 6 * 10 + 18 * 30), 3)
    apart = [view['image'] for view in views.split({'image': batch})]
    assert len(apart) == views.count == 15
    shapes = [(12, 20), (6, 10), (18, 30)]
    assert [view.shape for view in apart] == [(2, *shape, 3) for shape in shapes for _ in range(5)]
    for number, image in enumerate(images):
        expected = [view for size in views.sizes for view in view_pixels(image, size, 5)]
        for view, other in zip(apart, expected, strict=True):
            np.testing.assert_array_equal(view[number], other)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(views)).pixels(images[0]), batch[0])


def test_a_single_view_keeps_its_shape():
    image = picture(30, 41)
    for views in (
        ImageViews(ImagePreprocessor(16, crop_fraction=0.9)),
        ImageViews(ImagePreprocessor(16, crop_fraction=0.9), flips=True),
    ):
        np.testing.assert_array_equal(views({'image': image})['image'], evaluation_pixels(image, views.preprocessing))
        [only] = views.split({'image': views.pixels(image)[None]})
        np.testing.assert_array_equal(only['image'][0], views.pixels(image))
    assert ImageViews(ImagePreprocessor(16), scales=(2.0,)).pixels(image).shape == (32, 32, 3)


def test_another_size_shows_the_same_share_of_the_picture():
    large = ImageViews(ImagePreprocessor(16, crop_fraction=0.8), scales=(2.0,)).sizes[0]
    assert large == ImagePreprocessor(32, crop_fraction=0.8)


@pytest.mark.parametrize(
    ('shape', 'multiple', 'scale', 'expected'),
    [
        ((224, 224), 1, 1.25, (280, 280)),
        ((224, 224), 16, 1.25, (288, 288)),
        ((224, 224), 16, 1.01, (224, 224)),
        ((96, 160), 32, 1.2, (128, 192)),
        ((16, 16), 1, 0.01, (1, 1)),
        ((16, 16), 8, 0.01, (8, 8)),
        ((15, 15), 1, 0.7, (10, 10)),
    ],
)
def test_sizes_are_rounded_to_pixels_and_patches(shape, multiple, scale, expected):
    views = ImageViews(ImagePreprocessor(shape[0], image_width=shape[1]), scales=(scale,), side_multiple=multiple)
    assert views.sizes[0].shape == expected


@pytest.mark.parametrize(
    ('settings', 'name'),
    [
        ({}, 'none'),
        ({'flips': True}, 'flips'),
        ({'crops': 5}, '5 crops'),
        ({'flips': True, 'crops': 5, 'scales': (1.0, 1.25)}, 'flips, 5 crops, scales 1 1.25'),
        ({'scales': (0.5,)}, 'scales 0.5'),
    ],
)
def test_views_have_a_name_of_their_own(settings, name):
    assert ImageViews(ImagePreprocessor(16), **settings).name == name


@pytest.mark.parametrize(
    ('way', 'sides', 'room', 'alike'),
    [
        (ImagePreprocessor(16), (40, 40), False, True),
        (ImagePreprocessor(16), (40, 60), False, False),
        (ImagePreprocessor(16), (60, 40), False, False),
        (ImagePreprocessor(16, image_width=24), (40, 60), False, True),
        (ImagePreprocessor(16, crop_fraction=0.8), (40, 40), True, False),
    ],
)
def test_crops_need_room(way, sides, room, alike):
    for scales in ((1.0,), (1.0, 1.5)):
        views = ImageViews(way, crops=5, scales=scales)
        assert views.room == room
        assert views.all_alike(views.pixels(picture(*sides))) == alike


def test_the_centre_of_five_crops_is_what_evaluation_sees():
    image = np.random.default_rng(0).integers(0, 256, (19, 31, 3), np.uint8)
    for rounding in ('round', 'floor'):
        way = ImagePreprocessor(16, crop_rounding=rounding)
        np.testing.assert_array_equal(view_pixels(image, way, 5)[-1], evaluation_pixels(image, way))
