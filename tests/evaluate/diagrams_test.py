"""Confusion matrix and reliability diagram: the right cells in the right places."""

import numpy as np
import pytest

from jtransfer.evaluate.diagrams import heat_map, most_confused, reliability_bars, shorten, tail
from jtransfer.tasks.classification_metrics import calibration_bins

MATRIX = np.array([[8, 2, 0], [0, 5, 5], [0, 0, 0]])


def test_cells_are_the_non_zero_entries():
    chart = heat_map(MATRIX, ['a', 'b', 'c'])
    assert [(cell.count, cell.correct) for cell in chart.cells] == [(8, True), (2, False), (5, True), (5, False)]
    assert chart.cells[1].tooltip == 'a taken for b: 2 of 10 (20.0%)'
    assert chart.cells[0].strength == pytest.approx(0.08 + 0.92 * 0.8, abs=1e-3)
    assert chart.cells[3].x == pytest.approx(chart.left + 2 * chart.cell, abs=0.01)
    assert chart.cells[3].y == pytest.approx(chart.top + chart.cell, abs=0.01)
    assert chart.numbers
    assert not chart.slanted


def test_long_names_are_slanted_and_cut_and_many_classes_have_no_map():
    chart = heat_map(MATRIX, ['a' * 50, 'b', 'c'])
    assert chart.slanted
    assert chart.labels[0] == 'a' * 15 + '…'
    assert heat_map(np.eye(40, dtype=int), [str(i) for i in range(40)]).numbers is False
    assert heat_map(np.eye(41, dtype=int), [str(i) for i in range(41)]) is None


def test_most_confused_pairs():
    pairs = most_confused(MATRIX, ['a', 'b', 'c'], 5)
    assert [(p.label, p.predicted, p.count, p.share) for p in pairs] == [('b', 'c', 5, 0.5), ('a', 'b', 2, 0.2)]
    assert len(most_confused(MATRIX, ['a', 'b', 'c'], 1)) == 1
    assert most_confused(np.eye(3, dtype=int), ['a', 'b', 'c'], 5) == []
    assert MATRIX[0, 0] == 8  # the argument is left alone


def test_reliability_bars_leave_empty_bins_out():
    table = calibration_bins(np.array([0.9, 0.8, 0.85, 0.3]), np.array([True, True, False, False]), bins=4)
    low, high = reliability_bars(table)
    assert (low.low, low.high, low.accuracy, low.share) == (0.25, 0.5, 0.0, pytest.approx(1 / 3))
    assert high.accuracy == pytest.approx(2 / 3)
    assert high.confidence == pytest.approx(0.85)
    assert high.tooltip.startswith('3 predictions at 75% to 100%')


def test_shorten_and_tail():
    assert (shorten('abcdef', 6), shorten('abcdefg', 6)) == ('abcdef', 'abcde…')
    assert (tail('abcdef', 6), tail('abcdefg', 6)) == ('abcdef', '…cdefg')
