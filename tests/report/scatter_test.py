"""Where the points of predicted against true numbers go."""

import numpy as np
import pytest

from jtransfer.report.scatter import scatter
from jtransfer.tasks.metrics.panels import Scatter


def laid(name, truth, predicted):
    return scatter(Scatter(name, name, truth, predicted))


def test_both_axes_are_the_same_and_hold_every_point():
    truth, predicted = np.array([0.0, 10.0, 5.0]), np.array([2.0, 8.0, 5.0])
    got = laid('age', truth, predicted)
    assert (
        [tick.label for tick in got.x_ticks] == [tick.label for tick in got.y_ticks] == ['0', '2', '4', '6', '8', '10']
    )
    assert (got.x_ticks[0].position, got.x_ticks[-1].position) == (got.left, got.right)
    assert (got.y_ticks[0].position, got.y_ticks[-1].position) == (got.bottom, got.top)
    first, _, middle = got.dots
    assert (first.x, first.label) == (got.left, 'true 0, predicted 2')
    assert (middle.x, middle.y) == pytest.approx(((got.left + got.right) / 2, (got.top + got.bottom) / 2))


@pytest.mark.parametrize('value', [0.0, -3.5, 1e9])
def test_points_that_are_all_the_same_are_inside(value):
    got = laid('n', np.full(3, value), np.full(3, value))
    assert all(got.left <= dot.x <= got.right and got.top <= dot.y <= got.bottom for dot in got.dots)


def test_many_points_are_paler():
    few, many = (laid('n', np.arange(float(n)), np.arange(float(n))) for n in (10, 500))
    assert (many.radius, many.opacity) < (few.radius, few.opacity)
