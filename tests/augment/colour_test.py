"""Colour jitter against Pillow's ImageEnhance and the standard library's colorsys."""

import colorsys
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import stats

from jtransfer.augment import colour

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 11, 3)).astype(np.uint8)
FLOATS = jnp.asarray(IMAGES, jnp.float32)
FACTORS = jnp.array([0.0, 0.4, 0.9, 1.0, 1.3, 2.5])
STRONG = {'brightness': 0.6, 'contrast': 0.5, 'saturation': 0.7, 'hue': 0.3}

strong_jitter = jax.jit(lambda keys, images: colour.jitter(keys, images, **STRONG))


@pytest.mark.parametrize(
    ('function', 'enhancer'),
    [
        (colour.adjust_brightness, ImageEnhance.Brightness),
        (colour.adjust_contrast, ImageEnhance.Contrast),
        (colour.adjust_saturation, ImageEnhance.Color),
    ],
)
def test_enhancers_are_pillows(function, enhancer):
    ours = np.asarray(function(FLOATS, FACTORS))
    for image, factor, result in zip(IMAGES, FACTORS, ours, strict=True):
        pillow = np.asarray(enhancer(Image.fromarray(image)).enhance(float(factor)))
        # Pillow works in whole numbers: it rounds the grey it blends with, and cuts the fraction of the result off.
        assert np.abs(result - pillow).mean() <= 1
        assert np.abs(result - pillow).max() <= 2.5


def test_hue_is_colorsys():
    shifts = jnp.array([-0.5, -0.2, 0.0, 0.07, 0.31, 0.5])
    ours = np.asarray(colour.adjust_hue(FLOATS, shifts))
    for image, shift, result in zip(IMAGES, shifts, ours, strict=True):
        expected = []
        for pixel in image.reshape(-1, 3) / 255:
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            expected.append(colorsys.hsv_to_rgb((hue + float(shift)) % 1, saturation, value))
        np.testing.assert_allclose(result.reshape(-1, 3), 255 * np.array(expected), atol=0.02)


def test_grey_pixels_have_no_hue_to_shift():
    grey = jnp.repeat(jnp.arange(256.0)[None, :, None, None], 3, axis=3)
    np.testing.assert_array_equal(colour.adjust_hue(grey, jnp.array([0.3])), grey)


@pytest.mark.parametrize('function', [colour.adjust_brightness, colour.adjust_contrast, colour.adjust_saturation])
def test_a_factor_of_one_changes_nothing(function):
    np.testing.assert_allclose(function(FLOATS, jnp.ones(6)), IMAGES, atol=1e-3)


def test_no_strength_returns_the_images_themselves():
    assert colour.jitter(jax.random.split(jax.random.key(0), 6), FLOATS) is FLOATS


def test_values_stay_in_range_and_images_differ():
    images = jnp.tile(FLOATS[:1], (32, 1, 1, 1))
    out = np.asarray(strong_jitter(jax.random.split(jax.random.key(0), 32), images))
    assert out.min() >= 0
    assert out.max() <= 255
    assert len(np.unique(out.reshape(32, -1), axis=0)) == 32


def test_brightness_factor_is_uniform_in_its_range():
    count = 3000
    images = jnp.full((count, 1, 1, 3), 40.0)
    keys = jax.random.split(jax.random.key(2), count)
    factors = np.asarray(colour.jitter(keys, images, brightness=1.5))[:, 0, 0, 0] / 40
    assert stats.kstest(factors, stats.uniform(0, 2.5).cdf).pvalue > 0.01


def test_hue_shift_is_uniform_in_its_range():
    count = 3000
    images = jnp.tile(jnp.array([200.0, 50, 50]), (count, 1, 1, 1))
    out = np.asarray(colour.jitter(jax.random.split(jax.random.key(2), count), images, hue=0.1)) / 255
    hues = np.array([colorsys.rgb_to_hsv(*pixel)[0] for pixel in out.reshape(-1, 3)])
    assert stats.kstest((hues + 0.5) % 1 - 0.5, stats.uniform(-0.1, 0.2).cdf).pvalue > 0.01


def test_each_image_is_the_four_operations_in_one_of_their_orders_and_all_orders_occur(monkeypatch):
    """The factors are pinned to their upper ends; then only the order is random."""
    uniform = jax.random.uniform
    monkeypatch.setattr(jax.random, 'uniform', lambda key, shape: uniform(key, shape).at[:4].set(1))
    count = 300
    image = FLOATS[:1]
    keys = jax.random.split(jax.random.key(4), count)
    pinned = jax.jit(lambda keys, images: colour.jitter(keys, images, **STRONG))
    out = np.asarray(pinned(keys, jnp.tile(image, (count, 1, 1, 1))))
    operations = [
        lambda x: colour.adjust_brightness(x, jnp.array([1.6])),
        lambda x: colour.adjust_contrast(x, jnp.array([1.5])),
        lambda x: colour.adjust_saturation(x, jnp.array([1.7])),
        lambda x: colour.adjust_hue(x, jnp.array([0.3])),
    ]
    expected = []
    for order in itertools.permutations(operations):
        x = image
        for operation in order:
            x = operation(x)
        expected.append(np.asarray(x[0]))
    distance = np.abs(out[:, None] - np.stack(expected)[None]).max(axis=(2, 3, 4))
    np.testing.assert_allclose(distance.min(axis=1), 0, atol=0.05)
    shares = np.bincount(distance.argmin(axis=1), minlength=24) / count
    assert shares.min() > 0
    assert shares.max() < 3 / 24


def test_constant_images_stay_constant():
    images = np.tile(np.array([180, 90, 30], np.float32), (32, 12, 11, 1))
    out = np.asarray(strong_jitter(jax.random.split(jax.random.key(0), 32), images))
    np.testing.assert_allclose(out, np.broadcast_to(out[:, :1, :1], out.shape), atol=1e-3)
