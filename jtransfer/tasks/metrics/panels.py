"""What a page shows of an evaluation, described and not drawn: diagrams and tables, whatever the task is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from jtransfer.tasks.metrics.figure import NUMBER, Figure

# Of more names, the cells of a matrix are too small to be read.
MOST_IN_MATRIX = 40
# Columns that are no figures.
NAME, METER = 'name', 'meter'


@dataclasses.dataclass(frozen=True)
class Matrix:
    """How often each name (row) was taken for each name (column).

    Attributes:
        title: heads the diagram.
        alt: what it is, for whoever cannot see it.
        names: of rows and columns, at most `MOST_IN_MATRIX`.
        counts: how often.
        rows: what a row is.
        columns: what a column is.
        caption: a remark.
    """

    kind: ClassVar[str] = 'matrix'
    title: str
    alt: str
    names: Sequence[str]
    counts: Int[np.ndarray, 'names names']
    rows: str
    columns: str
    caption: str = ''


@dataclasses.dataclass(frozen=True)
class Bar:
    """A bar over an interval of the x axis, everything in [0, 1].

    Attributes:
        low: where the interval begins.
        high: where it ends.
        height: of the bar.
        mark: where along x the dot on the bar stands.
        weight: how much it is of, such as a number of examples; shown relative to the largest.
        text: what it says when it is pointed at.
    """

    low: float
    high: float
    height: float
    mark: float
    weight: float | int
    text: str


@dataclasses.dataclass(frozen=True)
class Bars:
    """Bars on a square of shares with its diagonal, on which they would end if all were as it should be.

    Attributes:
        title: heads the diagram.
        alt: what it is, for whoever cannot see it.
        bars: from left to right.
        x: what the x axis shows.
        y: what the y axis shows.
        caption: a remark.
    """

    kind: ClassVar[str] = 'bars'
    title: str
    alt: str
    bars: Sequence[Bar]
    x: str
    y: str
    caption: str = ''


@dataclasses.dataclass(frozen=True)
class Scatter:
    """A point an example, on the same axis in both directions, with the diagonal where the two are the same.

    Attributes:
        title: heads the diagram.
        alt: what it is, for whoever cannot see it.
        xs: of the points.
        ys: of the same points.
        x: what the x axis shows.
        y: what the y axis shows.
        caption: a remark.
    """

    kind: ClassVar[str] = 'scatter'
    title: str
    alt: str
    xs: Float[np.ndarray, ' points']
    ys: Float[np.ndarray, ' points']
    x: str = 'true'
    y: str = 'predicted'
    caption: str = ''


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a listing.

    Attributes:
        name: heads it.
        unit: of its figures, see `Figure`; `name`: its cells are text; `meter`: its cells are shares, drawn as bars.
    """

    name: str
    unit: str = NUMBER


@dataclasses.dataclass(frozen=True)
class Listing:
    """A table to be looked at.

    Attributes:
        title: heads it.
        columns: what they are.
        rows: of cells: text, a number, None, or a `Figure` that brings its own unit and interval.
        note: a remark below it.
        empty: what is said where there are no rows.
    """

    kind: ClassVar[str] = 'listing'
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str | float | int | Figure | None]]
    note: str = ''
    empty: str = 'There are none.'
    caption: ClassVar[str] = ''


Panel: TypeAlias = Matrix | Bars | Scatter | Listing


@dataclasses.dataclass(frozen=True)
class Block:
    """Panels beside each other, under a heading.

    Attributes:
        title: the heading; '': it belongs to the block before.
        panels: one or more.
        even: whether they are of the same width; else the first is the wider one.
        last: whether they come after the examples.
    """

    title: str
    panels: Sequence[Panel]
    even: bool = False
    last: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table as a file.

    Attributes:
        name: of its file, without an ending.
        header: names of the columns.
        rows: of cells; None is an empty one.
    """

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
