"""What a sweep found, as a picture: a dot a run, mean and standard deviation a setting."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from jtransfer.experiments.sweep.summary import METRIC, Row, best_row, label, percent, short_names
from jtransfer.experiments.sweep.table import AT_END, given_columns
from jtransfer.files.writing import atomic_path
from jtransfer.text.outside import for_figure


def plot(path: str | os.PathLike[str], rows: Sequence[Row], metric: str = METRIC) -> None:
    """Draws a dot a run, and mean ± one sample standard deviation a setting, as a PNG.

    Args:
        path: of the picture; replaced whole, or not at all.
        rows: of `summarise`.
        metric: a share in [0, 1] is drawn in percent, anything else as it is.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    ink, soft, grid, colour, strong = '#12120f', '#55534d', '#e3e1da', '#2a78d6', '#e0602b'
    best = best_row(rows, metric) if len(rows) > 1 else None
    scale, form, unit = (100.0, '.1f', ', %') if percent(rows, metric) else (1.0, '.3f', '')
    labels = _labels(rows)
    width = min(6.5 + 0.085 * max(len(line) for text in labels for line in text.splitlines()), 14.0)
    figure = Figure(figsize=(width, 1.4 + 0.42 * max(len(rows), 2)), dpi=150, facecolor='white')
    figure.set_layout_engine('constrained', w_pad=0.12, h_pad=0.08)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for y, row in enumerate(rows):
        values = scale * np.asarray(row.values.get(metric, ()))
        hue = strong if row is best else colour
        if not len(values):
            axes.annotate('no finished run', (0.01, y), xycoords=('axes fraction', 'data'), va='center', color=soft)
            continue
        mean, deviation = values.mean(), scale * (row.deviation(metric) or 0.0)
        # Spread over the height by rank, so that equal runs stay visible without a random jitter.
        offsets = np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else np.zeros(1)
        axes.plot(
            [mean - deviation, mean + deviation],
            [y, y],
            color=hue,
            linewidth=9,
            alpha=0.22,
            solid_capstyle='butt',
            zorder=2,
        )
        axes.scatter(values, y + offsets, s=26, color=hue, alpha=0.75, linewidths=0.8, edgecolors='white', zorder=3)
        axes.plot([mean, mean], [y - 0.3, y + 0.3], color=hue, linewidth=2.6, solid_capstyle='round', zorder=4)
        text = f'{mean:{form}}' + (f' ± {deviation:{form}}' if len(values) > 1 else '')
        if row.gain is not None:
            ends = (
                ''
                if row.interval is None
                else ' ({:+{form}} to {:+{form}})'.format(*(scale * end for end in row.interval), form=form)
            )
            text += f'\n{scale * row.gain:+{form}}{ends}'
        axes.annotate(
            text, (1.015, y), xycoords=('axes fraction', 'data'), va='center', color=ink,
            fontsize=9.5 if row.gain is None else 8.5,
            fontweight='bold' if row is best else 'normal', annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks(
        range(len(rows)),
        [for_figure(text) for text in labels],
        fontsize=8.5 if any('\n' in text for text in labels) else 10,
        color=ink,
    )
    axes.set_ylim(len(rows) - 0.4, -0.6)
    _limit_x(axes, rows, metric, scale)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    explained = 'dot: one run; line and band: mean ± one standard deviation'
    if any(row.gain is not None for row in rows):
        explained += '; below: gain over scratch, 95 % interval'
    if any(row.at_end for row in rows):
        explained += f'\n†: {AT_END}'
    axes.set_xlabel(for_figure(f'{metric}{unit}\n') + explained, color=soft, fontsize=9.5)
    names = ' · '.join(short_names(list(rows[0].fields)).values())
    title = for_figure(f'{metric} by {names}' if names else metric)
    figure.suptitle(title, x=0.01, ha='left', fontsize=12, fontweight='bold', color=ink)
    axes.grid(axis='x', color=grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=soft)
    for tick in axes.get_yticklabels():
        tick.set_color(ink)
    for side in ('top', 'right', 'left'):
        axes.spines[side].set_visible(False)
    axes.spines['bottom'].set_color(grid)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format='png')


def _labels(rows: Sequence[Row]) -> list[str]:
    """The setting of every row, and below it what was chosen for it and what it was given, unlike others."""
    short = short_names([*rows[0].fields, *rows[0].tuned])
    given = given_columns(rows)
    labels = []
    for row in rows:
        details = [f'{short[name]} {value}{" †" * (name in row.at_end)}' for name, value in row.tuned.items()]
        details += [f'{name} {row.given[name]}' for name in given if name in row.given]
        labels.append('\n'.join([label(row), *([', '.join(details)] if details else [])]))
    return labels


def _limit_x(axes: Any, rows: Sequence[Row], metric: str, scale: float) -> None:
    """From just below what was measured to just above it; of shares within 0 and 100%, and at least two points wide."""
    ends = [scale * value for row in rows for value in row.values.get(metric, ())]
    for row in rows:
        mean, deviation = row.mean(metric), row.deviation(metric) or 0.0
        if mean is not None:
            ends += [scale * (mean - deviation), scale * (mean + deviation)]
    low, high = (min(ends), max(ends)) if ends else (0.0, scale)
    if scale == 1:
        margin = max(0.06 * (high - low), 0.01)
        axes.set_xlim(low - margin, high + margin)
        return
    margin = max(0.06 * (high - low), 1.0 - (high - low) / 2, 0.0)
    # Half a point beyond 100% keeps the dot of a perfect run whole.
    axes.set_xlim(max(low - margin, -0.5), min(high + margin, max(100.5, high)))
