"""What a search found, as a table on the terminal and as `trials.csv` (`search_plot` draws it)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jtransfer.evaluate.write import write_csv
from jtransfer.experiments.search.space import Dimension
from jtransfer.experiments.search.study import TrialRecord
from jtransfer.experiments.sweep.summary import short_names
from jtransfer.tasks.better import rank
from jtransfer.tasks.metrics.figure import SHARE, Figure
from jtransfer.text.outside import printable


def best_trial(trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """The complete trial with the largest score, of equal ones the lower loss, then the first; None without any."""
    complete = [trial for trial in trials if trial.state == 'complete' and trial.score is not None]
    return max(complete, key=_order, default=None)


def _order(trial: TrialRecord) -> tuple[float, float, int]:
    # Trials are drawn by chance, so that a later one is no better for it: what was found first stays.
    return (*rank(trial.score, trial.loss), -trial.number)


def counted(trials: Sequence[TrialRecord]) -> str:
    """How many trials there are, by their states, in words."""
    counts = Counter(trial.state for trial in trials)
    return ', '.join(f'{number} {state}' for state, number in counts.items())


def write_trials(path: Path, trials: Sequence[TrialRecord], space: Sequence[Dimension]) -> None:
    """Writes a row a trial: number, state, score, every field, seconds, started, and the error of a failed one."""
    fields = [dimension.field for dimension in space]
    write_csv(
        path,
        ('trial', 'state', 'score', *fields, 'seconds', 'started', 'error'),
        (
            (
                trial.number,
                trial.state,
                trial.score,
                *(trial.fields.get(field) for field in fields),
                None if trial.seconds is None else round(trial.seconds, 3),
                trial.started,
                trial.error,
            )
            for trial in trials
        ),
    )


def trials_table(trials: Sequence[TrialRecord], space: Sequence[Dimension], score: Figure, most: int = 10) -> Any:
    """The best complete trials as a table for rich, the best one marked.

    Args:
        trials: of the study.
        space: what was varied.
        score: what the score is; a share is shown in percent, anything else as it is.
        most: how many, at most.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    best = best_trial(trials)
    complete = [trial for trial in trials if trial.state == 'complete' and trial.score is not None]
    order = sorted(complete, key=_order, reverse=True)[:most]
    percent = score.unit == SHARE
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=Text(f'best trials ({counted(trials)})', style='bold'),
        title_justify='left',
    )  # fmt: skip
    table.add_column('', width=1)
    table.add_column('trial', justify='right', no_wrap=True)
    table.add_column(score.name + (', %' if percent else ''), justify='right', no_wrap=True)
    for name in short_names([dimension.field for dimension in space]).values():
        table.add_column(Text(name), overflow='fold')
    table.add_column('s', justify='right', no_wrap=True)
    for trial in order:
        value = trial.score or 0.0
        table.add_row(
            '★' if trial is best else '',
            str(trial.number),
            f'{100 * value:.1f}' if percent else f'{value:.4g}',
            *(Text(printable(in_words(trial.fields.get(dimension.field, '')))) for dimension in space),
            '–' if trial.seconds is None else f'{trial.seconds:.1f}',
            style='bold green' if trial is best else '',
        )
    return table


def in_words(value: Any) -> str:
    """A setting in a few characters."""
    return f'{value:.3g}' if isinstance(value, float) else str(value)
