"""What the page says of each task: figures as text, and what there is to be drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jtransfer.report.drawn import Drawn, drawn
from jtransfer.tasks.metrics.figure import INDEX, SHARE, Figure
from jtransfer.tasks.metrics.measured import Baseline, Measured
from jtransfer.tasks.metrics.panels import Block
from jtransfer.text.outside import first_few


@dataclasses.dataclass(frozen=True)
class Gauge:
    """A bar from 0 to 1 with a value, its interval, and a mark to compare it with; everything in [0, 1]."""

    label: str
    value: float
    low: float
    high: float
    reference: float | None
    text: str


@dataclasses.dataclass(frozen=True)
class Tile:
    """A figure with what it is and a remark."""

    label: str
    value: str
    note: str


@dataclasses.dataclass(frozen=True)
class Hero:
    """The figure at the top: what it is, the number, its unit, its interval in words, and a gauge."""

    label: str
    number: str
    unit: str
    interval: str
    gauge: Gauge | None


@dataclasses.dataclass(frozen=True)
class Group:
    """Panels beside each other: a heading, the class of the box around them, and the panels."""

    title: str
    layout: str
    panels: tuple[Drawn, ...]


@dataclasses.dataclass(frozen=True)
class Section:
    """A task on a page.

    Attributes:
        name: of the task; '' where it is the only one.
        hero: its score.
        tiles: other figures.
        groups: what comes before the images.
        last: what comes after them.
        wrong_title: heads the images.
    """

    name: str
    hero: Hero
    tiles: tuple[Tile, ...]
    groups: tuple[Group, ...]
    last: tuple[Group, ...]
    wrong_title: str


def sections(metrics: Measured) -> list[Section]:
    """A section a task."""
    return [_section(name, own) for name, own in metrics.of_tasks().items()]


def hero(metrics: Measured) -> Hero:
    """The score at the top; with a gauge where it is known what it lies in, or what to compare it with."""
    figure = metrics.score_figure
    number, unit = figure.parts(metrics.score)
    words = f'{figure.confidence:.0%} interval {figure.interval_text}' if figure.interval else figure.note
    baseline = metrics.baseline()
    shown = figure.interval and (figure.unit == SHARE or (figure.unit == INDEX and baseline))
    return Hero(
        label=f'{figure.title} on {metrics.examples:,} examples',
        number=number,
        unit=unit,
        interval=words,
        gauge=gauge(figure, baseline) if shown else None,
    )


def gauge(figure: Figure, baseline: Baseline | None) -> Gauge:
    """A gauge of a score with an interval; what lies outside 0 and 1 is cut off."""
    assert figure.interval is not None
    low, high = (figure.tell(end) for end in figure.interval)
    label = f'{figure.name} {figure.text}, between {low} and {high}'
    assert figure.value is not None
    inside = np.clip([figure.value, *figure.interval], 0.0, 1.0).tolist()
    reference = None if baseline is None else float(np.clip(baseline.value, 0.0, 1.0))
    return Gauge(label, inside[0], inside[1], inside[2], reference, '' if baseline is None else baseline.text)


def _section(name: str, metrics: Measured) -> Section:
    tiles = [Tile(figure.title, figure.text, figure.note) for figure in metrics.all_figures()]
    if metrics.unlabelled:
        tiles.append(Tile('Not labelled', f'{metrics.unlabelled:,}', 'examples left out'))
    if absent := metrics.without_figure():
        tiles.append(Tile('Not in the data', first_few(absent, 3), 'no figures of their own'))
    blocks = [
        (block.last, Group(block.title, _layout(block), tuple(map(drawn, block.panels)))) for block in metrics.blocks()
    ]
    return Section(
        name=name,
        hero=hero(metrics),
        tiles=tuple(tiles),
        groups=tuple(group for last, group in blocks if not last),
        last=tuple(group for last, group in blocks if last),
        wrong_title=metrics.wrong_title,
    )


def _layout(block: Block) -> str:
    columns = '' if len(block.panels) == 1 else 'plots' if block.even else 'two'
    # What has no heading of its own keeps its distance from what is above it.
    return f'{columns} after'.strip() if not block.title else columns


def task_rows(metrics: Measured) -> Sequence[tuple[str, str, str, str, str, str]]:
    """Of several heads a row a task: name, score's name, score, interval, loss, examples. Else none."""
    return [
        (
            name,
            own.score_name,
            own.score_figure.text,
            own.score_figure.interval_text,
            f'{own.loss:.4g}',
            f'{own.examples:,}',
        )
        for name, own in metrics.of_tasks().items()
        if own is not metrics
    ]
