"""What a search found, as a picture: the scores in the order of the trials, and over every field."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from jtransfer.experiments.search.report import best_trial
from jtransfer.experiments.search.space import Dimension
from jtransfer.experiments.search.study import TrialRecord
from jtransfer.files.writing import atomic_path
from jtransfer.tasks.metrics.figure import SHARE, Figure
from jtransfer.text.outside import for_figure

_INK, _SOFT, _GRID, _COLOUR, _STRONG = '#12120f', '#55534d', '#e3e1da', '#2a78d6', '#e0602b'
_COLUMNS = 3


def plot(
    path: str | os.PathLike[str],
    trials: Sequence[TrialRecord],
    space: Sequence[Dimension],
    score: Figure,
) -> None:
    """Draws the history with the best so far, and a panel a field, as a PNG.

    A dot is a complete trial, a circle one that was pruned (at the last score it reached), the ringed dot the best one.
    The panel of a field is as wide as its range.

    Args:
        path: of the picture; replaced whole, or not at all.
        trials: of the study; those without a score are ticks at the foot of the history.
        space: what was varied.
        score: what the score is; a share is drawn in percent, anything else as it is.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    unit = 100.0 if score.unit == SHARE else 1.0
    columns = min(_COLUMNS, len(space))
    rows = math.ceil(len(space) / columns)
    figure = Figure(figsize=(4.2 * columns if columns > 1 else 6.5, 2.9 * (rows + 1)), dpi=150, facecolor='white')
    figure.set_layout_engine('constrained', w_pad=0.1, h_pad=0.1)
    FigureCanvasAgg(figure)
    layout = figure.add_gridspec(rows + 1, columns)
    label = score.name + (', %' if unit == 100 else '')

    history = figure.add_subplot(layout[0, :])
    _scatter(history, trials, [float(trial.number) for trial in trials], unit)
    _best_so_far(history, trials, unit)
    without = [trial.number for trial in trials if trial.score is None]
    history.plot(
        without, [0.02] * len(without), 'x', color=_SOFT, markersize=5, transform=history.get_xaxis_transform()
    )  # fmt: skip
    history.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    history.set_xlim(-0.5, max(len(trials) - 0.5, 0.5))
    pruned = any(trial.state == 'pruned' for trial in trials)
    explained = [
        'trial',
        'line: the best so far',
        *['circle: pruned'] * pruned,
        *['×: without a score'] * bool(without),
    ]
    _style(history, '; '.join(explained), label)

    for number, dimension in enumerate(space):
        axes = figure.add_subplot(layout[1 + number // columns, number % columns])
        drawn = [trial for trial in trials if dimension.field in trial.fields]
        if dimension.choices:
            at = [float(dimension.choices.index(trial.fields[dimension.field])) for trial in drawn]
            axes.set_xticks(range(len(dimension.choices)), [for_figure(choice) for choice in dimension.choices])
            axes.set_xlim(-0.5, len(dimension.choices) - 0.5)
            if sum(map(len, dimension.choices)) > 24:
                axes.tick_params(axis='x', rotation=20)
        else:
            at = [float(trial.fields[dimension.field]) for trial in drawn]
            margin = 0.03 * (dimension.high - dimension.low)
            axes.set_xlim(dimension.low - margin, dimension.high + margin)
            if dimension.logarithmic:
                ratio = (dimension.high / dimension.low) ** 0.03
                axes.set_xscale('log')
                axes.set_xlim(dimension.low / ratio, dimension.high * ratio)
        _scatter(axes, drawn, at, unit)
        _style(axes, dimension.field, label if not number % columns else '')

    best = best_trial(trials)
    found = 'no trial is complete' if best is None else f'trial {best.number} is best: {unit * (best.score or 0):.4g}'
    figure.suptitle(f'{len(trials)} trials; {found}', x=0.01, ha='left', fontsize=12, fontweight='bold', color=_INK)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format='png')


def _scatter(axes: Any, trials: Sequence[TrialRecord], at: Sequence[float], unit: float) -> None:
    best = best_trial(trials)
    for state, face in (('complete', _COLOUR), ('pruned', 'none')):
        chosen = [(x, trial) for x, trial in zip(at, trials, strict=True) if trial.state == state]
        scored = [(x, unit * trial.score) for x, trial in chosen if trial.score is not None]
        axes.scatter(
            [x for x, _ in scored], [y for _, y in scored], s=26, facecolors=face,
            edgecolors='white' if state == 'complete' else _COLOUR, linewidths=0.8, zorder=3,
        )  # fmt: skip
    for x, trial in zip(at, trials, strict=True):
        if trial is best and trial.score is not None:
            axes.scatter([x], [unit * trial.score], s=80, facecolors='none', edgecolors=_STRONG, linewidths=2, zorder=4)


def _best_so_far(axes: Any, trials: Sequence[TrialRecord], unit: float) -> None:
    numbers: list[int] = []
    highest: list[float] = []
    for trial in trials:
        if trial.state == 'complete' and trial.score is not None:
            numbers.append(trial.number)
            highest.append(max([*highest[-1:], unit * trial.score]))
    if numbers:
        numbers, highest = [*numbers, len(trials) - 1], [*highest, highest[-1]]
    axes.step(numbers, highest, where='post', color=_STRONG, linewidth=1.5, zorder=2)


def _style(axes: Any, below: str, beside: str) -> None:
    axes.set_xlabel(for_figure(below), color=_SOFT, fontsize=9.5)
    axes.set_ylabel(for_figure(beside), color=_SOFT, fontsize=9.5)
    axes.grid(axis='y', color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which='both', length=0, colors=_SOFT, labelsize=8.5)
    for side in ('top', 'right', 'left'):
        axes.spines[side].set_visible(False)
    axes.spines['bottom'].set_color(_GRID)
