"""Where the lines, ticks and points of a small chart go; the report's template draws them as SVG."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from jtransfer.text.numbers import number

WIDTH, WIDE, HEIGHT = 360.0, 556.0, 226.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 18.0, 10.0, 36.0
# A line with more points is drawn pale, with its running mean on top; one with more still is thinned first.
_SMOOTH_ABOVE, _THIN_ABOVE = 60, 400
# From, divided by, unit: four digits stay as they are.


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        name: for the legend.
        points: (x, y), in the order of x; a point that is not finite is left out.
        colour: number of the palette colour, in 1 … 6.
        markers: whether every point gets a dot (sparse measurements).
        best: where along x the point stands that is marked. None: nowhere.
        peak: whether the legend says the largest value instead of the last.
        noisy: whether many points are drawn pale, with their running mean on top.
        alone: whether the running mean is drawn without the points.
        faint: whether the line is drawn thin and pale, without a legend (one of many of a kind).
    """

    name: str
    points: Sequence[tuple[float, float] | tuple[int, float]]
    colour: int
    markers: bool = False
    best: float | int | None = None
    peak: bool = False
    noisy: bool = True
    alone: bool = False
    faint: bool = False


@dataclasses.dataclass(frozen=True)
class Tick:
    """A labelled position on an axis, in SVG units."""

    position: float
    label: str


@dataclasses.dataclass(frozen=True)
class Dot:
    """A marked measurement, in SVG units, with its tooltip."""

    x: float
    y: float
    label: str


@dataclasses.dataclass(frozen=True)
class Line:
    """A drawn series: the path, what lies under it, its dots, and what the legend says of it."""

    name: str
    colour: int
    path: str
    raw_path: str
    dots: tuple[Dot, ...]
    best: Dot | None
    value: str
    faint: bool = False


