"""Tests of jtransfer/data/derive/studies.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jtransfer.data.derive.studies import long_tail, noisy_labels, unlabelled
from jtransfer.errors import UserError

NAMES = ('ant', 'bee', 'cat', 'dog')
SMALL = settings(max_examples=40, deadline=None, derandomize=True)
SEEDS = st.integers(0, 5)
RATES = st.floats(0, 1)


@st.composite
def class_numbers(draw):
    """Class numbers in any order, of every class one at least, and -1 among them."""
    some = draw(st.lists(st.integers(-1, 3), max_size=40))
    return np.array(draw(st.permutations([0, 1, 2, 3, *some])), np.int32)


@SMALL
@given(class_numbers(), st.floats(1, 100), SEEDS)
def test_the_sizes_of_the_classes_fall_exponentially(labels, ratio, seed):
    kept = long_tail(labels, ratio, seed, NAMES)
    assert np.array_equal(np.unique(kept), kept)
    sizes = [int((labels == label).sum()) for label in range(len(NAMES))]
    ranks = sorted(range(len(NAMES)), key=lambda label: (-sizes[label], label))
    assert (labels[kept] >= 0).all()
    for rank, label in enumerate(ranks):
        wanted = round(max(sizes) / ratio ** (rank / 3))
        assert (labels[kept] == label).sum() == max(1, min(wanted, sizes[label]))


def test_the_long_tail_of_a_balanced_set_is_the_published_one():
    # CIFAR-10 with an imbalance of 100, as in Cui et al. (2019): 5000 to 50, a factor of 100^(1/9) from class to class.
    labels = np.repeat(np.arange(10), 5000).astype(np.int32)
    kept = long_tail(labels, 100.0, 0, [str(label) for label in range(10)])
    published = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]  # rounded down there
    assert np.abs(np.bincount(labels[kept]) - published).max() <= 1


@SMALL
@given(class_numbers(), st.floats(1, 50), st.floats(1, 3), SEEDS)
def test_a_longer_tail_is_drawn_from_a_shorter_one(labels, ratio, factor, seed):
    assert set(long_tail(labels, ratio * factor, seed, NAMES)) <= set(long_tail(labels, ratio, seed, NAMES))


@SMALL
@given(class_numbers(), RATES, SEEDS)
def test_symmetric_noise_changes_exactly_its_share(labels, rate, seed):
    noisy, changed = noisy_labels(labels, rate, 'symmetric', seed, 4)
    np.testing.assert_array_equal(noisy != labels, changed)
    assert changed.sum() == round(rate * (labels >= 0).sum())
    assert not changed[labels < 0].any()
    assert noisy.dtype == np.int32
    assert noisy[changed].size == 0 or 0 <= noisy[changed].min() <= noisy[changed].max() < 4


@SMALL
@given(class_numbers(), RATES, SEEDS)
def test_asymmetric_noise_makes_its_share_of_each_class_the_next(labels, rate, seed):
    noisy, changed = noisy_labels(labels, rate, 'asymmetric', seed, 4)
    np.testing.assert_array_equal(noisy, np.where(changed, (labels + 1) % 4, labels))
    for label in range(4):
        assert changed[labels == label].sum() == round(rate * (labels == label).sum())
    assert not changed[labels < 0].any()


@SMALL
@given(class_numbers(), RATES, RATES, st.sampled_from(['symmetric', 'asymmetric']), SEEDS)
def test_more_noise_is_the_same_and_more(labels, one, other, kind, seed):
    few, changed = noisy_labels(labels, min(one, other), kind, seed, 4)
    many, more = noisy_labels(labels, max(one, other), kind, seed, 4)
    assert more[changed].all()
    np.testing.assert_array_equal(many[changed], few[changed])


def test_symmetric_noise_is_uniform_over_the_other_classes():
    labels = np.repeat(np.arange(4), 6000).astype(np.int32)
    noisy, changed = noisy_labels(labels, 0.5, 'symmetric', 0, 4)
    assert changed.sum() == 12000
    table = np.zeros((4, 4))
    np.add.at(table, (labels[changed], noisy[changed]), 1)
    assert (np.diag(table) == 0).all()
    np.testing.assert_allclose(table[~np.eye(4, dtype=bool)], 1000, rtol=0.15)


@SMALL
@given(class_numbers(), st.floats(0.05, 0.95), SEEDS)
def test_every_class_loses_its_share_of_labels_and_never_all(labels, fraction, seed):
    expected = {
        label: min(round(fraction * n), n - 1) for label, n in zip(*np.unique(labels, return_counts=True), strict=True)
    }
    if not any(expected.values()):
        with pytest.raises(UserError, match='sets none apart'):
            unlabelled(labels, fraction, seed)
        return
    with_labels, without = unlabelled(labels, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([with_labels, without])), np.arange(len(labels)))
    for part in (with_labels, without):
        np.testing.assert_array_equal(np.sort(part), part)
    for label, number in expected.items():
        assert (labels[without] == label).sum() == number


@SMALL
@given(class_numbers(), st.floats(0.5, 0.95), st.floats(0.5, 0.95), SEEDS)
def test_a_larger_part_without_labels_contains_the_smaller(labels, one, other, seed):
    labels = np.tile(labels, 2)
    smaller, larger = (unlabelled(labels, fraction, seed)[1] for fraction in sorted([one, other]))
    assert set(smaller) <= set(larger)


def test_several_labels_keep_their_shares():
    labels = (np.random.default_rng(0).uniform(size=(200, 3)) < (0.1, 0.3, 0.6)).astype(np.float32)
    with_labels, without = unlabelled(labels, 0.25, 0)
    assert len(without) == 50
    np.testing.assert_array_equal(np.sort(np.concatenate([with_labels, without])), np.arange(200))
    np.testing.assert_allclose(labels[without].sum(0), labels.sum(0) / 4, atol=1)


def test_seeds_give_other_draws_and_zero_is_one():
    labels = np.repeat(np.arange(4), 20).astype(np.int32)
    several = np.eye(4, dtype=np.float32)[labels]
    draws = [
        lambda seed: long_tail(labels, 5.0, seed, NAMES),
        lambda seed: noisy_labels(labels, 0.5, 'symmetric', seed, 4)[0],
        lambda seed: noisy_labels(labels, 0.5, 'asymmetric', seed, 4)[0],
        lambda seed: unlabelled(labels, 0.5, seed)[1],
        lambda seed: unlabelled(several, 0.5, seed)[1],
    ]
    for draw in draws:
        assert len({tuple(draw(seed)) for seed in (0, 0, 1, 2)}) == 3


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda y: long_tail(np.eye(4), 2.0, 0, NAMES), 'data.imbalance is for one label an image'),
        (lambda y: long_tail(y, 0.5, 0, NAMES), 'data.imbalance=0.5 must be at least 1'),
        (lambda y: long_tail(y, 2.0, 0, (*NAMES, 'eel')), "data.imbalance=2: class 'eel' has no examples"),
        (lambda y: noisy_labels(np.eye(4), 0.2, 'symmetric', 0, 4), 'data.label_noise is for one label an image'),
        (lambda y: noisy_labels(y, 1.2, 'symmetric', 0, 4), 'data.label_noise=1.2 must be between 0 and 1'),
        (lambda y: noisy_labels(y, 0.2, 'symetric', 0, 4), "Did you mean 'symmetric'"),
        (lambda y: noisy_labels(y * 0, 0.2, 'symmetric', 0, 1), 'with 1 class there is no wrong label'),
        (lambda y: unlabelled(y, 1.0, 0), 'data.unlabelled_fraction=1.0 must be above 0 and below 1'),
        (lambda y: unlabelled(y, 0.01, 0), 'data.unlabelled_fraction=0.01 of 4 training examples sets none apart'),
        (lambda y: unlabelled(np.eye(4)[y], 0.01, 0), 'sets none apart'),
    ],
)
def test_studies_that_make_no_sense_are_refused(call, message):
    with pytest.raises(UserError, match=message):
        call(np.arange(4, dtype=np.int32))
