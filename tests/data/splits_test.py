"""Tests of jtransfer/data/splits.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jtransfer.data.splits import few_shot, hold_out
from jtransfer.errors import UserError

NAMES = ('a', 'b', 'c')


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(4, 40), st.integers(4, 40), st.integers(4, 40)),
    st.floats(0.25, 0.6),
    st.integers(0, 3),
)
def test_hold_out_is_stratified(counts, fraction, seed):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), counts)).astype(np.int32)
    kept, held = hold_out(labels, fraction, seed, NAMES, 'test')
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(len(labels)))
    assert len(held) == np.ceil(fraction * len(labels))
    shares = np.bincount(labels[held], minlength=3) - np.array(counts) * len(held) / len(labels)
    assert np.abs(shares).max() < 1
    again = hold_out(labels, fraction, seed, NAMES, 'test')
    np.testing.assert_array_equal(again[1], held)


def test_hold_out_depends_on_the_seed_and_zero_is_a_seed():
    labels = np.repeat(np.arange(3), 20).astype(np.int32)
    draws = [tuple(hold_out(labels, 0.3, seed, NAMES, 'test')[1]) for seed in (0, 1, 2, 0)]
    assert len(set(draws)) == 3
    assert draws[0] == draws[3]


def test_hold_out_needs_enough_examples():
    with pytest.raises(UserError, match=r"class 'b' has 1 example: too few to hold some out for validation"):
        hold_out(np.array([0, 0, 1, 2, 2], np.int32), 0.4, 0, NAMES, 'validation')
    with pytest.raises(UserError, match=r'holding out 0.1 of 6 examples for test'):
        hold_out(np.array([0, 0, 1, 1, 2, 2], np.int32), 0.1, 0, NAMES, 'test')


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(0, 100))
def test_few_shot_draws_the_same_number_of_every_class_and_nests(per_class, seed):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(3), (5, 9, 7))).astype(np.int32)
    drawn = few_shot(labels, per_class, seed, NAMES)
    assert len(np.unique(drawn)) == 3 * per_class
    np.testing.assert_array_equal(np.bincount(labels[drawn]), [per_class] * 3)
    assert set(drawn) < set(few_shot(labels, per_class + 1, seed, NAMES))


def test_few_shot_depends_on_the_seed():
    labels = np.repeat(np.arange(3), 50).astype(np.int32)
    assert len({tuple(few_shot(labels, 5, seed, NAMES)) for seed in range(4)}) == 4


def test_few_shot_needs_enough_examples():
    with pytest.raises(UserError, match=r"examples_per_class=3, but class 'b' has only 2 examples"):
        few_shot(np.array([0, 0, 0, 1, 1, 2, 2, 2], np.int32), 3, 0, NAMES)
