"""SimpleAugment: a flip for half of the images, and jitter within its strength."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from jtransfer.augment.policies import simple_augment


def test_half_of_the_images_are_mirrored():
    images = jnp.tile(jnp.array([[0, 10, 200]], jnp.uint8)[None, :, :, None], (2000, 1, 1, 3))
    out = np.asarray(simple_augment.apply(jax.random.split(jax.random.key(0), 2000), images, strength=0.0))
    mirrored = (out == np.flip(images, 2)).all(axis=(1, 2, 3))
    assert (mirrored | (out == images).all(axis=(1, 2, 3))).all()
    assert stats.binomtest(int(mirrored.sum()), 2000).pvalue > 0.01


def test_brightness_reaches_as_far_as_the_strength():
    # Contrast and saturation leave a picture of one grey alone.
    images = jnp.full((2000, 1, 1, 3), 100, jnp.uint8)
    out = np.asarray(simple_augment.apply(jax.random.split(jax.random.key(0), 2000), images))
    assert stats.kstest(out[:, 0, 0, 0] / 100, stats.uniform(0.7, 0.6).cdf).pvalue > 0.01
