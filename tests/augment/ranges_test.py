"""Drawn parameters: uniform in their ranges, each image its own, and apart from whether the operation happens."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from jtransfer.augment import ranges

KEYS = jax.random.split(jax.random.key(0), 3000)


def test_numbers_are_uniform_in_their_ranges_and_independent():
    first, second, fixed = (np.asarray(drawn) for drawn in ranges.draw(KEYS, (-3.0, 5.0), (0.0, 1.0), (2.5, 2.5)))
    assert stats.kstest(first, stats.uniform(-3, 8).cdf).pvalue > 0.01
    assert stats.kstest(second, stats.uniform(0, 1).cdf).pvalue > 0.01
    assert abs(stats.spearmanr(first, second).statistic) < 0.06
    np.testing.assert_array_equal(fixed, 2.5)


def test_an_operation_happens_with_its_probability_whatever_it_draws():
    chosen = np.asarray(ranges.happens(KEYS, 0.3))
    # Four standard deviations of a binomial share.
    assert abs(chosen.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / len(KEYS))
    (drawn,) = ranges.draw(KEYS, (0.0, 1.0))
    drawn = np.asarray(drawn)
    assert stats.ks_2samp(drawn[chosen], drawn[~chosen]).pvalue > 0.01
    assert not np.asarray(ranges.happens(KEYS, 0.0)).any()
    assert ranges.happens(KEYS, 1.0) is None


def test_the_gate_is_none_of_the_keys_that_operations_split_off():
    split = jax.random.key_data(jax.vmap(lambda key: jax.random.split(key, 32))(KEYS[:5]))
    gate = jax.random.key_data(jax.vmap(lambda key: jax.random.fold_in(key, ranges._GATE))(KEYS[:5]))
    assert not (np.asarray(split) == np.asarray(gate)[:, None]).all(axis=-1).any()


def test_the_chosen_take_the_new_value():
    old, new = jnp.zeros((3, 2, 2)), jnp.ones((3, 2, 2))
    out = ranges.where(jnp.array([True, False, True]), new, old)
    np.testing.assert_array_equal(out[:, 0, 0], [1, 0, 1])
    assert ranges.where(None, new, old) is new
