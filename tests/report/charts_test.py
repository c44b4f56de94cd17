"""Chart geometry: points inside the frame, ticks where the axis says, hostile values left out."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jtransfer.report import charts
from jtransfer.report.charts import Series, line_chart, nice_ticks
from jtransfer.text.numbers import number


def coordinates(path):
    return [(float(x), float(y)) for x, y in re.findall(r'(-?[\d.]+) (-?[\d.]+)', path)]


finite = st.floats(-1e6, 1e6).map(lambda v: round(v, 6))


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.one_of(finite, st.just(math.nan), st.just(math.inf)), min_size=1, max_size=30))
def test_everything_drawn_lies_inside_the_frame(values):
    highest = max(range(len(values)), key=lambda x: values[x] if math.isfinite(values[x]) else -math.inf)
    chart = line_chart('t', [Series('s', list(enumerate(values)), 1, markers=True, best=highest)], x_label='step')
    kept = [v for v in values if math.isfinite(v)]
    if not kept:
        assert chart is None
        return
    (line,) = chart.lines
    points = coordinates(line.path)
    assert len(points) == len(kept)
    right, bottom = chart.width - charts.RIGHT, charts.HEIGHT - charts.BOTTOM
    for x, y in [*points, (line.best.x, line.best.y)]:
        assert charts.LEFT - 0.1 <= x <= right + 0.1
        assert charts.TOP - 0.1 <= y <= bottom + 0.1
    assert line.best.y == pytest.approx(min(y for _, y in points), abs=0.06)
    assert all(charts.TOP - 0.1 <= tick.position <= bottom + 0.1 for tick in chart.y_ticks)
    assert all(charts.LEFT <= tick.position <= right + 0.1 for tick in chart.x_ticks)


def test_ticks_and_points_share_one_scale():
    chart = line_chart('t', [Series('s', [(0, 0.6), (10, 1.0)], 1)], x_label='step', percent=True)
    (start, end) = coordinates(chart.lines[0].path)
    ticks = {tick.label: tick.position for tick in chart.y_ticks}
    assert start[1] == pytest.approx(ticks['60%'], abs=0.06)
    assert end[1] == pytest.approx(ticks['100%'], abs=0.06)
    assert {tick.label: tick.position for tick in chart.x_ticks}['10'] == pytest.approx(end[0], abs=0.06)
    assert chart.lines[0].value == '100.0%'


@pytest.mark.parametrize('value', [0.0, 1.0, 0.5])
def test_percent_axis_stays_between_nought_and_one(value):
    chart = line_chart('t', [Series('s', [(0, value), (1, value)], 1)], x_label='step', percent=True)
    labels = [float(tick.label.rstrip('%')) for tick in chart.y_ticks]
    assert labels == sorted(labels)
    assert 0 <= labels[0] <= 100 * value <= labels[-1] <= 100


def test_logarithmic_axis_has_decades():
    points = [(0, 1e-3), (1, 0.0), (2, 1e2), (3, 1.0)]
    chart = line_chart('t', [Series('s', points, 1)], x_label='step', logarithmic=True)
    assert [tick.label for tick in chart.y_ticks] == ['1e-3', '0.01', '0.1', '1', '10', '100']
    steps = np.diff([tick.position for tick in chart.y_ticks])
    np.testing.assert_allclose(steps, steps[0], atol=0.11)
    assert len(coordinates(chart.lines[0].path)) == 3


def test_many_points_are_thinned_and_smoothed():
    noise = np.random.default_rng(0).normal(1.0, 0.2, 5000)
    noisy, exact = Series('a', list(enumerate(noise)), 1), Series('b', list(enumerate(noise)), 2, noisy=False)
    chart = line_chart('t', [noisy, exact], x_label='step')
    smooth, raw = (np.array(coordinates(chart.lines[0].path)), np.array(coordinates(chart.lines[0].raw_path)))
    assert len(smooth) == len(raw) == 400
    assert smooth[:, 1].std() < 0.6 * raw[:, 1].std()
    assert chart.note
    assert chart.lines[1].raw_path == ''
    assert chart.lines[1].path == chart.lines[0].raw_path


def test_a_single_point_is_a_dot_and_nothing_is_no_chart():
    chart = line_chart('t', [Series('s', [(5, 2.0)], 1), Series('empty', [], 2)], x_label='step')
    assert [line.name for line in chart.lines] == ['s']
    assert chart.lines[0].dots[0].label == 's: 2 at step 5'
    assert line_chart('t', [Series('empty', [], 2)], x_label='step') is None


@given(low=finite, high=finite)
def test_ticks_enclose_the_range(low, high):
    low, high = min(low, high), max(low, high)
    ticks = nice_ticks(low, high, 5)
    assert ticks == sorted(set(ticks))
    slack = 1e-9 * max(1.0, abs(low), abs(high))
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert len(ticks) <= 8


@pytest.mark.parametrize(
    ('value', 'text'),
    [(0, '0'), (0.25, '0.25'), (5e-4, '5e-4'), (2.5e-4, '2.5e-4'), (1862.3, '1862'), (15000, '15k'), (2.4e6, '2.4M'),
     (3e9, '3G'), (-0.5, '-0.5')],
)  # fmt: skip
def test_number(value, text):
    assert number(value) == text


def test_number_in_percent_and_beside_a_larger_one():
    assert number(0.942, percent=True) == '94.2%'
    assert number(5000, largest=20000) == '5k'
