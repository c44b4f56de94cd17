"""A learning-rate range test as a picture: the loss against the learning rate, and what it suggests."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from jtransfer.experiments.inspect.lr_curve import RangeTest
from jtransfer.text.outside import for_figure

_INK, _SOFT, _GRID, _COLOUR, _STRONG = '#12120f', '#55534d', '#e3e1da', '#2a78d6', '#e0602b'


def plot(path: str | os.PathLike[str], found: RangeTest, title: str = '') -> None:
    """Draws raw and smoothed loss against the learning rate, with the suggestions marked, as a PNG.

    The axis of the loss covers the smoothed curve up to a little above where it began; what diverges
    leaves the picture.

    Args:
        path: of the picture; replaced whole, or not at all.
        found: what was measured.
        title: stands above it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from jtransfer.files.writing import atomic_path

    figure = Figure(figsize=(8.2, 4.9), dpi=150, facecolor='white')
    figure.set_layout_engine('constrained', w_pad=0.12, h_pad=0.08)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    rates, smoothed = found.learning_rates, found.smoothed
    axes.plot(rates, found.losses, color=_COLOUR, alpha=0.42, linewidth=1.1, zorder=2, label='loss of a batch')
    axes.plot(rates, smoothed, color=_COLOUR, linewidth=2.4, solid_capstyle='round', zorder=3, label='smoothed')
    axes.set_xscale('log')
    if len(rates) > 1:
        axes.set_xlim(rates[0], rates[-1])
    axes.set_ylim(*_limits(found))
    _mark(axes, found)
    axes.set_xlabel('optim.learning_rate', color=_SOFT, fontsize=10)
    axes.set_ylabel('training loss', color=_SOFT, fontsize=10)
    figure.suptitle(for_figure(title), x=0.01, ha='left', fontsize=12, fontweight='bold', color=_INK)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which='both', length=0, colors=_SOFT)
    for side in ('top', 'right', 'left'):
        axes.spines[side].set_visible(False)
    axes.spines['bottom'].set_color(_GRID)
    axes.legend(loc='lower left', frameon=False, fontsize=9, labelcolor=_SOFT)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format='png')


def _limits(found: RangeTest) -> tuple[float, float]:
    """The losses to show: all of the fall, and as much again of the rise as the fall is high."""
    low, begin = float(found.smoothed.min()), float(found.smoothed[0])
    shown = found.losses[: int(np.argmin(found.smoothed)) + 1]
    low, high = min(low, float(shown.min())), max(begin, float(shown.max()))
    margin = max(high - low, 0.02 * abs(high), 1e-6)
    return low - 0.12 * margin, high + 0.35 * margin


def _mark(axes: Any, found: RangeTest) -> None:
    """A dot a suggestion on the smoothed curve, with its value above; the one to take stands out."""
    suggestions = found.suggestions
    if suggestions is None:
        axes.annotate(
            'the loss does not fall: no suggestion',
            (0.5, 0.94), xycoords='axes fraction', ha='center', va='top', fontsize=11, fontweight='bold', color=_STRONG,
        )  # fmt: skip
        return
    axes.axvspan(*suggestions.valley_ends, color=_STRONG, alpha=0.06, linewidth=0, zorder=0, label='longest fall')
    marks = [('valley', suggestions.valley), ('steepest', suggestions.steepest), ('minimum / 10', suggestions.minimum)]
    logs = np.log(found.learning_rates)
    # The texts stand left of their lines: the further right the higher, so that no line runs through another's text.
    for row, (name, rate) in enumerate(sorted(marks, key=lambda mark: -mark[1])):
        taken = name == 'valley'
        hue, height = _STRONG if taken else _SOFT, 0.975 - 0.062 * row
        loss = float(np.interp(np.log(rate), logs, found.smoothed))
        low, high = axes.get_ylim()
        axes.plot(
            [rate, rate], [loss, low + height * (high - low)], color=hue, linewidth=1.0, linestyle=(0, (2, 3)), zorder=4
        )  # fmt: skip
        axes.scatter([rate], [loss], s=64 if taken else 36, color=hue, edgecolors='white', linewidths=1.2, zorder=5)
        axes.annotate(
            f'{name}  {rate:.1e}',
            (rate, height), xycoords=('data', 'axes fraction'), xytext=(-6, 0), textcoords='offset points',
            ha='right', va='top', fontsize=10 if taken else 9.5, fontweight='bold' if taken else 'normal', color=hue,
        )  # fmt: skip
