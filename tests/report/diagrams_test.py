"""Matrices and bars: the right cells in the right places."""

import numpy as np
import pytest

from jtransfer.report.diagrams import bar_chart, heat_map, shorten, tail
from jtransfer.tasks.metrics.panels import Bar, Bars, Matrix

MATRIX = np.array([[8, 2, 0], [0, 5, 5], [0, 0, 0]])


def laid(names, counts=MATRIX):
    return heat_map(Matrix('', '', names, counts, 'true', 'predicted'))


def test_cells_are_the_non_zero_entries():
    chart = laid(['a', 'b', 'c'])
    assert [(cell.count, cell.correct) for cell in chart.cells] == [(8, True), (2, False), (5, True), (5, False)]
    assert chart.cells[1].tooltip == 'a taken for b: 2 of 10 (20.0%)'
    assert chart.cells[0].strength == pytest.approx(0.08 + 0.92 * 0.8, abs=1e-3)
    assert chart.cells[3].x == pytest.approx(chart.left + 2 * chart.cell, abs=0.01)
    assert chart.cells[3].y == pytest.approx(chart.top + chart.cell, abs=0.01)
    assert chart.numbers
    assert not chart.slanted


def test_long_names_are_slanted_and_cut_and_many_names_have_no_numbers():
    chart = laid(['a' * 50, 'b', 'c'])
    assert chart.slanted
    assert chart.labels[0] == 'a' * 15 + '…'
    assert laid([str(i) for i in range(40)], np.eye(40, dtype=int)).numbers is False


def test_the_share_of_a_bar_is_beside_the_heaviest():
    bars = [Bar(0.25, 0.5, 0.0, 0.3, 1, 'one'), Bar(0.75, 1.0, 2 / 3, 0.85, 3, 'three')]
    low, high = bar_chart(Bars('', '', bars, 'x', 'y'))
    assert (low.low, low.high, low.height, low.share) == (0.25, 0.5, 0.0, pytest.approx(1 / 3))
    assert (high.mark, high.share, high.tooltip) == (0.85, 1.0, 'three')
    assert bar_chart(Bars('', '', [], 'x', 'y')) == []


def test_shorten_and_tail():
    assert (shorten('abcdef', 6), shorten('abcdefg', 6)) == ('abcdef', 'abcde…')
    assert (tail('abcdef', 6), tail('abcdefg', 6)) == ('abcdef', '…cdefg')
