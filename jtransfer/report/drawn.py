"""From what metrics describe to what the templates draw: each kind of diagram has one function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from jtransfer.report.diagrams import bar_chart, heat_map
from jtransfer.report.listing import cells
from jtransfer.report.scatter import scatter
from jtransfer.tasks.metrics.panels import Bars, Listing, Matrix, Panel, Scatter

# The macros of `charts.html.jinja` have the same names.
_LAYOUTS: dict[str, Callable[[Any], Any]] = {
    Matrix.kind: heat_map,
    Bars.kind: bar_chart,
    Scatter.kind: scatter,
    Listing.kind: cells,
}


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A panel ready to be drawn: the macro that draws it, and what it draws; `panel` has title and caption."""

    macro: str
    panel: Panel
    layout: Any


def drawn(panel: Panel) -> Drawn:
    """Lays out a panel."""
    return Drawn(panel.kind, panel, _LAYOUTS[panel.kind](panel))
