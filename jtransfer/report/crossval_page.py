"""One self-contained HTML page about a cross-validation, for a person to look at."""

from __future__ import annotations

import dataclasses
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jtransfer.evaluate.folds import FoldInterval, fold_interval
from jtransfer.report.curves import fold_charts
from jtransfer.report.page import WrongExample, task_views, write_page
from jtransfer.report.sections import Hero, Tile, gauge
from jtransfer.tasks.metrics.figure import INDEX, SHARE, Figure
from jtransfer.tasks.metrics.measured import Baseline, Measured


@dataclasses.dataclass(frozen=True)
class FoldSummary:
    """What one fold did.

    Attributes:
        repeat: of the division, from 0.
        number: of the fold in it, from 0.
        train_examples: how many were trained on.
        test_examples: how many were tested on.
        chosen_step: of the checkpoint that was tested.
        score: on the test part; higher is better.
        loss: on the test part.
        seconds: of training.
        report: of the fold's own page, relative to the folder of this one. Empty: there is none.
    """

    repeat: int
    number: int
    train_examples: int
    test_examples: int
    chosen_step: int
    score: float
    loss: float
    seconds: float
    report: str = ''


def size_ratio(folds: Sequence[FoldSummary]) -> float:
    """Mean size of the test parts over mean size of the training parts, for `fold_interval`.

    Raises:
        ValueError: there are no folds, or nothing was trained on.
    """
    trained = sum(fold.train_examples for fold in folds)
    if not trained:
        raise ValueError('the folds have no training examples')
    return sum(fold.test_examples for fold in folds) / trained


def write_crossval_page(
    path: str | os.PathLike[str],
    *,
    title: str,
    folds: Sequence[FoldSummary],
    pooled: Measured,
    curves: Sequence[Sequence[Mapping[str, Any]]] = (),
    most_wrong: Sequence[WrongExample] = (),
    facts: Mapping[str, str] | None = None,
    config_text: str = '',
    notes: Sequence[str] = (),
) -> None:
    """Writes the page as one HTML file that loads nothing from anywhere and runs no script.

    Its first figure is the mean score over the folds (and repeats) with the interval of `fold_interval`, at the pooled
    metrics' level. All text is shown as text, whatever it contains. What is empty is left out.

    Args:
        path: of the page; replaced whole, or not at all.
        title: heads the page.
        folds: one entry a fold and repeat, in order; one at least.
        pooled: of the out-of-fold predictions of one repeat.
        curves: of each fold, parsed lines of `metrics.jsonl` (see `training_charts`), as many as folds, or none.
        most_wrong: pictures to show, the worst first.
        facts: short labelled facts in the heading.
        config_text: the resolved configuration.
        notes: what a reader should know (duplicates that were kept together, say), a line each.

    Raises:
        ValueError: no folds, or another number of curves.
    """
    if not folds:
        raise ValueError('there are no folds to show')
    if curves and len(curves) != len(folds):
        raise ValueError(f'{len(curves)} curves for {len(folds)} folds')
    score = pooled.score_figure
    repeats = 1 + max(fold.repeat for fold in folds)
    interval = _interval(folds, pooled.confidence, score.unit == SHARE)
    views = task_views(pooled, most_wrong)
    mean = float(np.mean([fold.score for fold in folds]))
    write_page(
        path,
        'crossval.html.jinja',
        title=title,
        eyebrow='jtransfer cross-validation',
        facts=facts or {},
        config_text=config_text,
        hero=_hero(folds, interval, score, mean),
        tiles=_tiles(folds, pooled, repeats),
        notes=notes,
        repeats=repeats,
        score_title=score.title,
        percent=score.unit == SHARE,
        rows=[
            {
                'fold': fold,
                'score': score.tell(fold.score),
                # A colon would make a relative address an absolute one.
                'link': urllib.parse.quote(fold.report),
            }
            for fold in folds
        ],
        interval=_words(interval, score, folds) if interval else '',
        charts=fold_charts(curves, [_label(fold, repeats) for fold in folds], score) if curves else [],
        **views | {'headline': score.tell(mean)},
    )


def _interval(folds: Sequence[FoldSummary], confidence: float, shares: bool) -> FoldInterval | None:
    """The interval of the mean; of shares as far as it lies in [0, 1], for beyond there is nothing to be shown."""
    if len(folds) < 2:
        return None
    interval = fold_interval([fold.score for fold in folds], size_ratio(folds), confidence)
    if not shares:
        return interval
    return dataclasses.replace(interval, low=max(0.0, interval.low), high=min(1.0, interval.high))


def _hero(folds: Sequence[FoldSummary], interval: FoldInterval | None, score: Figure, mean: float) -> Hero:
    number, unit = score.parts(mean)
    label = f'{score.title}, mean of {len(folds)} fold{"s" if len(folds) > 1 else ""}'
    if interval is None:
        return Hero(label, number, unit, 'of a single fold: without an interval', None)
    ends = (interval.low, interval.high)
    shown = dataclasses.replace(score, value=mean, interval=ends)
    worst = min(fold.score for fold in folds)
    baseline, drawn = Baseline(worst, f'worst fold {score.tell(worst)}'), score.unit in (SHARE, INDEX)
    return Hero(
        label=label,
        number=number,
        unit=unit,
        interval=f'± {score.tell(interval.sd)} from fold to fold; {interval.confidence:.0%} interval of the mean '
        f'{shown.interval_text}',
        gauge=gauge(shown, baseline) if drawn else None,
    )


def _tiles(folds: Sequence[FoldSummary], pooled: Measured, repeats: int) -> tuple[Tile, ...]:
    score, scores = pooled.score_figure, [fold.score for fold in folds]
    between = f'{score.confidence:.0%} interval {score.interval_text}' if score.interval else ''
    division = f'{repeats} repeats of {len(folds) // repeats}' if repeats > 1 else 'each trained anew'
    tiles = [
        Tile('All predictions together', score.text, between or 'each example once'),
        Tile('Worst fold', score.tell(min(scores)), f'best {score.tell(max(scores))}'),
        Tile('Loss', f'{np.mean([fold.loss for fold in folds]):.4g}', 'mean of the folds'),
        Tile('Examples', f'{pooled.examples:,}', 'each tested once' if repeats == 1 else 'each tested once a repeat'),
        Tile('Folds', str(len(folds)), division),
        Tile('Training', _duration(sum(fold.seconds for fold in folds)), 'all folds'),
    ]
    heads = pooled.of_tasks()
    if '' not in heads:
        tiles.append(Tile('Tasks', str(len(heads)), 'a head each'))
    return tuple(tiles)


def _words(interval: FoldInterval, score: Figure, folds: Sequence[FoldSummary]) -> str:
    return (
        f'Mean {score.tell(interval.mean)}, standard deviation {score.tell(interval.sd)}. The '
        f'{interval.confidence:.0%} interval of the mean, {score.tell(interval.low)} to '
        f'{score.tell(interval.high)}, is widened because the folds share training data: its variance is '
        f'1/{len(folds)} + {size_ratio(folds):.3f} times that of the folds (Nadeau and Bengio, 2003).'
    )


def _label(fold: FoldSummary, repeats: int) -> str:
    return f'fold {fold.number}' if repeats == 1 else f'repeat {fold.repeat} fold {fold.number}'


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f'{seconds:.1f} s'
    return f'{seconds / 60:.1f} min' if seconds < 7200 else f'{seconds / 3600:.1f} h'
