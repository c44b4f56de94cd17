"""Rankings against scikit-learn, and the interval against resampling one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from jtransfer.tasks.metrics.ranking import average_precision, mean_precision_interval, resamples_for, roc_auc


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=12))
def test_ranking_of_few_tied_scores(data):
    scores, truth = (np.array(column) for column in zip(*data, strict=True))
    scores = scores.astype(np.float64)
    if not truth.any():
        assert average_precision(scores, truth) is None
    else:
        assert average_precision(scores, truth) == pytest.approx(reference.average_precision_score(truth, scores))
    if truth.all() or not truth.any():
        assert roc_auc(scores, truth) is None
    else:
        assert roc_auc(scores, truth) == pytest.approx(reference.roc_auc_score(truth, scores))


def test_interval_is_seeded_and_equals_resampling_one_by_one():
    rng = np.random.default_rng(3)
    truth = rng.random((40, 5)) < np.linspace(0.05, 0.7, 5)
    logits = rng.normal(size=(40, 5)) + 2 * truth
    got = mean_precision_interval(logits, truth, resamples=200, seed=0)
    assert got == mean_precision_interval(logits, truth, resamples=200, seed=0)
    assert got != mean_precision_interval(logits, truth, resamples=200, seed=1)
    rng = np.random.default_rng((0, 61))
    means = []
    for counts in rng.multinomial(40, np.full(40, 1 / 40), 200):
        rows = np.repeat(np.arange(40), counts)
        of_class = [average_precision(logits[rows, i], truth[rows, i]) for i in range(5)]
        means.append(np.mean([value for value in of_class if value is not None]))
    assert got == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_large_data_sets_get_fewer_resamples():
    assert [resamples_for(size) for size in (100, 100_000, 10**7, 10**9)] == [1000, 200, 50, 50]
