"""Tests of jtransfer/tasks/class_balance.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from jtransfer.errors import UserError
from jtransfer.tasks.class_balance import class_weights

COUNTS = st.lists(st.integers(1, 50), min_size=2, max_size=6)
SMALL = settings(max_examples=40, deadline=None, derandomize=True)


def labels_of(counts):
    return np.repeat(np.arange(len(counts)), counts).astype(np.int32)


@SMALL
@given(COUNTS)
def test_inverse_is_scikit_learns_but_for_the_scale(counts):
    labels = labels_of(counts)
    weights = np.array(class_weights(labels, len(counts), 'inverse', 0.5))
    theirs = compute_class_weight('balanced', classes=np.arange(len(counts)), y=labels)
    np.testing.assert_allclose(weights / weights[0], theirs / theirs[0], rtol=1e-12)
    assert weights.mean() == pytest.approx(1)


@SMALL
@given(COUNTS, st.sampled_from([0.0, 0.5, 0.9, 0.99]))
def test_the_effective_number_is_the_sum_of_powers(counts, beta):
    weights = np.array(class_weights(labels_of(counts), len(counts), 'effective_number', beta))
    number = np.array([sum(beta**i for i in range(n)) for n in counts])
    np.testing.assert_allclose(weights * number, (weights * number)[0], rtol=1e-9)
    assert weights.mean() == pytest.approx(1)


def test_the_limits_of_beta():
    labels = labels_of([1, 4, 10, 400])
    assert class_weights(labels, 4, 'effective_number', 0.0) == (1.0, 1.0, 1.0, 1.0)
    near_one = class_weights(labels, 4, 'effective_number', 1 - 1e-13)
    np.testing.assert_allclose(near_one, class_weights(labels, 4, 'inverse', 0.0), rtol=1e-3)


@pytest.mark.parametrize('balance', ['inverse', 'effective_number'])
def test_several_labels_count_the_images_that_have_each(balance):
    several = np.array([[1, 0, 1], [1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]], np.float32)
    assert class_weights(several, 3, balance, 0.9) == pytest.approx(
        class_weights(labels_of([4, 1, 2]), 3, balance, 0.9), rel=1e-12
    )


@pytest.mark.parametrize(
    ('labels', 'balance', 'message'),
    [
        (labels_of([3, 0, 2]), 'inverse', 'loss.class_balance=inverse: class 1 of 0 to 3 has no .* by \\(2 such\\)'),
        (np.eye(4, dtype=np.float32)[:3], 'effective_number', 'class 3 of 0 to 3 has no training example'),
        (labels_of([1, 1, 1, 1]), 'inverted', "loss.class_balance='inverted' .* Did you mean 'inverse'"),
    ],
)
def test_what_cannot_be_weighed_is_refused(labels, balance, message):
    with pytest.raises(UserError, match=message):
        class_weights(labels, 4, balance, 0.9)
