"""Cheap noise: normal, and unrelated over positions, channels, images and keys."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from jtransfer.augment.noise import normal

KEYS = jax.random.split(jax.random.key(0), 64)
NOISE = np.asarray(normal(KEYS, (16, 15, 3)))


def _correlation(first, second):
    return abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) * np.sqrt(first.size)


def test_numbers_are_standard_normal():
    assert NOISE.shape == (64, 16, 15, 3)
    assert NOISE.dtype == np.float32
    assert stats.kstest(NOISE.ravel(), 'norm').pvalue > 0.01
    assert abs(stats.kurtosis(NOISE.ravel())) < 4 * np.sqrt(24 / NOISE.size)
    assert 3 < np.abs(NOISE).max() < 4.4


def test_neighbours_channels_and_images_are_uncorrelated():
    # Standard normal where there is no correlation; the largest of a few dozen.
    pairs = [(NOISE[:, a:], NOISE[:, :-a]) for a in (1, 2, 3, 8)]
    pairs += [(NOISE[:, :, a:], NOISE[:, :, :-a]) for a in (1, 2, 3, 7)]
    pairs += [(NOISE[..., 0], NOISE[..., 1]), (NOISE[..., 1], NOISE[..., 2]), (NOISE[1:], NOISE[:-1])]
    flat = NOISE.reshape(64, -1)
    pairs += [(flat[:, : flat.shape[1] // 2], flat[:, flat.shape[1] // 2 :])]
    assert max(_correlation(*pair) for pair in pairs) < 4
    assert max(_correlation(first**2, second**2) for first, second in pairs) < 4.5


def test_numbers_are_even_in_every_place():
    """Over many keys, each place of a picture sees the whole distribution."""
    many = np.asarray(normal(jax.random.split(jax.random.key(1), 3000), (5,)))
    assert min(stats.kstest(place, 'norm').pvalue for place in many.T) > 1e-3
    assert len(np.unique(many)) > 0.85 * many.size


def test_the_key_alone_decides():
    np.testing.assert_array_equal(normal(KEYS[5:6], (16, 15, 3))[0], NOISE[5])
    assert len(np.unique(NOISE[:, 0, 0, 0])) > 60
    neighbours = jnp.stack([jax.random.wrap_key_data(jnp.array([0, word], jnp.uint32)) for word in range(2)])
    assert _correlation(*np.asarray(normal(neighbours, (40, 40)))) < 4
