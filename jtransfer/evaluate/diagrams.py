"""Where the cells of a confusion matrix and the bars of a reliability diagram go; the template draws them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from jtransfer.tasks.classification_metrics import CalibrationBin

# More classes than this make cells too small to read: the report then shows the most confused pairs alone.
MOST_CLASSES = 40
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
class Confusion:
    """How often one class was taken for another; `share` is of the examples of the true class."""

    label: str
    predicted: str
    count: int
    share: float


@dataclasses.dataclass(frozen=True)
class ReliabilityBar:
    """A bin of the reliability diagram, everything in [0, 1]: edges, accuracy, confidence, share of the examples."""

    low: float
    high: float
    accuracy: float
    confidence: float
    share: float
    tooltip: str


def heat_map(matrix: Int[np.ndarray, 'classes classes'], class_names: Sequence[str]) -> HeatMap | None:
    """Lays out a confusion matrix; None above `MOST_CLASSES` classes.

    A cell's strength is its share of the row; that of an error is raised to the square root, so that a rare mistake
    is seen beside a long diagonal.
    """
    classes = len(class_names)
    if classes > MOST_CLASSES:
        return None
    side = float(np.clip(460 / classes, 13, 46))
    labels = tuple(shorten(name, _LONGEST_LABEL) for name in class_names)
    longest = max(len(label) for label in labels)
    slanted = longest * 6.5 > side
    left = 34 + longest * 6.5
    top = 34 + (longest * 6.5 * 0.71 + 6 if slanted else 14.0)
    cells = []
    for row, column in zip(*np.nonzero(matrix), strict=True):
        count, total = int(matrix[row, column]), int(matrix[row].sum())
        share = count / total
        correct = bool(row == column)
        what = 'recognised' if correct else f'taken for {class_names[column]}'
        cells.append(
            Cell(
                x=round(left + column * side, 2),
                y=round(top + row * side, 2),
                strength=round(0.08 + 0.92 * (share if correct else share**0.5), 3),
                count=count,
                correct=correct,
                tooltip=f'{class_names[row]} {what}: {count} of {total} ({share:.1%})',
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


def most_confused(
    matrix: Int[np.ndarray, 'classes classes'], class_names: Sequence[str], count: int
) -> list[Confusion]:
    """The `count` most frequent mistakes (label, predicted class), most frequent first; ties by class number."""
    errors = np.array(matrix)
    np.fill_diagonal(errors, 0)
    rows, columns = np.nonzero(errors)
    order = np.argsort(-errors[rows, columns], kind='stable')[:count]
    totals = np.asarray(matrix).sum(axis=1)
    return [
        Confusion(str(class_names[r]), str(class_names[c]), int(errors[r, c]), float(errors[r, c] / totals[r]))
        for r, c in zip(rows[order], columns[order], strict=True)
    ]


def reliability_bars(table: Sequence[CalibrationBin]) -> list[ReliabilityBar]:
    """The bins that hold examples, with `share` relative to the fullest bin."""
    fullest = max(entry.examples for entry in table)
    return [
        ReliabilityBar(
            low=entry.low,
            high=entry.high,
            accuracy=entry.accuracy,
            confidence=entry.confidence,
            share=entry.examples / fullest,
            tooltip=f'{entry.examples} predictions at {entry.low:.0%} to {entry.high:.0%}: '
            f'mean probability {entry.confidence:.1%}, right {entry.accuracy:.1%}',
        )
        for entry in table
        if entry.accuracy is not None and entry.confidence is not None
    ]


def shorten(text: str, length: int) -> str:
    """The text, or its first `length` - 1 characters and an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + '…'


def tail(text: str, length: int) -> str:
    """The text, or an ellipsis and its last `length` - 1 characters: of a path, the part that tells files apart."""
    return text if len(text) <= length else '…' + text[len(text) - length + 1 :]
