"""What one label an image is measured by: closed forms, and mistakes by hand."""

import math

import numpy as np
import pytest
from scipy.special import log_softmax

from jtransfer.tasks.metrics import class_figures as m
from jtransfer.tasks.metrics.class_figures import most_confused

MATRIX = np.array([[8, 2, 0], [0, 5, 5], [0, 0, 0]])


def test_wilson_interval_is_the_closed_form():
    successes, trials, z = 18, 20, 1.959963984540054
    p = successes / trials
    centre = (p + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * math.sqrt(p * (1 - p) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    assert m.wilson_interval(successes, trials) == pytest.approx((centre - half, centre + half))
    assert m.wilson_interval(20, 20)[1] == pytest.approx(1.0)
    assert m.wilson_interval(20, 20)[0] < 0.9


def test_top_prediction_is_the_largest_softmax(monkeypatch):
    monkeypatch.setattr(m, '_BLOCK', 7)
    logits = np.random.default_rng(1).normal(0, 2, (30, 7)).astype(np.float32)
    predicted, probability = m.top_prediction(logits)
    np.testing.assert_array_equal(predicted, logits.argmax(1))
    np.testing.assert_allclose(probability, np.exp(log_softmax(np.float64(logits), axis=1)).max(1), rtol=1e-12)


def test_most_confused_pairs():
    pairs = most_confused(MATRIX, ['a', 'b', 'c'], 5)
    assert [(p.label, p.predicted, p.count, p.share) for p in pairs] == [('b', 'c', 5, 0.5), ('a', 'b', 2, 0.2)]
    assert len(most_confused(MATRIX, ['a', 'b', 'c'], 1)) == 1
    assert most_confused(np.eye(3, dtype=int), ['a', 'b', 'c'], 5) == []
    assert MATRIX[0, 0] == 8  # the argument is left alone
