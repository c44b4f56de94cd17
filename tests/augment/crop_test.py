"""Crops against Pillow's resize of a box, and the distribution of the boxes against its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from jtransfer.augment import crop

FILTERS = {'bilinear': Image.Resampling.BILINEAR, 'bicubic': Image.Resampling.BICUBIC}
RATIO = (3 / 4, 4 / 3)

resample = jax.jit(crop.resample, static_argnums=(2, 3))
sample_boxes = jax.jit(crop.sample_boxes, static_argnums=(2, 3))
sample_square_boxes = jax.jit(crop.sample_square_boxes, static_argnums=2)


def _pictures(side=48):
    """Noise, a smooth wave and hard stripes."""
    y, x = np.mgrid[:side, :side]
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3))
    wave = np.stack([127 + 120 * np.sin(x / 5 + channel) * np.cos(y / 7) for channel in range(3)], axis=-1)
    stripes = np.repeat(255 * ((x + y) // 6 % 2)[..., None], 3, axis=-1)
    return np.stack([noise, wave, stripes]).astype(np.uint8)


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
@pytest.mark.parametrize('size', [16, 64])
def test_resample_is_pillows(interpolation, size):
    pictures = _pictures()
    boxes = np.array([[0.0, 0.0, 1.0, 1.0], [0.13, 0.29, 0.51, 0.37], [0.4, 0.05, 0.33, 0.9]], np.float32)
    ours = resample(pictures.astype(np.float32), boxes, (size, size), interpolation)
    for picture, (left, top, width, height), result in zip(pictures, boxes, np.asarray(ours), strict=True):
        box = tuple(float(edge) for edge in 48 * np.array([left, top, left + width, top + height]))
        box = (*box[:2], min(box[2], 48), min(box[3], 48))
        pillow = np.asarray(Image.fromarray(picture).resize((size, size), FILTERS[interpolation], box=box))
        # Pillow rounds to whole numbers twice: once a pass.
        assert np.abs(result - pillow).mean() <= 1
        assert np.abs(result - pillow).max() <= 2


def test_the_whole_picture_at_its_own_size_is_unchanged():
    pictures = _pictures().astype(np.float32)
    boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (3, 1))
    for interpolation in FILTERS:
        np.testing.assert_allclose(resample(pictures, boxes, (48, 48), interpolation), pictures, atol=1e-2)


def test_an_unknown_interpolation_is_refused():
    with pytest.raises(ValueError, match='nearest'):
        resample(np.zeros((1, 4, 4, 3), np.float32), np.array([[0, 0, 1, 1]], np.float32), (4, 4), 'nearest')


def test_constant_pictures_stay_constant():
    pictures = np.full((64, 20, 20, 3), 173, np.float32)
    keys = jax.random.split(jax.random.key(3), 64)
    boxes = sample_boxes(keys, jnp.full(64, 1.7), (0.08, 1.0), RATIO)
    for interpolation in FILTERS:
        np.testing.assert_allclose(resample(pictures, boxes, (13, 13), interpolation), 173, atol=1e-2)


def _boxes(count, aspect, scale, ratio, seed=0):
    keys = jax.random.split(jax.random.key(seed), count)
    return np.asarray(sample_boxes(keys, jnp.full(count, aspect), scale, ratio), np.float64)


@pytest.mark.parametrize('aspect', [0.6, 1.0, 1.9])
def test_area_and_ratio_follow_their_distributions(aspect):
    """Where every draw fits, area is uniform and ratio log-uniform in the true picture."""
    boxes = _boxes(4000, aspect, (0.1, 0.4), RATIO)
    area = boxes[:, 2] * boxes[:, 3]
    ratio = boxes[:, 2] * aspect / boxes[:, 3]
    assert stats.kstest(area, stats.uniform(0.1, 0.3).cdf).pvalue > 0.01
    assert stats.kstest(np.log(ratio), stats.uniform(np.log(3 / 4), np.log(16 / 9)).cdf).pvalue > 0.01
    assert abs(np.corrcoef(area, ratio)[0, 1]) < 0.06


def test_placement_is_uniform_and_inside():
    boxes = _boxes(4000, 1.3, (0.1, 0.9), RATIO)
    assert boxes.min() >= 0
    assert (boxes[:, :2] + boxes[:, 2:]).max() <= 1 + 1e-6
    for axis in range(2):
        room = 1 - boxes[:, 2 + axis]
        place = (boxes[:, axis] / np.maximum(room, 1e-9))[room > 0.01]
        assert stats.kstest(place, stats.uniform(0, 1).cdf).pvalue > 0.01


def _torchvision_boxes(count, aspect, scale, ratio, side=4000):
    """`RandomResizedCrop.get_params` (torchvision 0.28) retold, on a picture too fine for rounding to show."""
    random = np.random.default_rng(5)
    width, height = round(side * aspect), side
    boxes = []
    for _ in range(count):
        for _ in range(10):
            area = width * height * random.uniform(*scale)
            box_ratio = np.exp(random.uniform(np.log(ratio[0]), np.log(ratio[1])))
            w, h = round(np.sqrt(area * box_ratio)), round(np.sqrt(area / box_ratio))
            if 0 < w <= width and 0 < h <= height:
                boxes.append((random.integers(width - w + 1), random.integers(height - h + 1), w, h))
                break
        else:
            w = min(width, round(height * ratio[1]))
            h = min(height, round(width / ratio[0]))
            boxes.append(((width - w) // 2, (height - h) // 2, w, h))
    return np.array(boxes) / [width, height, width, height]


@pytest.mark.parametrize(('aspect', 'scale'), [(1.0, (0.08, 1.0)), (2.2, (0.3, 1.0)), (0.4, (0.5, 0.9))])
def test_rejection_follows_torchvision(aspect, scale):
    """Elongated pictures reject many draws and sometimes all ten."""
    ours, theirs = _boxes(3000, aspect, scale, RATIO), _torchvision_boxes(3000, aspect, scale, RATIO)
    for column in range(4):
        # Rounded, or the last bits of the fall-back boxes would look like another distribution.
        assert stats.ks_2samp(ours[:, column].round(3), theirs[:, column].round(3)).pvalue > 0.001


@pytest.mark.parametrize(('aspect', 'expected'), [(4.0, (1 / 3, 1.0)), (0.25, (1.0, 1 / 3)), (1.1, (1.0, 1.0))])
def test_fallback_is_the_largest_centred_box_of_an_allowed_ratio(aspect, expected):
    # At a share of 1 only the picture's own ratio fits, which is never drawn.
    boxes = _boxes(8, aspect, (1.0, 1.0), RATIO)
    np.testing.assert_allclose(boxes[:, 2:], np.tile(expected, (8, 1)), atol=1e-5)
    np.testing.assert_allclose(boxes[:, :2], (1 - boxes[:, 2:]) / 2, atol=1e-6)


def test_a_full_scale_square_crop_of_a_square_is_the_whole_picture():
    np.testing.assert_allclose(_boxes(8, 1.0, (1.0, 1.0), (1.0, 1.0)), np.tile([0, 0, 1, 1], (8, 1)), atol=1e-6)


def test_every_picture_has_its_own_box():
    assert len(np.unique(_boxes(64, 1.0, (0.08, 1.0), RATIO), axis=0)) == 64


def _square_boxes(count, aspect, fraction, seed=0):
    keys = jax.random.split(jax.random.key(seed), count)
    return np.asarray(sample_square_boxes(keys, jnp.full(count, aspect), fraction), np.float64)


@pytest.mark.parametrize('aspect', [0.3, 1.0, 1.9])
@pytest.mark.parametrize('fraction', [0.1, 224 / 256, 1.0])
def test_squares_are_square_in_the_true_picture_and_inside(aspect, fraction):
    boxes = _square_boxes(500, aspect, fraction)
    side = fraction * min(aspect, 1)
    np.testing.assert_allclose(boxes[:, 2:], np.tile([side / aspect, side], (500, 1)), rtol=1e-5)
    assert boxes.min() >= 0
    assert (boxes[:, :2] + boxes[:, 2:]).max() <= 1 + 1e-6


def test_squares_are_placed_uniformly_and_independently_along_both_axes():
    boxes = _square_boxes(4000, 1.3, 0.6)
    places = boxes[:, :2] / (1 - boxes[:, 2:])
    for axis in range(2):
        assert stats.kstest(places[:, axis], stats.uniform(0, 1).cdf).pvalue > 0.01
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.06


@pytest.mark.parametrize('aspect', [0.4, 1.0, 2.2])
def test_squares_follow_torchvision(aspect):
    """`Resize(256)` and `RandomCrop(224)` (torchvision 0.28) retold, with pixels too fine for rounding to show."""
    fine = 16
    shorter, side = 256 * fine, 224 * fine
    width, height = int(shorter * max(aspect, 1)), int(shorter * max(1 / aspect, 1))
    random = np.random.default_rng(5)
    top, left = random.integers(height - side + 1, size=3000), random.integers(width - side + 1, size=3000)
    theirs = np.stack([left, top, np.full(3000, side), np.full(3000, side)], axis=1) / [width, height, width, height]
    ours = _square_boxes(3000, aspect, 224 / 256)
    for column in range(2):
        assert stats.ks_2samp(ours[:, column], theirs[:, column]).pvalue > 0.001
    np.testing.assert_allclose(ours[:, 2:], theirs[:, 2:], atol=1e-3)


def test_the_whole_shorter_side_leaves_only_the_longer_to_chance():
    boxes = _square_boxes(64, 2.0, 1.0)
    np.testing.assert_allclose(boxes[:, [1, 2, 3]], np.tile([0, 0.5, 1], (64, 1)), atol=1e-6)
    assert len(np.unique(boxes[:, 0])) == 64


@pytest.mark.parametrize('fraction', [0.0, -0.5, 1.01])
def test_squares_larger_than_the_picture_are_refused(fraction):
    with pytest.raises(ValueError, match='fraction='):
        _square_boxes(1, 1.0, fraction)


@pytest.mark.parametrize('interpolation', FILTERS)
@pytest.mark.parametrize('size', [1, 3, 4])
def test_a_crop_of_one_pixel_is_pillows(interpolation, size):
    """Inside the picture the filter reaches into the neighbours; the middle of the crop is the pixel itself."""
    side = 8
    pictures = np.random.default_rng(2).integers(0, 256, (3, side, side, 3), np.uint8)
    places = [(3, 5), (0, 0), (7, 2)]
    boxes = np.array([[left / side, top / side, 1 / side, 1 / side] for left, top in places], np.float32)
    ours = np.asarray(resample(pictures.astype(np.float32), boxes, (size, size), interpolation))
    for picture, (left, top), result in zip(pictures, places, ours, strict=True):
        box = (left, top, left + 1, top + 1)
        pillow = np.asarray(Image.fromarray(picture).resize((size, size), FILTERS[interpolation], box=box))
        assert np.abs(result - pillow).max() <= 2
        if size % 2:
            np.testing.assert_allclose(result[size // 2, size // 2], picture[top, left], atol=1e-2)


@pytest.mark.parametrize('interpolation', FILTERS)
def test_a_picture_of_one_pixel_is_that_pixel_everywhere(interpolation):
    picture = np.array([12, 200, 255], np.float32).reshape(1, 1, 1, 3)
    ours = resample(picture, np.array([[0.2, 0.1, 0.5, 0.6]], np.float32), (4, 3), interpolation)
    np.testing.assert_allclose(ours, np.broadcast_to(picture, (1, 4, 3, 3)), atol=1e-3)


@pytest.mark.parametrize('value', [0, 1, 255])
def test_square_crops_of_one_colour_are_that_colour(value):
    pictures = np.full((16, 20, 20, 3), value, np.float32)
    boxes = sample_square_boxes(jax.random.split(jax.random.key(3), 16), jnp.full(16, 0.7), 0.3)
    for interpolation in FILTERS:
        np.testing.assert_allclose(resample(pictures, boxes, (13, 9), interpolation), value, atol=1e-3)
