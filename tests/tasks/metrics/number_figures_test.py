"""What numbers are measured by; against references in the tests of the metrics."""

import numpy as np
import pytest

from jtransfer.tasks.metrics.number_figures import errors, pearson


def test_rows_of_weights_count_examples_as_often():
    predicted, truth = np.array([[1.0], [2.0], [4.0]]), np.array([[1.0], [3.0], [2.0]])
    mae, rmse, _ = errors(np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 3.0]]), predicted, truth)
    assert mae[:, 0] == pytest.approx([1.0, 7 / 4])
    assert rmse[:, 0] == pytest.approx(np.sqrt([5 / 3, 13 / 4]))


def test_what_is_all_the_same_has_no_correlation():
    assert pearson(np.ones(3), np.arange(3.0)) is None
    assert pearson(np.arange(3.0), 2 * np.arange(3.0)) == pytest.approx(1.0)
