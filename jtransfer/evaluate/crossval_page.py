"""One self-contained HTML page about a cross-validation, for a person to look at."""

from __future__ import annotations

import dataclasses
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jtransfer.evaluate.curves import fold_charts
from jtransfer.evaluate.fold_statistics import FoldInterval, fold_interval
from jtransfer.evaluate.report import WrongPicture, task_views, write_page
from jtransfer.evaluate.sections import Hero, Tile, gauge, is_percent, score_parts, score_text
from jtransfer.tasks.several import AnyMetrics, HeadsMetrics


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
    pooled: AnyMetrics,
    curves: Sequence[Sequence[Mapping[str, Any]]] = (),
    most_wrong: Sequence[WrongPicture] = (),
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
    name = pooled.score_name
    repeats = 1 + max(fold.repeat for fold in folds)
    interval = _interval(folds, pooled.confidence, is_percent(name))
    views = task_views(pooled, most_wrong)
    mean = float(np.mean([fold.score for fold in folds]))
    write_page(
        path,
        'crossval.html.jinja',
        title=title,
        eyebrow='jtransfer cross-validation',
        facts=facts or {},
        config_text=config_text,
        hero=_hero(folds, interval, name, mean),
        tiles=_tiles(folds, pooled, repeats),
        notes=notes,
        repeats=repeats,
        score_title=name[0].upper() + name[1:],
        percent=is_percent(name),
        rows=[
            {
                'fold': fold,
                'score': score_text(name, fold.score),
                # A colon would make a relative address an absolute one.
                'link': urllib.parse.quote(fold.report),
            }
            for fold in folds
        ],
        interval=_words(interval, name, folds) if interval else '',
        charts=fold_charts(curves, [_label(fold, repeats) for fold in folds], name) if curves else [],
        **views | {'headline': score_text(name, mean)},
    )


def _interval(folds: Sequence[FoldSummary], confidence: float, shares: bool) -> FoldInterval | None:
    """The interval of the mean; of shares as far as it lies in [0, 1], for beyond there is nothing to be shown."""
    if len(folds) < 2:
        return None
    interval = fold_interval([fold.score for fold in folds], size_ratio(folds), confidence)
    if not shares:
        return interval
    return dataclasses.replace(interval, low=max(0.0, interval.low), high=min(1.0, interval.high))


def _hero(folds: Sequence[FoldSummary], interval: FoldInterval | None, name: str, mean: float) -> Hero:
    number, unit = score_parts(name, mean)
    label = f'{name[0].upper()}{name[1:]}, mean of {len(folds)} fold{"s" if len(folds) > 1 else ""}'
    if interval is None:
        return Hero(label, number, unit, 'of a single fold: without an interval', None)
    low, high = score_text(name, interval.low), score_text(name, interval.high)
    return Hero(
        label=label,
        number=number,
        unit=unit,
        interval=f'± {score_text(name, interval.sd)} from fold to fold; {interval.confidence:.0%} interval of the mean '
        f'{low} to {high}',
        gauge=gauge(
            name,
            mean,
            (interval.low, interval.high),
            min(fold.score for fold in folds),
            f'worst fold {score_text(name, min(fold.score for fold in folds))}',
        ),
    )


def _tiles(folds: Sequence[FoldSummary], pooled: AnyMetrics, repeats: int) -> tuple[Tile, ...]:
    name, scores = pooled.score_name, [fold.score for fold in folds]
    ends = pooled.score_interval
    between = f'{pooled.confidence:.0%} interval {" to ".join(score_text(name, end) for end in ends)}' if ends else ''
    division = f'{repeats} repeats of {len(folds) // repeats}' if repeats > 1 else 'each trained anew'
    tiles = [
        Tile('All predictions together', score_text(name, pooled.score), between or 'each example once'),
        Tile('Worst fold', score_text(name, min(scores)), f'best {score_text(name, max(scores))}'),
        Tile('Loss', f'{np.mean([fold.loss for fold in folds]):.4g}', 'mean of the folds'),
        Tile('Examples', f'{pooled.examples:,}', 'each tested once' if repeats == 1 else 'each tested once a repeat'),
        Tile('Folds', str(len(folds)), division),
        Tile('Training', _duration(sum(fold.seconds for fold in folds)), 'all folds'),
    ]
    if isinstance(pooled, HeadsMetrics):
        tiles.append(Tile('Tasks', str(len(pooled.by_task)), 'a head each'))
    return tuple(tiles)


def _words(interval: FoldInterval, name: str, folds: Sequence[FoldSummary]) -> str:
    return (
        f'Mean {score_text(name, interval.mean)}, standard deviation {score_text(name, interval.sd)}. The '
        f'{interval.confidence:.0%} interval of the mean, {score_text(name, interval.low)} to '
        f'{score_text(name, interval.high)}, is widened because the folds share training data: its variance is '
        f'1/{len(folds)} + {size_ratio(folds):.3f} times that of the folds (Nadeau and Bengio, 2003).'
    )


def _label(fold: FoldSummary, repeats: int) -> str:
    return f'fold {fold.number}' if repeats == 1 else f'repeat {fold.repeat} fold {fold.number}'


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f'{seconds:.1f} s'
    return f'{seconds / 60:.1f} min' if seconds < 7200 else f'{seconds / 3600:.1f} h'