@dataclasses.dataclass(frozen=True)
class LineChart:
    """A chart in a `width` × `HEIGHT` SVG view box, ready to draw."""

    title: str
    width: float
    x_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    note: str


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    width: float = WIDTH,
    percent: bool = False,
    logarithmic: bool = False,
) -> LineChart | None:
    """Lays out a chart.

    Args:
        title: what the y axis shows.
        series: the lines.
        x_label: what the x axis counts; it starts at 0.
        width: of the view box, SVG units.
        percent: y values are shares in [0, 1] and are labelled in percent.
        logarithmic: a logarithmic y axis; values ≤ 0 are left out.

    Returns:
        The chart, or None when no series has a finite point.
    """
    drawn = [(entry, _finite(entry.points, logarithmic)) for entry in series]
    drawn = [(entry, points) for entry, points in drawn if len(points)]
    if not drawn:
        return None
    smoothed = any(_is_smoothed(entry, points) for entry, points in drawn)
    alone = all(entry.alone for entry, points in drawn if _is_smoothed(entry, points))
    shown = [(entry, _thin(points)) for entry, points in drawn]
    every = np.concatenate([_seen(entry, points) for entry, points in shown])
    y_values, y_low, y_high = _y_axis(float(every[:, 1].min()), float(every[:, 1].max()), percent, logarithmic)
    x_high = max(float(every[:, 0].max()), 1e-9)

    def x_at(x: float) -> float:
        return LEFT + (width - LEFT - RIGHT) * x / x_high

    def y_at(y: float) -> float:
        scale = math.log10 if logarithmic else float
        share = (scale(y) - scale(y_low)) / (scale(y_high) - scale(y_low))
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    def path(points: np.ndarray) -> str:
        return 'M' + 'L'.join(f'{x_at(x):.1f} {y_at(y):.1f}' for x, y in points.tolist())

    def dot(entry: Series, x: float, y: float) -> Dot:
        label = f'{entry.name}: {number(y, percent=percent)} at {x_label} {x:g}'
        return Dot(round(x_at(x), 1), round(y_at(y), 1), label)

    lines = []
    for entry, points in shown:
        smooth = _running_mean(points) if _is_smoothed(entry, points) else points
        dotted = points if (entry.markers and len(points) <= _SMOOTH_ABOVE) or len(points) == 1 else points[:0]
        nearest = None if entry.best is None else np.abs(points[:, 0] - entry.best).argmin()
        best = None if nearest is None else dot(entry, *points[nearest].tolist())
        lines.append(
            Line(
                faint=entry.faint,
                name=entry.name,
                colour=entry.colour,
                path=path(smooth),
                raw_path=path(points) if smooth is not points and not entry.alone else '',
                dots=tuple(dot(entry, x, y) for x, y in dotted.tolist()),
                best=best,
                value=number(float(points[:, 1].max() if entry.peak else smooth[-1, 1]), percent=percent),
            )
        )
    step = y_values[1] - y_values[0] if len(y_values) > 1 else 0.0
    return LineChart(
        title=title,
        width=width,
        x_label=x_label,
        x_ticks=tuple(
            Tick(round(x_at(x), 1), number(x, largest=x_high)) for x in nice_ticks(0.0, x_high, 5) if x <= x_high
        ),
        y_ticks=tuple(
            Tick(round(y_at(y), 1), f'{y:.{1 if step < 0.00999 else 0}%}' if percent else number(y, largest=y_high))
            for y in y_values
        ),
        lines=tuple(lines),
        note='' if not smoothed else 'running mean' if alone else 'bold: running mean',
    )


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers that enclose [low, high], ascending."""
    from matplotlib.ticker import MaxNLocator

    if high <= low:
        low, high = low - max(abs(low) * 0.05, 1e-9), high + max(abs(high) * 0.05, 1e-9)
    values = MaxNLocator(nbins=count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(f'{value:.12g}') for value in values]


def _finite(points: Sequence[tuple[float, float] | tuple[int, float]], positive: bool) -> np.ndarray:
    values = np.asarray(points, np.float64).reshape(-1, 2)
    keep = np.isfinite(values).all(axis=1)
    if positive:
        keep &= values[:, 1] > 0
    return values[keep]


def _thin(points: np.ndarray) -> np.ndarray:
    """At most `_THIN_ABOVE` points: means of runs of neighbours."""
    if len(points) <= _THIN_ABOVE:
        return points
    return np.stack([part.mean(axis=0) for part in np.array_split(points, _THIN_ABOVE)])


def _is_smoothed(entry: Series, points: np.ndarray) -> bool:
    return entry.noisy and len(points) > _SMOOTH_ABOVE


def _seen(entry: Series, points: np.ndarray) -> np.ndarray:
    return _running_mean(points) if entry.alone and _is_smoothed(entry, points) else points


def _running_mean(points: np.ndarray) -> np.ndarray:
    """Centred mean over a thirtieth of the points, cut off at the ends."""
    reach = max(1, len(points) // 60)
    total = np.concatenate([[0.0], np.cumsum(points[:, 1])])
    index = np.arange(len(points))
    first, last = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(points))
    return np.stack([points[:, 0], (total[last] - total[first]) / (last - first)], axis=1)


def _y_axis(low: float, high: float, percent: bool, logarithmic: bool) -> tuple[list[float], float, float]:
    if logarithmic:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        last = max(last, first + 1)
        stride = math.ceil((last - first) / 5)
        return [10.0**power for power in range(first, last + 1, stride)], 10.0**first, 10.0**last
    if not percent and 0 <= low < 0.5 * high:
        low = 0.0
    ticks = nice_ticks(low, high, 4)
    if percent:
        # An all-right series must not make room above 100%, nor an all-wrong one below 0%.
        bottom, top = max(ticks[0], 0.0), min(ticks[-1], 1.0)
        ticks = [tick for tick in ticks if bottom <= tick <= top]
        if bottom < top:
            return ticks, bottom, top
        return [0.0, 0.5, 1.0], 0.0, 1.0
    return ticks, ticks[0], ticks[-1]
