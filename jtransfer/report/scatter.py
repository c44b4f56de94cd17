"""Where the points of a diagram of one value against another go; the template draws them."""

from __future__ import annotations

import dataclasses

import numpy as np

from jtransfer.report.charts import Dot, Tick, nice_ticks
from jtransfer.tasks.metrics.panels import Scatter
from jtransfer.text.numbers import digits_of, number, rounded

_SIDE, _LEFT, _TOP, _BOTTOM, _RIGHT = 300.0, 60.0, 10.0, 42.0, 14.0
# Fewer points are larger and more solid.
_FEW = 200


@dataclasses.dataclass(frozen=True)
class Points:
    """Points in a `width` × `height` SVG view box, with the same axis in both directions.

    Attributes:
        width: of the view box.
        height: of the view box.
        left: edge of the square that the points lie in; `right`, `top` and `bottom` likewise.
        right: see `left`.
        top: see `left`.
        bottom: see `left`.
        x_ticks: of the x axis.
        y_ticks: of the y axis.
        dots: the examples.
        radius: of a dot.
        opacity: of a dot, in (0, 1].
    """

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    dots: tuple[Dot, ...]
    radius: float
    opacity: float


def scatter(panel: Scatter) -> Points:
    """Lays out the points; the diagonal is where both are the same."""
    truth, predicted = panel.xs, panel.ys
    both = np.concatenate([truth, predicted])
    ticks = nice_ticks(float(both.min()), float(both.max()), 5)
    low, high = ticks[0], ticks[-1]
    largest = max(abs(low), abs(high))
    digits = digits_of(both, 4)

    def along(value: float) -> float:
        return _SIDE * (value - low) / (high - low)

    def label(tick: float) -> str:
        # Numbers that are large beside their differences would all be 1.7G.
        return number(tick, largest=largest) if digits < 6 else rounded(tick, digits)

    few = len(truth) <= _FEW
    return Points(
        width=_LEFT + _SIDE + _RIGHT,
        height=_TOP + _SIDE + _BOTTOM,
        left=_LEFT,
        right=_LEFT + _SIDE,
        top=_TOP,
        bottom=_TOP + _SIDE,
        x_ticks=tuple(Tick(round(_LEFT + along(t), 1), label(t)) for t in ticks),
        y_ticks=tuple(Tick(round(_TOP + _SIDE - along(t), 1), label(t)) for t in ticks),
        dots=tuple(
            Dot(
                round(_LEFT + along(x), 1),
                round(_TOP + _SIDE - along(y), 1),
                f'{panel.x} {rounded(x, digits)}, {panel.y} {rounded(y, digits)}',
            )
            for x, y in zip(truth.tolist(), predicted.tolist(), strict=True)
        ),
        radius=3.2 if few else 2.2,
        opacity=0.65 if few else 0.4,
    )
