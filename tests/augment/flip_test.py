"""Flips are exact, and each image has its own draw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.augment import flip

IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3)), jnp.float32)


@pytest.mark.parametrize(('function', 'axis'), [(flip.horizontal, 2), (flip.vertical, 1)])
def test_certain_flips(function, axis):
    keys = jax.random.split(jax.random.key(0), 4)
    np.testing.assert_array_equal(function(keys, IMAGES, 1.0), np.flip(IMAGES, axis))
    np.testing.assert_array_equal(function(keys, IMAGES, 0.0), IMAGES)


@pytest.mark.parametrize(('function', 'axis'), [(flip.horizontal, 2), (flip.vertical, 1)])
def test_probability_holds_over_images(function, axis):
    count = 2000
    images = jnp.broadcast_to(jnp.array([[0.0, 1.0], [2.0, 3.0]])[None, :, :, None], (count, 2, 2, 3))
    out = np.asarray(function(jax.random.split(jax.random.key(1), count), images, 0.3))
    flipped = np.all(out == np.flip(images, axis), axis=(1, 2, 3))
    assert np.all(flipped | np.all(out == images, axis=(1, 2, 3)))
    # Four standard deviations of a binomial share.
    assert abs(flipped.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / count)
