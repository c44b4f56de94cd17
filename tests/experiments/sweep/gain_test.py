"""Gains and their intervals, against scipy."""

import numpy as np
import pytest
from scipy import stats

from jtransfer.experiments.sweep.gain import gain

ONE, OTHER = (0.9, 0.95, 0.91, 0.93), (0.8, 0.7, 0.75, 0.82)


def test_runs_of_the_same_seeds_are_paired_whatever_their_order():
    seeds = ('0', '1', '2', '3')
    expected = stats.ttest_rel(ONE, OTHER).confidence_interval(0.95)
    for order in ((0, 1, 2, 3), (3, 1, 0, 2)):
        found = gain(ONE, seeds, [OTHER[i] for i in order], [seeds[i] for i in order])
        assert found.paired
        assert found.mean == pytest.approx(np.mean(ONE) - np.mean(OTHER))
        assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_runs_of_other_seeds_are_independent():
    found = gain(ONE, ('0', '1', '2', '3'), OTHER[:3], ('0', '1', '2'))
    expected = stats.ttest_ind(ONE, OTHER[:3], equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high, found.paired) == (*(pytest.approx(end) for end in expected), False)


def test_one_run_a_side_has_no_interval_and_equal_ones_have_no_width():
    assert gain([0.9], ['0'], [0.5], ['0']) == (pytest.approx(0.4), None, None, True)
    assert gain([0.75, 0.75], 'ab', [0.5, 0.5], 'ab')[1:3] == (0.25, 0.25)
    assert gain([0.75, 0.75], 'ab', [0.5, 0.5], 'cd') == (0.25, 0.25, 0.25, False)
