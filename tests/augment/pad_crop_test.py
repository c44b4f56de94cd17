"""Shifts and padded crops against NumPy's padding and slicing; the offsets are uniform."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jtransfer.augment import pad_crop

NUMPY_MODES = {'zero': 'constant', 'reflect': 'reflect'}
IMAGES = np.random.default_rng(0).integers(1, 256, (1, 5, 7, 3), np.uint8)

shift = jax.jit(pad_crop.shift, static_argnames='mode')
random_crop = jax.jit(pad_crop.random_crop, static_argnames=('padding', 'mode'))


def _crops(images, padding, mode):
    """All crops of one image [1, height, width, channel], by offset down and offset to the right."""
    _, height, width, _ = images.shape
    padded = np.pad(images[0], ((padding, padding), (padding, padding), (0, 0)), NUMPY_MODES[mode])
    offsets = list(itertools.product(range(2 * padding + 1), repeat=2))
    return offsets, np.stack([padded[top : top + height, left : left + width] for top, left in offsets])


@pytest.mark.parametrize(('mode', 'padding'), [('zero', 0), ('zero', 2), ('zero', 9), ('reflect', 4), ('reflect', 9)])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_shift_is_padding_and_slicing(mode, padding, dtype):
    offsets, expected = _crops(IMAGES, padding, mode)
    top, left = np.array(offsets, np.int32).T
    images = np.repeat(IMAGES, len(offsets), axis=0).astype(dtype)
    result = shift(images, padding - left, padding - top, mode)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize('mode', pad_crop.MODES)
def test_content_moves_right_and_down(mode):
    image = np.zeros((1, 6, 6, 1), np.uint8)
    image[0, 2, 3] = 255
    moved = np.asarray(shift(image, np.array([2]), np.array([1]), mode))
    assert moved[0, 3, 5, 0] == 255


@pytest.mark.parametrize('shape', [(1, 1), (1, 7)])
def test_a_single_row_reflects_in_itself(shape):
    image = np.random.default_rng(1).integers(0, 256, (1, *shape, 3), np.uint8)
    np.testing.assert_array_equal(shift(image, np.array([0]), np.array([3]), 'reflect'), image)


@pytest.mark.parametrize(('mode', 'padding'), [('zero', 2), ('zero', 9), ('reflect', 4)])
def test_random_crop_is_one_of_numpys(mode, padding):
    _, expected = _crops(IMAGES, padding, mode)
    keys = jax.random.split(jax.random.key(0), 200)
    result = np.asarray(random_crop(keys, np.repeat(IMAGES, 200, axis=0), padding, mode))
    assert result.dtype == np.uint8
    allowed = {crop.tobytes() for crop in expected}
    drawn = {crop.tobytes() for crop in result}
    assert drawn <= allowed
    assert len(drawn) > len(allowed) / 3


def test_offsets_are_uniform_and_independent():
    count, padding = 5000, 2
    image = np.arange(1, 26, dtype=np.uint8).reshape(1, 5, 5, 1)
    result = random_crop(jax.random.split(jax.random.key(1), count), np.repeat(image, count, axis=0), padding)
    # Every offset brings another pixel to the middle.
    counts = np.bincount(np.asarray(result)[:, 2, 2, 0], minlength=26)[1:]
    assert counts.sum() == count
    assert stats.chisquare(counts).pvalue > 0.01


def test_shifts_that_are_told_are_those_of_the_crop():
    keys = jax.random.split(jax.random.key(4), 8)
    images = np.random.default_rng(3).integers(0, 256, (8, 9, 6, 3), np.uint8)
    dx, dy = pad_crop.draw_shifts(keys, 3)
    assert len({*np.asarray(dx).tolist(), *np.asarray(dy).tolist()}) > 3
    np.testing.assert_array_equal(random_crop(keys, images, 3), shift(images, dx, dy))


@pytest.mark.parametrize('mode', pad_crop.MODES)
def test_no_padding_changes_nothing(mode):
    np.testing.assert_array_equal(random_crop(jax.random.split(jax.random.key(0), 1), IMAGES, 0, mode), IMAGES)


def test_a_crop_depends_on_its_key_alone():
    keys = jax.random.split(jax.random.key(2), 6)
    images = np.random.default_rng(3).integers(0, 256, (6, 8, 8, 3), np.uint8)
    order = np.array([3, 0, 5, 1, 4, 2])
    whole = np.asarray(random_crop(keys, images, 4))
    np.testing.assert_array_equal(random_crop(keys[order], images[order], 4), whole[order])


def test_what_cannot_be_is_refused():
    keys = jax.random.split(jax.random.key(0), 1)
    with pytest.raises(ValueError, match='padding=5 must be less than the shorter side'):
        pad_crop.random_crop(keys, jnp.asarray(IMAGES), 5, 'reflect')
    with pytest.raises(ValueError, match='padding=-1'):
        pad_crop.random_crop(keys, jnp.asarray(IMAGES), -1)
    with pytest.raises(ValueError, match="mode='edge'"):
        pad_crop.random_crop(keys, jnp.asarray(IMAGES), 1, 'edge')
