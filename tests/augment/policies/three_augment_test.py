"""3-Augment: which of the three, and each against Pillow."""

import jax
import numpy as np
from PIL import Image, ImageFilter, ImageOps
from scipy import stats
from sklearn.datasets import load_sample_image

from jtransfer.augment.policies import three_augment


def test_the_three_are_drawn_evenly_and_blurs_are_uniform():
    number, sigma = jax.jit(three_augment.draw)(jax.random.split(jax.random.key(0), 3000))
    assert stats.chisquare(np.bincount(number)).pvalue > 0.01
    assert len(np.unique(number)) == 3
    assert stats.kstest(np.asarray(sigma), stats.uniform(0.1, 1.9).cdf).pvalue > 0.01


def test_each_is_pillows():
    image = load_sample_image('china.jpg')[150:187, 300:353]
    picture = Image.fromarray(image)
    keys = jax.random.split(jax.random.key(1), 24)
    number, sigma = three_augment.draw(keys)
    out = np.asarray(jax.jit(three_augment.apply)(keys, np.tile(image, (24, 1, 1, 1))))
    for choice, radius, result in zip(np.asarray(number), np.asarray(sigma), out, strict=True):
        name = three_augment.CHOICES[choice]
        if name == 'grayscale':
            np.testing.assert_array_equal(result, np.asarray(picture.convert('L').convert('RGB')))
        elif name == 'solarize':
            np.testing.assert_array_equal(result, np.asarray(ImageOps.solarize(picture)))
        else:
            expected = np.asarray(picture.filter(ImageFilter.GaussianBlur(float(radius)))).astype(int)
            # Pillow approximates the Gaussian by three boxes, which are coarse at small radii.
            assert np.abs(result - expected).mean() <= 1.5, radius


def test_pictures_smaller_than_the_blur():
    images = np.random.default_rng(0).integers(0, 256, (12, 1, 7, 3)).astype(np.uint8)
    out = jax.jit(three_augment.apply)(jax.random.split(jax.random.key(0), 12), images)
    assert out.shape == images.shape
