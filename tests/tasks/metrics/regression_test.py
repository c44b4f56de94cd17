"""Numbers: against scikit-learn and scipy, and the intervals against resampling one by one."""

import json

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn import metrics as reference

from jtransfer.errors import UserError
from jtransfer.tasks.metrics.regression import regression_metrics


def random_case(seed=0, examples=80, numbers=3):
    rng = np.random.default_rng(seed)
    truth = rng.normal([0, 100, 1e5], [1, 20, 3], (examples, numbers))
    return truth + rng.normal(0, [0.5, 10, 1], truth.shape), truth


def test_agrees_with_scikit_learn():
    predicted, truth = random_case()
    got = regression_metrics(predicted, truth, 'abc')
    assert got.r2 == got.score == pytest.approx(reference.r2_score(truth, predicted))
    assert got.mae == pytest.approx(reference.mean_absolute_error(truth, predicted))
    assert got.rmse == pytest.approx(reference.root_mean_squared_error(truth, predicted))
    assert got.loss == pytest.approx(reference.mean_squared_error(truth, predicted))
    for i, entry in enumerate(got.per_number):
        assert entry.r2 == pytest.approx(reference.r2_score(truth[:, i], predicted[:, i]))
        assert entry.mae == pytest.approx(reference.mean_absolute_error(truth[:, i], predicted[:, i]))
        assert entry.rmse == pytest.approx(reference.root_mean_squared_error(truth[:, i], predicted[:, i]))
        assert entry.pearson == pytest.approx(pearsonr(predicted[:, i], truth[:, i]).statistic)
    assert got.pearson == pytest.approx(np.mean([entry.pearson for entry in got.per_number]))


def test_intervals_equal_resampling_one_by_one():
    predicted, truth = random_case(1, examples=30)
    got = regression_metrics(predicted, truth, 'abc', confidence=0.9, seed=3)
    assert got.to_dict() == regression_metrics(predicted, truth, 'abc', confidence=0.9, seed=3).to_dict()
    assert got.r2_interval != regression_metrics(predicted, truth, 'abc', confidence=0.9, seed=4).r2_interval
    rng = np.random.default_rng((3, 62))
    assert got.resamples == 1000
    r2, mae = [], []
    for counts in rng.multinomial(30, np.full(30, 1 / 30), got.resamples):
        rows = np.repeat(np.arange(30), counts)
        error = truth[rows] - predicted[rows]
        r2.append(1 - (error**2).sum(0) / ((truth[rows] - truth[rows].mean(0)) ** 2).sum(0))
        mae.append(np.abs(error).mean(0))
    levels = [0.05, 0.95]
    assert got.r2_interval == pytest.approx(tuple(np.quantile(np.mean(r2, axis=1), levels)))
    for i, entry in enumerate(got.per_number):
        assert entry.r2_interval == pytest.approx(tuple(np.quantile(np.array(r2)[:, i], levels)), rel=1e-6)
        assert entry.mae_interval == pytest.approx(tuple(np.quantile(np.array(mae)[:, i], levels)))
        assert entry.r2_interval[0] < entry.r2 < entry.r2_interval[1]
        assert entry.rmse_interval[0] < entry.rmse < entry.rmse_interval[1]


@pytest.mark.parametrize('value', [0.0, 0.1, 1e6 / 3])
@pytest.mark.parametrize(('off', 'r2'), [(0.0, 1.0), (1.0, 0.0)])
def test_constant_numbers_follow_scikit_learn(value, off, r2):
    truth = np.full((7, 1), value)
    got = regression_metrics(truth + off, truth, ['a'])
    assert got.r2 == r2 == reference.r2_score(np.zeros(7), np.full(7, off))
    assert got.per_number[0].r2_interval == (r2, r2)
    assert got.pearson is None
    json.dumps(got.to_dict(), allow_nan=False)


def test_a_single_example():
    got = regression_metrics(np.array([[2.0]]), np.array([[1.0]]), ['a'])
    assert (got.examples, got.mae, got.rmse, got.r2) == (1, 1.0, 1.0, 0.0)


def test_headline_json_and_picture():
    predicted, truth = random_case(2, examples=2500)
    got = regression_metrics(predicted[:, :1], truth[:, :1], ['age'])
    low, high = got.r2_interval
    assert got.headline() == (
        f'R² {got.r2:.3f} (95% interval {low:.3f} to {high:.3f}), absolute error {got.mae:.4g} on 2,500 examples'
    )
    assert got.shown_true.shape == got.shown_predicted.shape == (1000, 1)
    values = json.loads(json.dumps(got.to_dict(), allow_nan=False))
    assert values['per_number'][0]['mae_interval'] == list(got.per_number[0].mae_interval)
    assert not [key for key in values if key.startswith('shown')]


@pytest.mark.parametrize(
    ('predicted', 'truth', 'names', 'message'),
    [
        (np.zeros((0, 1)), np.zeros((0, 1)), 'a', 'no examples'),
        (np.zeros((2, 1)), np.zeros((2, 1)), 'ab', '2 names for 1'),
        (np.array([[0.0], [np.inf]]), np.zeros((2, 1)), 'a', r'predicted numbers of 1 of 2 .* example 1'),
        (np.zeros((2, 1)), np.array([[np.nan], [0.0]]), 'a', r'true numbers of 1 of 2 .* example 0'),
    ],
)
def test_what_cannot_be_measured_is_refused(predicted, truth, names, message):
    with pytest.raises(UserError, match=message):
        regression_metrics(predicted, truth, list(names))
