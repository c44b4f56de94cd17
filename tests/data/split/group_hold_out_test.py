"""Tests of jtransfer/data/split/group_hold_out.py."""

import itertools

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from jtransfer.data.split.group_hold_out import hold_groups


def _grouped(groups, classes, seed):
    generator = np.random.default_rng(seed)
    member = np.repeat(np.arange(groups), np.maximum(1, generator.geometric(0.1, groups)))
    shares = generator.dirichlet(np.ones(classes) / 2, groups)
    labels = np.array([generator.choice(classes, p=shares[group]) for group in member])
    return np.unique(labels, return_inverse=True)[1].astype(np.int32), member


def _error(labels, held, fraction):
    shares = np.bincount(labels, held) / np.bincount(labels) - fraction
    return (held.mean() - fraction) ** 2 + np.mean(shares**2), shares.max() + fraction < 1


@pytest.mark.parametrize('fraction', [0.1, 0.25, 0.6])
@pytest.mark.parametrize('seed', range(4))
def test_of_few_groups_the_best_choice_is_found(fraction, seed):
    labels, member = _grouped(8, 2, seed)
    choices = [np.array(bits, bool)[member] for bits in itertools.product((0, 1), repeat=8)]
    scores = [_error(labels, held, fraction) for held in choices if held.any()]
    best = min(error for error, allowed in scores if allowed)
    found = _error(labels, hold_groups(labels, member, fraction, seed), fraction)
    assert found == (pytest.approx(best), True)


def test_shares_are_nearer_than_those_of_a_stratified_fold():
    ours, folds = [], []
    for seed in range(5):
        labels, member = _grouped(40, 6, seed)
        ours.append(_error(labels, hold_groups(labels, member, 0.2, seed), 0.2)[0])
        divisions = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, member)
        masks = [np.isin(np.arange(len(labels)), test) for _, test in divisions]
        folds.append(min(_error(labels, mask, 0.2)[0] for mask in masks))
    assert np.mean(ours) < np.mean(folds) / 2


def test_a_class_of_one_group_is_kept_and_none_can_go_when_all_have_one():
    labels, member = np.array([0, 0, 1, 1, 0, 0], np.int32), np.array([0, 0, 1, 1, 2, 2])
    for seed in range(5):
        held = hold_groups(labels, member, 0.9, seed)
        assert held.sum() == 2
        assert not held[2:4].any()
    assert hold_groups(labels, np.array([0, 0, 1, 1, 0, 0]), 0.5, 0) is None
    assert hold_groups(np.eye(2, dtype=np.float32)[[0, 0, 1, 1]], np.array([0, 0, 1, 1]), 0.5, 0) is None


def test_images_without_any_label_are_held_out_too():
    held = hold_groups(np.zeros((40, 3), np.float32), np.arange(40) // 2, 0.25, 0)
    assert held.sum() == 10
