"""What the page says of each task: figures as text, and where its diagrams go."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jtransfer.evaluate import diagrams
from jtransfer.evaluate.scatter import scatter
from jtransfer.tasks.classification_metrics import Metrics
from jtransfer.tasks.multi_label_metrics import MultiLabelMetrics
from jtransfer.tasks.regression_metrics import RegressionMetrics
from jtransfer.tasks.several import AnyMetrics, HeadsMetrics, TaskMetrics
from jtransfer.text import first_few

_PAIRS = 12
_PAIRS_ALONE = 40
_PERCENT = ('accuracy', 'mean average precision')


@dataclasses.dataclass(frozen=True)
class Gauge:
    """A bar from 0 to 1 with a value, its interval, and a mark to compare it with; everything in [0, 1]."""

    label: str
    value: float
    low: float
    high: float
    reference: float
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
class Section:
    """A task on a page.

    Attributes:
        name: of the task; '' where it is the only one.
        kind: `classes`, `labels` or `numbers`: which part of the template shows it.
        hero: its score.
        tiles: other figures.
        details: diagrams and tables, by what the template calls them.
    """

    name: str
    kind: str
    hero: Hero
    tiles: tuple[Tile, ...]
    details: Mapping[str, Any]


def sections(metrics: AnyMetrics) -> list[Section]:
    """A section a task."""
    if isinstance(metrics, HeadsMetrics):
        return [_section(name, entry) for name, entry in metrics.by_task.items()]
    return [_section('', metrics)]


def is_percent(score_name: str) -> bool:
    """Whether a score of that name is a share, written in percent."""
    return score_name in _PERCENT


def score_text(score_name: str, value: float) -> str:
    """A score as a person reads it: `94.2%`, or `0.873`."""
    return f'{value:.1%}' if is_percent(score_name) else f'{value:.3f}'


def score_parts(score_name: str, value: float) -> tuple[str, str]:
    """The number and its unit."""
    return (f'{100 * value:.1f}', '%') if is_percent(score_name) else (f'{value:.3f}', '')


def gauge(score_name: str, value: float, interval: tuple[float, float], reference: float, text: str) -> Gauge:
    """A gauge of a score; what lies outside 0 and 1 is cut off."""
    low, high = (score_text(score_name, end) for end in interval)
    label = f'{score_name} {score_text(score_name, value)}, between {low} and {high}'
    inside = np.clip([value, *interval, reference], 0.0, 1.0).tolist()
    return Gauge(label, inside[0], inside[1], inside[2], inside[3], text)


def _hero(metrics: TaskMetrics, reference: float, text: str) -> Hero:
    name, (low, high) = metrics.score_name, metrics.score_interval
    number, unit = score_parts(name, metrics.score)
    return Hero(
        label=f'{name[0].upper()}{name[1:]} on {metrics.examples:,} examples',
        number=number,
        unit=unit,
        interval=f'{metrics.confidence:.0%} interval {score_text(name, low)} to {score_text(name, high)}',
        gauge=gauge(name, metrics.score, (low, high), reference, text),
    )


def _section(name: str, metrics: TaskMetrics) -> Section:
    if isinstance(metrics, Metrics):
        section = _classes(name, metrics)
    elif isinstance(metrics, MultiLabelMetrics):
        section = _labels(name, metrics)
    else:
        section = _numbers(name, metrics)
    more = []
    if metrics.unlabelled:
        more.append(Tile('Not labelled', f'{metrics.unlabelled:,}', 'examples left out'))
    if absent := metrics.without_figure():
        more.append(Tile('Not in the data', first_few(absent, 3), 'no figures of their own'))
    return dataclasses.replace(section, tiles=(*section.tiles, *more))


def _classes(name: str, metrics: Metrics) -> Section:
    names, matrix = metrics.class_names, metrics.confusion_matrix
    commonest = max(entry.examples for entry in metrics.per_class) / metrics.examples
    heat_map = diagrams.heat_map(matrix, names)
    mistakes = metrics.examples - int(np.trace(matrix))
    tiles = [
        Tile('Mistakes', f'{mistakes:,}', f'of {metrics.examples:,}'),
        Tile('Balanced accuracy', f'{metrics.balanced_accuracy:.1%}', 'mean over classes'),
    ]
    if metrics.k < len(names):
        tiles.append(Tile(f'Top-{metrics.k} accuracy', f'{metrics.top_k:.1%}', f'of {len(names)} classes'))
    tiles += [
        Tile('Loss', f'{metrics.loss:.3f}', 'nats an example'),
        Tile('Calibration error', f'{metrics.expected_calibration_error:.1%}', f'{len(metrics.calibration)} bins'),
    ]
    return Section(
        name=name,
        kind='classes',
        hero=_hero(metrics, commonest, f'always the commonest class: {commonest:.1%}'),
        tiles=tuple(tiles),
        details={
            'heat_map': heat_map,
            'pairs': diagrams.most_confused(matrix, names, _PAIRS if heat_map else _PAIRS_ALONE),
            'reliability': diagrams.reliability_bars(metrics.calibration),
            'per_class': sorted(metrics.per_class, key=lambda c: (c.accuracy is None, c.accuracy or 0.0)),
        },
    )


def _labels(name: str, metrics: MultiLabelMetrics) -> Section:
    present = [entry.positives / metrics.examples for entry in metrics.per_class if entry.positives]
    chance = float(np.mean(present))
    auc = '–' if metrics.roc_auc is None else f'{metrics.roc_auc:.3f}'
    f1 = '–' if metrics.micro_f1 is None else f'{metrics.micro_f1:.1%}'
    return Section(
        name=name,
        kind='labels',
        hero=_hero(metrics, chance, f'ranked at random: about {chance:.1%}'),
        tiles=(
            Tile('F1', f'{metrics.macro_f1:.1%}', 'mean over classes'),
            Tile('F1, all pairs', f1, 'of example and class'),
            Tile('Area under ROC', auc, 'mean over classes'),
            Tile('All labels right', f'{metrics.subset_accuracy:.1%}', 'of the examples'),
            Tile('Hamming loss', f'{metrics.hamming_loss:.1%}', 'of the labels are wrong'),
            Tile('Loss', f'{metrics.loss:.3f}', 'nats a label'),
        ),
        details={
            'per_class': sorted(
                metrics.per_class, key=lambda c: (c.average_precision is None, c.average_precision or 0.0)
            ),
        },
    )


def _numbers(name: str, metrics: RegressionMetrics) -> Section:
    several = len(metrics.per_number) > 1
    remark = f'mean over {len(metrics.per_number)} numbers' if several else 'in the unit of the number'
    pearson = '–' if metrics.pearson is None else f'{metrics.pearson:.3f}'
    return Section(
        name=name,
        kind='numbers',
        hero=_hero(metrics, 0.0, 'always the mean of the true values: 0'),
        tiles=(
            Tile('Absolute error', f'{metrics.mae:.4g}', remark),
            Tile('Root mean squared error', f'{metrics.rmse:.4g}', remark),
            Tile('Correlation', pearson, 'Pearson'),
            Tile('Loss', f'{metrics.loss:.4g}', 'squared error'),
        ),
        details={
            'per_number': metrics.per_number,
            'plots': [
                scatter(entry.name, metrics.shown_true[:, i], metrics.shown_predicted[:, i])
                for i, entry in enumerate(metrics.per_number)
            ],
            'shown': len(metrics.shown_true),
            'examples': metrics.examples,
        },
    )


def task_rows(metrics: AnyMetrics) -> Sequence[tuple[str, str, str, str, str, str]]:
    """Of several heads a row a task: name, score's name, score, interval, loss, examples. Else none."""
    if not isinstance(metrics, HeadsMetrics):
        return []
    return [
        (
            name,
            entry.score_name,
            score_text(entry.score_name, entry.score),
            ' to '.join(score_text(entry.score_name, end) for end in entry.score_interval),
            f'{entry.loss:.4g}',
            f'{entry.examples:,}',
        )
        for name, entry in metrics.by_task.items()
    ]
