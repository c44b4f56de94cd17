"""Tests and intervals over folds, against scipy, closed forms and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jtransfer.errors import UserError
from jtransfer.evaluate import folds as f

DIFFERENCES = [0.02, 0.01, 0.03, -0.01, 0.02]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20).filter(lambda v: np.std(v) > 1e-6))
def test_without_correction_it_is_the_plain_t_test(values):
    got, expected = f.corrected_resampled_t(values, 0.0, 0.9), stats.ttest_1samp(values, 0.0)
    interval = expected.confidence_interval(0.9)
    assert (got.t, got.p, got.degrees) == pytest.approx((expected.statistic, expected.pvalue, len(values) - 1))
    assert (got.low, got.high) == pytest.approx((interval.low, interval.high))


def test_closed_form_of_five_folds():
    got = f.corrected_resampled_t(DIFFERENCES, 0.25)
    # mean 0.014; squared distances 0.36 + 0.16 + 2.56 + 5.76 + 0.36 = 9.2e-4, over 4: 2.3e-4; times 1/5 + 1/4.
    error = math.sqrt(2.3e-4 * 0.45)
    assert (got.mean, got.standard_error, got.t, got.degrees) == pytest.approx((0.014, error, 0.014 / error, 4))
    assert got.p == pytest.approx(2 * (1 - stats.t.cdf(0.014 / error, 4)))
    # 2.7764 is the 97.5% point of Student's t with 4 degrees of freedom in any table.
    assert (got.low, got.high) == pytest.approx((0.014 - 2.7764 * error, 0.014 + 2.7764 * error), rel=1e-4)
    assert got.p > stats.ttest_1samp(DIFFERENCES, 0.0).pvalue


def test_equal_differences():
    none, some = f.corrected_resampled_t([0.0] * 3, 0.5), f.corrected_resampled_t([-0.1] * 3, 0.5)
    assert (none.t, none.p, none.low, none.high) == (0, 1, 0, 0)
    assert (some.t, some.p, some.standard_error) == (-math.inf, 0, 0)
    assert some.low == some.high == some.mean


@pytest.mark.parametrize(
    ('values', 'ratio', 'confidence', 'message'),
    [
        ([0.1], 0.2, 0.95, 'two folds or more, not 1'),
        ([0.1, math.nan], 0.2, 0.95, 'finite'),
        ([0.1, 0.2], -1.0, 0.95, 'ratio'),
        ([0.1, 0.2], math.inf, 0.95, 'ratio'),
        ([0.1, 0.2], 0.2, 1.0, 'confidence'),
    ],
)
def test_what_cannot_be_tested_is_refused(values, ratio, confidence, message):
    with pytest.raises(UserError, match=message):
        f.corrected_resampled_t(values, ratio, confidence)


def test_correction_restores_the_level_where_folds_correlate_as_assumed():
    # Of the same correlation as the method assumes, n_test / (n_test + n_train) = 1/5, the corrected test rejects a
    # true null in 5% of cases; the plain one far more often.
    rng = np.random.default_rng(0)
    shared, own = rng.normal(0, math.sqrt(0.2), (4000, 1)), rng.normal(0, math.sqrt(0.8), (4000, 5))
    rejected = np.mean([f.corrected_resampled_t(row, 0.25).p < 0.05 for row in shared + own])
    plain = np.mean(stats.ttest_1samp(shared + own, 0.0, axis=1).pvalue < 0.05)
    assert rejected == pytest.approx(0.05, abs=0.012)
    assert plain > 0.1


def test_interval_of_the_mean_score():
    scores = [0.9, 0.8, 0.85, 0.95, 0.9]
    got, test = f.fold_interval(scores, 0.25, 0.9), f.corrected_resampled_t(scores, 0.25, 0.9)
    assert (got.mean, got.sd, got.confidence) == pytest.approx((0.88, np.std(scores, ddof=1), 0.9))
    assert (got.low, got.high, got.standard_error) == (test.low, test.high, test.standard_error)


def test_mcnemar_is_a_binomial_test_of_the_disagreements():
    a = np.array([True] * 9 + [False] * 2 + [True] * 20 + [False] * 5)
    b = np.array([False] * 9 + [True] * 2 + [True] * 20 + [False] * 5)
    got = f.mcnemar(a, b)
    # 2 (C(11,0) + C(11,1) + C(11,2)) / 2^11
    assert (got.only_a, got.only_b, got.p) == (9, 2, pytest.approx(2 * (1 + 11 + 55) / 2048))
    assert f.mcnemar(b, a).p == got.p
    assert f.mcnemar(a, a) == f.McNemar(0, 0, 1.0)


def test_paired_bootstrap_is_seeded_and_near_the_normal_interval():
    rng = np.random.default_rng(5)
    a, b = rng.random(400) < 0.8, rng.random(400) < 0.7
    got = f.paired_bootstrap(a, b)
    assert got == f.paired_bootstrap(a, b, seed=0)
    assert got != f.paired_bootstrap(a, b, seed=1)
    difference = a.astype(float) - b
    error = difference.std() / math.sqrt(400)
    assert got.mean == pytest.approx(difference.mean())
    assert (got.low, got.high) == pytest.approx((got.mean - 1.96 * error, got.mean + 1.96 * error), abs=0.1 * error)
    losses = f.paired_bootstrap(rng.random(50), rng.random(50), resamples=100)
    assert losses.low < losses.mean < losses.high


@pytest.mark.parametrize('compare', [f.mcnemar, f.paired_bootstrap])
def test_pairs_must_be_pairs(compare):
    with pytest.raises(UserError, match='3 and 2 examples'):
        compare(np.ones(3, bool), np.ones(2, bool))
    with pytest.raises(UserError, match='no examples'):
        compare(np.zeros(0, bool), np.zeros(0, bool))
