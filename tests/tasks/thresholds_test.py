"""From which probability on a class is predicted."""

import numpy as np
import pytest
from scipy.special import expit

from jtransfer.tasks.thresholds import fit_thresholds


def test_thresholds_of_clear_cases():
    logits = np.float32([[4, 2, -1], [2, -2, -1], [-2, 1, 0]])
    labels = np.float32([[1, 0, 0], [1, 0, 0], [0, 1, 0]])
    first, second, empty = fit_thresholds(logits, labels)
    assert first == pytest.approx((expit(2) + expit(-2)) / 2)
    # The negative above it cannot be told from the positive: both are predicted, F1 2/3.
    assert second == pytest.approx((expit(1) + expit(-2)) / 2)
    assert empty == 0.5
    missing = np.float32([[np.nan, np.nan, np.nan]])
    with_missing = fit_thresholds(np.concatenate([logits, np.float32([[9, 9, 9]])]), np.concatenate([labels, missing]))
    assert with_missing == (first, second, empty)
