"""Tests of jtransfer/data/split/multi_label_folds.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_multilabel_classification
from sklearn.model_selection import KFold

from jtransfer.data.split.multi_label_folds import iterative_stratification, multi_label_folds


def _independent(seed):
    generator = np.random.default_rng(seed)
    return generator.random((400, 12)) < generator.uniform(0.02, 0.4, 12)


def _rare(seed):
    return np.random.default_rng(seed).random((400, 25)) < 0.5 / np.arange(1, 26) ** 1.2


def _mixed(seed):
    return make_multilabel_classification(400, n_classes=15, n_labels=3, random_state=seed)[1]


def _deviation(labels, part, folds):
    """Mean over labels and folds of how far the odds of a label in a fold are from those in all (Sechidis, 2011)."""
    whole = labels.sum(axis=0) / (labels == 0).sum(axis=0)
    inside = [labels[part == fold].sum(axis=0) / (labels[part == fold] == 0).sum(axis=0) for fold in range(folds)]
    return np.abs(np.array(inside) - whole).mean()


@pytest.mark.parametrize(('make', 'bound'), [(_independent, 0.013), (_rare, 0.006), (_mixed, 0.013)])
def test_labels_are_shared_out_much_better_than_at_random(make, bound):
    ours, random = [], []
    for seed in range(4):
        labels = make(seed).astype(np.float32)
        part = multi_label_folds(labels, 5, seed)
        np.testing.assert_array_equal(np.bincount(part), [80] * 5)
        ours.append(_deviation(labels, part, 5))
        part = np.empty(len(labels), int)
        for fold, (_, test) in enumerate(KFold(5, shuffle=True, random_state=seed).split(labels)):
            part[test] = fold
        random.append(_deviation(labels, part, 5))
    assert np.mean(ours) < bound
    assert np.mean(ours) < np.mean(random) / 2


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(2, 5), st.integers(5, 60), st.integers(1, 5), st.floats(0, 1), st.integers(0, 99))
def test_folds_are_of_one_size_and_singletons_are_no_groups(folds, examples, classes, share, seed):
    labels = (np.random.default_rng(seed).random((examples, classes)) < share).astype(np.float32)
    part = multi_label_folds(labels, folds, seed)
    counts = np.bincount(part, minlength=folds)
    assert counts.max() - counts.min() <= 1
    assert len(counts) == folds
    np.testing.assert_array_equal(multi_label_folds(labels, folds, seed), part)
    names = [f'g{index}' for index in range(examples)][::-1]
    np.testing.assert_array_equal(multi_label_folds(labels, folds, seed, names), part)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(2, 5), st.lists(st.integers(1, 9), min_size=5, max_size=20), st.integers(0, 99))
def test_groups_stay_whole_and_no_fold_is_empty(folds, sizes, seed):
    generator = np.random.default_rng(seed)
    member = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    labels = (generator.random((len(member), 3)) < 0.3).astype(np.float32)
    part = multi_label_folds(labels, folds, seed, [f'g{number}' for number in member])
    assert set(part) == set(range(folds))
    assert all(len(set(part[member == group])) == 1 for group in range(len(sizes)))
    renamed = multi_label_folds(labels, folds, seed, [f'{-number}' for number in member])
    np.testing.assert_array_equal(renamed, part)


@pytest.mark.parametrize(('groups', 'classes', 'bound'), [(100, 4, 0.02), (300, 10, 0.03)])
def test_groups_are_stratified_by_the_sums_of_their_labels(groups, classes, bound):
    generator = np.random.default_rng(0)
    member = np.repeat(np.arange(groups), generator.integers(1, 9, groups))
    shares = generator.dirichlet(np.ones(classes), groups)[member]
    labels = (generator.random((len(member), classes)) < shares).astype(np.float32)
    part = multi_label_folds(labels, 5, 0, [str(number) for number in member])
    inside = np.array([labels[part == fold].sum(axis=0) for fold in range(5)]) / labels.sum(axis=0)
    assert np.abs(inside - 0.2).max() < bound
    assert np.abs(np.bincount(part) / len(part) - 0.2).max() < 0.01


def test_a_label_of_as_many_examples_as_folds_is_in_each():
    labels = np.zeros((50, 2), np.float32)
    labels[:5, 0] = labels[:, 1] = 1
    assert set(multi_label_folds(labels, 5, 3)[:5]) == set(range(5))


def test_parts_have_the_sizes_asked_for():
    labels = _rare(0).astype(np.float32)
    part = iterative_stratification(labels, (320, 80), 0)
    np.testing.assert_array_equal(np.bincount(part), (320, 80))
    assert np.abs(labels[part == 1].sum(axis=0) - labels.sum(axis=0) / 5).max() < 2


def test_zero_is_a_seed():
    labels = _mixed(0).astype(np.float32)
    assert len({tuple(multi_label_folds(labels, 4, seed)) for seed in (0, 1, 2, 0)}) == 3
