"""From the lines of `metrics.jsonl` to the charts of a run, or of the runs of several folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jtransfer.report.charts import WIDE, LineChart, Series, line_chart
from jtransfer.tasks.better import VALIDATED, rank
from jtransfer.tasks.metrics.figure import SHARE, Figure, capital

_GROUP = 'learning_rate/'
_MOST_GROUPS = 6
# More folds than colours are drawn pale, with their mean on top.
_MOST_COLOURS = 6
_ACCURACY = Figure('accuracy', None, SHARE)
_LOGGED = f'train/{_ACCURACY.name}'
# What a line says of the training beside the figures of the tasks.
_OTHERS = ('train/loss', 'train/image_size', _LOGGED)

Lines = Sequence[Mapping[str, Any]]


def training_charts(lines: Lines, score: Figure = _ACCURACY) -> list[LineChart]:
    """The charts of a run: loss, score, learning rate, gradient norm, speed; those that were logged.

    Args:
        lines: parsed lines of `metrics.jsonl`. Each has `step` and some of `train/loss`, `train/accuracy`,
            `validation/loss`, `validation/score` (or `validation/top1`), `learning_rate/GROUP`, `gradient_norm` and
            `images_per_second`.
        score: what the validation score is.

    Returns:
        The charts, in this order. Where the score is another than the accuracy, the accuracy in training has a chart of
        its own; so has every other figure that a kind of task logs.
    """
    norms = [y for _, y in _points(lines, 'gradient_norm') if y > 0]
    accuracy = Series('train', _points(lines, _LOGGED), 1)
    scores = Series('validation', _scores(lines), 2, markers=True, best=_best_step(lines), noisy=False)
    same = score.name == _ACCURACY.name
    charts = [
        line_chart(
            'Loss',
            [
                Series('train', _points(lines, 'train/loss'), 1),
                Series('validation', _points(lines, 'validation/loss'), 2, markers=True, noisy=False),
            ],
            x_label='step',
            width=WIDE,
        ),
        line_chart(
            score.title,
            [accuracy, scores] if same else [scores],
            x_label='step',
            width=WIDE,
            percent=score.unit == SHARE,
        ),
        None if same else line_chart('Accuracy in training', [accuracy], x_label='step', percent=True),
        *(
            line_chart(title, [Series('train', _points(lines, key), 1)], x_label='step')
            for key, title in _further(lines).items()
        ),
        line_chart('Learning rate', _learning_rates(lines), x_label='step'),
        line_chart(
            'Gradient norm',
            [Series('trainable', _points(lines, 'gradient_norm'), 1)],
            x_label='step',
            logarithmic=bool(norms) and max(norms) > 100 * min(norms),
        ),
        line_chart('Images per second', [Series('training', _points(lines, 'images_per_second'), 1)], x_label='step'),
    ]
    return [chart for chart in charts if chart is not None]


def fold_charts(folds: Sequence[Lines], names: Sequence[str], score: Figure = _ACCURACY) -> list[LineChart]:
    """The folds' curves over each other: validation score and loss, training loss and accuracy; those that were logged.

    More than six folds are drawn pale, with their mean at the steps that all of them have on top.

    Args:
        folds: of each fold, lines as for `training_charts`.
        names: of the folds.
        score: what the validation score is.
    """
    scores = [_scores(lines) for lines in folds]
    accuracy = [_points(lines, _LOGGED) for lines in folds]
    charts = [
        _over_each_other(f'{score.title} in validation', scores, names, percent=score.unit == SHARE),
        _over_each_other('Loss in validation', [_points(lines, 'validation/loss') for lines in folds], names),
        _over_each_other('Loss in training', [_points(lines, 'train/loss') for lines in folds], names, alone=True),
        _over_each_other('Accuracy in training', accuracy, names, alone=True, percent=True)
        if score.name == _ACCURACY.name
        else None,
    ]
    return [chart for chart in charts if chart is not None]


def _over_each_other(
    title: str,
    folds: Sequence[list[tuple[float, float]]],
    names: Sequence[str],
    *,
    alone: bool = False,
    percent: bool = False,
) -> LineChart | None:
    many = len(folds) > _MOST_COLOURS
    series = [
        Series(name, points, 1 if many else i + 1, noisy=alone, alone=alone, faint=many, markers=not many and not alone)
        for i, (name, points) in enumerate(zip(names, folds, strict=True))
    ]
    if many:
        mean = _mean(folds)
        series.append(Series(f'mean of {len(folds)}', mean, 2, noisy=alone, alone=alone, markers=not alone))
    return line_chart(title, series, x_label='step', width=WIDE, percent=percent)


def _mean(folds: Sequence[list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The mean over the folds that have points, at the steps that all of these have."""
    drawn = [dict(points) for points in folds if points]
    steps = sorted(set.intersection(*(set(points) for points in drawn))) if drawn else []
    return [(step, float(np.mean([points[step] for points in drawn]))) for step in steps]


def _points(lines: Lines, key: str) -> list[tuple[float, float]]:
    return [(float(line['step']), float(line[key])) for line in lines if line.get(key) is not None]


def _further(lines: Lines) -> dict[str, str]:
    """The figures that tasks log beside the accuracy, by their keys: titles."""
    keys = dict.fromkeys(key for line in lines for key in line if key.startswith('train/') and key not in _OTHERS)
    figures = [key for key in keys if not key.startswith('train/loss/')]
    return {key: f'{capital(key.removeprefix("train/").replace("_", " "))} in training' for key in figures}


def _scores(lines: Lines) -> list[tuple[float, float]]:
    return next(filter(None, (_points(lines, f'validation/{name}') for name in VALIDATED)), [])


def _best_step(lines: Lines) -> float | None:
    """Where the best checkpoint was: the largest score, of equal ones the lower loss, of equal losses the latest."""
    losses = dict(_points(lines, 'validation/loss'))
    found = [(*rank(score, losses.get(step)), step) for step, score in _scores(lines)]
    return max(found)[-1] if found else None


def _learning_rates(lines: Lines) -> list[Series]:
    """One series a group; of many groups (layer decay) some, evenly spaced from the fastest to the slowest."""
    names = dict.fromkeys(key for line in lines for key in line if key.startswith(_GROUP))
    groups = sorted(
        ((name, _points(lines, name)) for name in names), key=lambda g: -max((y for _, y in g[1]), default=0.0)
    )
    if len(groups) > _MOST_GROUPS:
        last = len(groups) - 1
        groups = [groups[round(i * last / (_MOST_GROUPS - 1))] for i in range(_MOST_GROUPS)]
    return [
        Series(name.removeprefix(_GROUP), values, i + 1, peak=True, noisy=False)
        for i, (name, values) in enumerate(groups)
    ]
