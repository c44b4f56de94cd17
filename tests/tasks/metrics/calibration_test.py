"""The reliability diagram; the error itself is in the tests of the metrics."""

import numpy as np
import pytest

from jtransfer.tasks.metrics.calibration import calibration_bins, reliability


def test_a_reliability_diagram_leaves_empty_bins_out():
    table = calibration_bins(np.array([0.9, 0.8, 0.85, 0.3]), np.array([True, True, False, False]), bins=4)
    low, high = reliability(table).bars
    assert (low.low, low.high, low.height, low.weight) == (0.25, 0.5, 0.0, 1)
    assert high.height == pytest.approx(2 / 3)
    assert high.mark == pytest.approx(0.85)
    assert high.text.startswith('3 predictions at 75% to 100%')
