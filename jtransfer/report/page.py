"""One self-contained HTML page about a run, for a person to look at."""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jtransfer.files.writing import atomic_text
from jtransfer.report import charts, diagrams
from jtransfer.report.curves import training_charts
from jtransfer.report.sections import Tile, hero, sections, task_rows
from jtransfer.tasks.metrics.measured import Measured
from jtransfer.text.numbers import number
from jtransfer.text.outside import printable_lines

_LARGEST_PICTURE = 192  # pixels: keeps a page of 24 pictures near a megabyte


@dataclasses.dataclass(frozen=True)
class PlanRow:
    """One line of the table of what was trained and frozen.

    Attributes:
        pattern: the rule that decided (a pattern over parameter paths).
        group: name of the optimiser group, `frozen` for none.
        tensors: how many parameters it covers.
        elements: how many numbers these hold.
        learning_rate_scale: factor on the learning rate.
        weight_decay: decay of the group.
        trainable: whether these parameters may move.
    """

    pattern: str
    group: str
    tensors: int
    elements: int
    learning_rate_scale: float
    weight_decay: float
    trainable: bool


@dataclasses.dataclass(frozen=True)
class WrongExample:
    """An example that the network got wrong.

    Attributes:
        image: uint8 pixels. None: it is none.
        id: what identifies it.
        label: what it is, in words (as `Wrong` has it).
        predicted: what it was taken for, likewise.
        probability: how sure the network was, where there is one label an image.
        note: how wrong it was, in words, elsewhere.
        task: whose section shows it, where there are several heads.
    """

    image: UInt8[np.ndarray, 'height width 3'] | None
    id: str
    label: str
    predicted: str
    probability: float | None = None
    note: str = ''
    task: str = ''


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    metrics: Measured,
    curves: Sequence[Mapping[str, Any]] = (),
    plan: Sequence[PlanRow] = (),
    most_wrong: Sequence[WrongExample] = (),
    config_text: str = '',
    facts: Mapping[str, str] | None = None,
) -> None:
    """Writes the report as one HTML file that loads nothing from anywhere and runs no script.

    Class names, file names and configuration are shown as text, whatever they contain. What is empty is left out. Of
    several heads there is a section a task.

    Args:
        path: of the page; replaced whole, or not at all.
        title: heads the page.
        metrics: of the final evaluation.
        curves: parsed lines of `metrics.jsonl` (see `training_charts`).
        plan: what was trained and frozen.
        most_wrong: examples to show, the worst first.
        config_text: the resolved configuration.
        facts: short labelled facts in the heading (strategy, checkpoint, duration, versions …).
    """
    trained = sum(row.elements for row in plan if row.trainable)
    frozen = sum(row.elements for row in plan if not row.trainable)
    tiles = [Tile('Trained', number(trained), f'of {number(trained + frozen)} parameters')] if plan else []
    write_page(
        path,
        'report.html.jinja',
        title=title,
        eyebrow='jtransfer report',
        facts=facts or {},
        config_text=config_text,
        charts=training_charts(curves, metrics.score_figure),
        hero=hero(metrics),
        tiles=tuple(tiles),
        plan=plan,
        trained=trained,
        frozen=frozen,
        **task_views(metrics, most_wrong),
    )


def task_views(metrics: Measured, most_wrong: Sequence[WrongExample]) -> dict[str, Any]:
    """What the templates need to show metrics of any kind, a section a task, and the pictures of each."""
    shown = sections(metrics)
    pictures: dict[str, list[dict[str, Any]]] = {section.name: [] for section in shown}
    for entry in most_wrong:
        pictures[entry.task].append(_picture(entry))
    return {
        'headline': metrics.score_figure.text,
        'sections': shown,
        'pictures': pictures,
        'task_rows': task_rows(metrics),
    }


def write_page(path: str | os.PathLike[str], template: str, **values: Any) -> None:
    """Fills in a template of a page; the file is replaced whole, or not at all."""
    page = environment().get_template(template).render(layout=charts, **values)
    with atomic_text(path) as file:
        file.write(printable_lines(page))


def picture_source(image: UInt8[np.ndarray, 'height width 3']) -> str:
    """The image as a `data:` address of a PNG, at most 192 pixels a side."""
    picture = Image.fromarray(np.asarray(image))
    picture.thumbnail((_LARGEST_PICTURE, _LARGEST_PICTURE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, 'PNG', optimize=True)
    return 'data:image/png;base64,' + base64.b64encode(buffer.getvalue()).decode('ascii')


def _picture(entry: WrongExample) -> dict[str, Any]:
    return {
        'source': '' if entry.image is None else picture_source(entry.image),
        'small': entry.image is not None and max(entry.image.shape[:2]) < 96,
        'id': entry.id,
        'label': entry.label,
        'predicted': entry.predicted,
        'probability': entry.probability,
        'note': entry.note,
    }


def _percent(value: float | int | None, digits: int = 1) -> str:
    return '–' if value is None else f'{value:.{digits}%}'


@functools.cache  # which keeps the templates that it has compiled
def environment() -> jinja2.Environment:
    """What the templates of all pages are rendered with."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader('jtransfer.report', ''),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(percent=_percent, number=number, shorten=diagrams.shorten, tail=diagrams.tail)
    return made
