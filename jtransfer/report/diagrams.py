"""Where the cells of a matrix and the bars of a bar chart go; the template draws them."""

from __future__ import annotations

import dataclasses

import numpy as np

from jtransfer.tasks.metrics.panels import Bars, Matrix

_MOST_WITH_NUMBERS = 16
_LONGEST_LABEL = 16


@dataclasses.dataclass(frozen=True)
class Cell:
    """One non-zero entry of the matrix: SVG position, colour strength in [0, 1], count, and tooltip."""

    x: float
    y: float
    strength: float
    count: int
    correct: bool
    tooltip: str


@dataclasses.dataclass(frozen=True)
class HeatMap:
    """A confusion matrix in a `width` × `height` SVG view box."""

    width: float
    height: float
    left: float
    top: float
    cell: float
    labels: tuple[str, ...]
    slanted: bool
    numbers: bool
    cells: tuple[Cell, ...]


@dataclasses.dataclass(frozen=True)
class LaidBar:
    """A bar and its dot, everything in [0, 1]; `share` is its weight beside the largest."""

    low: float
    high: float
    height: float
    mark: float
    share: float
    tooltip: str


def heat_map(panel: Matrix) -> HeatMap:
    """Lays out a matrix.

    A cell's strength is its share of the row; that of an error is raised to the square root, so that a rare mistake
    is seen beside a long diagonal.
    """
    matrix, names = panel.counts, panel.names
    classes = len(names)
    side = float(np.clip(460 / classes, 13, 46))
    labels = tuple(shorten(name, _LONGEST_LABEL) for name in names)
    longest = max(len(label) for label in labels)
    slanted = longest * 6.5 > side
    left = 34 + longest * 6.5
    top = 34 + (longest * 6.5 * 0.71 + 6 if slanted else 14.0)
    cells = []
    for row, column in zip(*np.nonzero(matrix), strict=True):
        count, total = int(matrix[row, column]), int(matrix[row].sum())
        share = count / total
        correct = bool(row == column)
        what = 'recognised' if correct else f'taken for {names[column]}'
        cells.append(
            Cell(
                x=round(left + column * side, 2),
                y=round(top + row * side, 2),
                strength=round(0.08 + 0.92 * (share if correct else share**0.5), 3),
                count=count,
                correct=correct,
                tooltip=f'{names[row]} {what}: {count} of {total} ({share:.1%})',
            )
        )
    return HeatMap(
        # A slanted label reaches beyond the last column.
        width=left + classes * side + (longest * 4.6 if slanted else 6),
        height=top + classes * side + 6,
        left=left,
        top=top,
        cell=side,
        labels=labels,
        slanted=slanted,
        numbers=classes <= _MOST_WITH_NUMBERS,
        cells=tuple(cells),
    )


def bar_chart(panel: Bars) -> list[LaidBar]:
    """The bars, with `share` relative to the largest weight."""
    largest = max((bar.weight for bar in panel.bars), default=1.0)
    return [LaidBar(bar.low, bar.high, bar.height, bar.mark, bar.weight / largest, bar.text) for bar in panel.bars]


def shorten(text: str, length: int) -> str:
    """The text, or its first `length` - 1 characters and an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + '…'


def tail(text: str, length: int) -> str:
    """The text, or an ellipsis and its last `length` - 1 characters: of a path, the part that tells files apart."""
    return text if len(text) <= length else '…' + text[len(text) - length + 1 :]
