"""One self-contained HTML page about a run, for a person to look at."""

from __future__ import annotations

import base64
import dataclasses
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jtransfer.evaluate import charts, diagrams
from jtransfer.evaluate.curves import training_charts
from jtransfer.evaluate.metrics import Metrics
from jtransfer.evaluate.write import atomic_text

_LARGEST_PICTURE = 192  # pixels: keeps a page of 24 pictures near a megabyte
_PAIRS = 12
_PAIRS_ALONE = 40


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
class WrongPicture:
    """A misclassified image: uint8 pixels, what identifies it, the two class numbers, and how sure the network was."""

    image: UInt8[np.ndarray, 'height width 3']
    id: str
    label: int
    predicted: int
    probability: float


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    metrics: Metrics,
    curves: Sequence[Mapping[str, Any]] = (),
    plan: Sequence[PlanRow] = (),
    most_wrong: Sequence[WrongPicture] = (),
    config_text: str = '',
    facts: Mapping[str, str] | None = None,
) -> None:
    """Writes the report as one HTML file that loads nothing from anywhere and runs no script.

    Class names, file names and configuration are shown as text, whatever they contain. What is empty is left out.

    Args:
        path: of the page; replaced whole, or not at all.
        title: heads the page.
        metrics: of the final evaluation.
        curves: parsed lines of `metrics.jsonl` (see `training_charts`).
        plan: what was trained and frozen.
        most_wrong: pictures to show, the worst first.
        config_text: the resolved configuration.
        facts: short labelled facts in the heading (strategy, checkpoint, duration, versions …).
    """
    names = metrics.class_names
    heat_map = diagrams.heat_map(metrics.confusion_matrix, names)
    trained = sum(row.elements for row in plan if row.trainable)
    frozen = sum(row.elements for row in plan if not row.trainable)
    page = (
        _environment()
        .get_template('report.html.jinja')
        .render(
            title=title,
            metrics=metrics,
            mistakes=metrics.examples - int(np.trace(metrics.confusion_matrix)),
            commonest=max(entry.examples for entry in metrics.per_class) / metrics.examples,
            facts=facts or {},
            charts=training_charts(curves),
            layout=charts,
            heat_map=heat_map,
            pairs=diagrams.most_confused(metrics.confusion_matrix, names, _PAIRS if heat_map else _PAIRS_ALONE),
            reliability=diagrams.reliability_bars(metrics.calibration),
            per_class=sorted(metrics.per_class, key=lambda c: (c.accuracy is None, c.accuracy or 0.0)),
            plan=plan,
            trained=trained,
            frozen=frozen,
            pictures=[
                {
                    'source': picture_source(entry.image),
                    'small': max(entry.image.shape[:2]) < 96,
                    'id': entry.id,
                    'label': names[entry.label],
                    'predicted': names[entry.predicted],
                    'probability': entry.probability,
                }
                for entry in most_wrong
            ],
            config_text=config_text,
        )
    )
    with atomic_text(path) as file:
        file.write(page)


def picture_source(image: UInt8[np.ndarray, 'height width 3']) -> str:
    """The image as a `data:` address of a PNG, at most 192 pixels a side."""
    picture = Image.fromarray(np.asarray(image))
    picture.thumbnail((_LARGEST_PICTURE, _LARGEST_PICTURE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, 'PNG', optimize=True)
    return 'data:image/png;base64,' + base64.b64encode(buffer.getvalue()).decode('ascii')


def _percent(value: float | int | None, digits: int = 1) -> str:
    return '–' if value is None else f'{value:.{digits}%}'


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader('jtransfer.evaluate', ''),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=_percent, number=charts.number, shorten=diagrams.shorten, tail=diagrams.tail)
    return environment
