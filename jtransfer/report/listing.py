"""The cells of a table on a page, as text."""

from __future__ import annotations

import dataclasses

from jtransfer.tasks.metrics.figure import Figure, told
from jtransfer.tasks.metrics.panels import METER, NAME, Column, Listing


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell: its class, its text, a remark behind it, and of a meter the share that is filled, in percent."""

    style: str
    text: str = ''
    note: str = ''
    share: float = 0.0


def cells(listing: Listing) -> list[list[Cell]]:
    """The rows of a listing."""
    return [[_cell(column, value) for column, value in zip(listing.columns, row, strict=True)] for row in listing.rows]


def _cell(column: Column, value: str | float | int | Figure | None) -> Cell:
    if column.unit == NAME:
        return Cell('name', str(value))
    if column.unit == METER:
        assert value is None or isinstance(value, int | float)
        return Cell('meter', share=round(100.0 * (value or 0.0), 1))
    if isinstance(value, Figure):
        return Cell('n', value.text, value.interval_text)
    return Cell('n', value if isinstance(value, str) else told(value, column.unit))
