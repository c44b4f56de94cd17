"""Framing: which box of the true picture the network's input shows, with and without crops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from jtransfer.augment import geometry, pad_crop
from jtransfer.augment.frames import make_frame
from jtransfer.config.operations import parse_operation
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_pixels import evaluation_pixels, whole_picture

PHOTO = load_sample_image('flower.jpg')[:300, :200]
KEYS = jax.random.split(jax.random.key(0), 5)


def _batch(picture):
    return jnp.asarray(np.tile(picture[None], (5, 1, 1, 1))), jnp.full(5, PHOTO.shape[1] / PHOTO.shape[0])


@pytest.mark.parametrize('text', ['random_resized_crop((0.2, 0.6))', 'random_square_crop(0.6)'])
def test_crops_show_what_the_geometry_says(text):
    """Pillow cuts the same boxes out of the true picture."""
    preprocessing = ImagePreprocessor(40, interpolation='bilinear')
    images, aspects = _batch(whole_picture(PHOTO, 200, 'bilinear'))
    frame = make_frame(parse_operation(text), preprocessing)
    pixels, maps, _ = frame(KEYS, images, aspects)
    boxes = geometry.transform_points(maps, jnp.broadcast_to(jnp.array([[0.0, 0], [40, 40]]), (5, 2, 2)))
    size = np.array([PHOTO.shape[1], PHOTO.shape[0]])
    picture = Image.fromarray(PHOTO)
    for result, box in zip(np.asarray(pixels), np.asarray(boxes), strict=True):
        pillow = picture.resize((40, 40), Image.Resampling.BILINEAR, box=tuple(float(v) for v in (box * size).ravel()))
        # The squashed square is a coarser picture than the true one.
        assert np.abs(result - np.asarray(pillow)).mean() < 3
        if text.startswith('random_square'):
            width, height = (box[1] - box[0]) * size
            assert width == pytest.approx(height, rel=1e-4)
            assert width == pytest.approx(0.6 * 200, rel=1e-4)


@pytest.mark.parametrize('settings', [{}, {'crop_fraction': 0.8}, {'squash': True}, {'image_width': 60}])
def test_without_crops_the_geometry_is_that_of_evaluation(settings):
    """The middle of a bright block lands where it is said to."""
    preprocessing = ImagePreprocessor(40, interpolation='bilinear', **settings)
    picture = np.zeros_like(PHOTO)
    picture[130:150, 90:120] = 255
    pixels, maps, _ = make_frame(None, preprocessing)(KEYS, *_batch(evaluation_pixels(picture, preprocessing)))
    bright = np.asarray(pixels[0, ..., 0])
    centre = [
        (np.average(np.arange(n) + 0.5, weights=bright.sum(axis=axis)))
        for n, axis in ((bright.shape[1], 0), (bright.shape[0], 1))
    ]
    place = geometry.transform_points(maps, jnp.broadcast_to(jnp.array([[centre]]), (5, 1, 2)).astype(jnp.float32))
    np.testing.assert_allclose(place[0, 0], [105 / 200, 140 / 300], atol=0.01)


@pytest.mark.parametrize('mode', ['zero', 'reflect'])
def test_a_padded_crop_moves_by_whole_pixels_and_says_so(mode):
    preprocessing = ImagePreprocessor(40)
    images, aspects = _batch(evaluation_pixels(PHOTO, preprocessing))
    still, before, _ = make_frame(None, preprocessing)(KEYS, images, aspects)
    moved, after, _ = make_frame(parse_operation(f'random_crop(6, {mode})'), preprocessing)(KEYS, images, aspects)
    dx, dy = pad_crop.draw_shifts(KEYS, 6)
    np.testing.assert_array_equal(moved, pad_crop.shift(still, dx, dy, mode))
    ends = jnp.broadcast_to(jnp.array([[20.0, 10]]), (5, 1, 2))
    place = geometry.transform_points(after, ends + jnp.stack([dx, dy], axis=1)[:, None])
    np.testing.assert_allclose(place, geometry.transform_points(before, ends), atol=1e-5)


def test_a_padding_that_cannot_be_reflected_is_refused():
    make_frame(parse_operation('random_crop(39, reflect)'), ImagePreprocessor(40))
    make_frame(parse_operation('random_crop(90, zero)'), ImagePreprocessor(40))
    with pytest.raises(UserError, match='padding=40 must be below 40'):
        make_frame(parse_operation('random_crop(40, reflect)'), ImagePreprocessor(40))


def test_a_crop_may_resample_in_another_way_than_the_network():
    images, aspects = _batch(whole_picture(PHOTO, 64))
    text = 'random_resized_crop((0.3, 0.5), interpolation={})'
    frames = [
        make_frame(parse_operation(text.format(name)), ImagePreprocessor(40))
        for name in ('network', 'bicubic', 'bilinear')
    ]
    network, bicubic, bilinear = (frame(KEYS, images, aspects)[0] for frame in frames)
    np.testing.assert_array_equal(network, bicubic)
    assert np.abs(np.asarray(bicubic - bilinear)).max() > 1
