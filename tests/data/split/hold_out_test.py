"""Tests of jtransfer/data/split/hold_out.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import ShuffleSplit

from jtransfer.data.split.hold_out import few_shot, hold_out
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
    with pytest.raises(UserError, match=r'classes; change crossval\.soup_fraction$'):
        hold_out(np.array([0, 0, 1, 1, 2, 2], np.int32), 0.1, 0, NAMES, 'soup', settings='crossval')


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


def test_few_shot_refuses_several_labels_an_image():
    with pytest.raises(UserError, match=r'examples_per_class=1 draws examples of one class each'):
        few_shot(np.eye(3, dtype=np.float32), 1, 0, NAMES)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(2, 60), st.floats(0.05, 0.6), st.integers(0, 3), st.booleans())
def test_hold_out_of_one_stratum_and_of_several_labels_takes_the_share(examples, fraction, seed, several):
    labels = np.zeros(examples, np.int32)
    if several:
        labels = (np.random.default_rng(seed).random((examples, 3)) < 0.3).astype(np.float32)
    kept, held = hold_out(labels, fraction, seed, NAMES, 'test')
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(examples))
    assert len(held) == np.ceil(fraction * examples)
    if several:
        wanted = labels.sum(axis=0) * len(held) / examples
        assert np.abs(labels[held].sum(axis=0) - wanted).max() < 4
    else:
        same = next(ShuffleSplit(1, test_size=fraction, random_state=seed).split(labels))
        np.testing.assert_array_equal(held, np.sort(same[1]))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 6), min_size=4, max_size=30), st.floats(0.1, 0.6), st.integers(0, 9))
def test_hold_out_keeps_groups_whole(sizes, fraction, seed):
    generator = np.random.default_rng(seed)
    sizes = [*sizes, 6]
    member = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    groups = [f'g{number}' for number in member]
    for labels in (np.zeros(len(member), np.int32), (generator.random((len(member), 3)) < 0.9).astype(np.float32)):
        kept, held = hold_out(labels, fraction, seed, NAMES, 'test', groups)
        assert not set(member[kept]) & set(member[held])
        assert len(kept)
        assert len(held)
        np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(len(member)))
        # Moving the smallest group would help, were the share further off than half of the largest.
        assert labels.ndim > 1 or abs(len(held) - fraction * len(member)) <= max(sizes) / 2
        np.testing.assert_array_equal(hold_out(labels, fraction, seed, NAMES, 'test', groups)[1], held)


def test_hold_out_of_singletons_is_as_without_groups():
    labels = np.repeat(np.arange(3), 10).astype(np.int32)
    plain = hold_out(labels, 0.3, 5, NAMES, 'test')[1]
    np.testing.assert_array_equal(hold_out(labels, 0.3, 5, NAMES, 'test', [str(i) for i in range(30)])[1], plain)
    pairs = hold_out(labels, 0.2, 5, NAMES, 'test', [str(i // 2) for i in range(30)])[1]
    np.testing.assert_array_equal(np.bincount(labels[pairs]), [2, 2, 2])


def test_hold_out_of_groups_depends_on_the_seed_and_zero_is_a_seed():
    labels = np.repeat(np.arange(3), 40).astype(np.int32)
    groups = [str(index // 2) for index in range(120)]
    draws = [tuple(hold_out(labels, 0.3, seed, NAMES, 'test', groups)[1]) for seed in (0, 1, 2, 0)]
    assert len(set(draws)) == 3
    assert draws[0] == draws[3]


@pytest.mark.parametrize('unlabelled', [1, 2, 5])
def test_examples_without_a_label_are_shared_out_too(unlabelled):
    labels = np.repeat(np.arange(4), (10, 10, 10, unlabelled)).astype(np.int32)
    kept, held = hold_out(labels, 0.4, 0, NAMES, 'test')
    assert len(kept) + len(held) == 30 + unlabelled
    assert np.abs(np.bincount(labels[held], minlength=4) - 0.4 * np.bincount(labels)).max() <= 1


@pytest.mark.parametrize(
    ('labels', 'groups', 'message'),
    [
        (
            np.zeros(1, np.int32),
            None,
            r'holding out 0.5 of 1 examples for test leaves none to train on; change data.te',
        ),
        (np.zeros((1, 3), np.float32), None, r'holding out 0.5 of 1 examples for test'),
        (np.zeros(4, np.int32), 'aaaa', r"all 4 examples are one group \('a'\): none can be held out for test; set"),
        (np.arange(4, dtype=np.int32) // 2, 'aabb', r'all groups have a class that no other group has: none can be he'),
    ],
)
def test_hold_out_says_why_it_cannot(labels, groups, message):
    with pytest.raises(UserError, match=message):
        hold_out(labels, 0.5, 0, NAMES, 'test', groups)
