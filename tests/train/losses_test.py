"""Losses against scikit-learn and the closed form."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from jtransfer.train.losses import cross_entropy

RANDOM = np.random.default_rng(0)
LOGITS = (3 * RANDOM.standard_normal((20, 5))).astype(np.float32)
LABELS = np.arange(20, dtype=np.int32) % 5


def test_cross_entropy_is_scikit_learns_log_loss():
    losses = cross_entropy(jnp.array(LOGITS), jnp.array(LABELS))
    assert losses.shape == (20,)
    expected = sklearn.metrics.log_loss(LABELS, scipy.special.softmax(LOGITS.astype(np.float64), axis=1))
    np.testing.assert_allclose(losses.mean(), expected, rtol=1e-6)


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 0.9])
def test_smoothing_mixes_in_the_mean_over_all_classes(smoothing):
    log_probabilities = scipy.special.log_softmax(LOGITS.astype(np.float64), axis=1)
    own = -log_probabilities[np.arange(20), LABELS]
    expected = (1 - smoothing) * own - smoothing * log_probabilities.mean(axis=1)
    losses = cross_entropy(jnp.array(LOGITS), jnp.array(LABELS), smoothing)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_equal_logits_cost_the_logarithm_of_the_classes():
    losses = cross_entropy(jnp.zeros((2, 7)), jnp.array([0, 6]), 0.3)
    np.testing.assert_allclose(losses, np.log(7), rtol=1e-6)


def test_low_precision_logits_are_summed_in_float32():
    losses = cross_entropy(jnp.array(LOGITS, jnp.bfloat16), jnp.array(LABELS))
    assert losses.dtype == jnp.float32
    np.testing.assert_allclose(losses, cross_entropy(jnp.array(LOGITS), jnp.array(LABELS)), atol=0.05)
