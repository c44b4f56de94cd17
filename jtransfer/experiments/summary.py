"""What a sweep found: one row a setting over its seeds, as a table and CSV files (`summary_plot` draws it)."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any, TypedDict

from jtransfer.errors import UserError
from jtransfer.evaluate.write import write_csv
from jtransfer.text import printable

METRIC = 'test accuracy'
_SEED, _STRATEGY, _BASELINE = 'seed', 'transfer.strategy', 'scratch'


class Record(TypedDict):
    """One run of a sweep.

    `fields` holds the swept values by dotted field name, `metrics` the results by name (empty for a run that failed),
    `seconds` its duration, `run_dir` where it is, and `error` why it failed (None: it did not).
    """

    fields: dict[str, Any]
    metrics: dict[str, float]
    seconds: float
    run_dir: str
    error: str | None


@dataclasses.dataclass(frozen=True)
class Row:
    """One setting: the runs that differ in nothing but the seed.

    Attributes:
        fields: the setting, by dotted field name; empty when nothing but the seed was swept.
        values: of every metric, the value of each finished run, in the order of the records.
        failed: how many runs of this setting failed.
        seconds: mean duration of the finished runs; 0 without any.
        gain: mean of the compared metric less that of training from scratch under otherwise the same setting; None
            for `scratch` itself and where there is nothing to compare with.
    """

    fields: dict[str, str]
    values: dict[str, tuple[float, ...]]
    failed: int
    seconds: float
    gain: float | None = None

    def count(self, metric: str = METRIC) -> int:
        """How many runs have the metric."""
        return len(self.values.get(metric, ()))

    def mean(self, metric: str = METRIC) -> float | None:
        """Mean over the runs; None without a run."""
        return statistics.fmean(self.values[metric]) if self.count(metric) else None

    def deviation(self, metric: str = METRIC) -> float | None:
        """Sample standard deviation (n - 1); None below two runs."""
        return statistics.stdev(self.values[metric]) if self.count(metric) > 1 else None


def summarise(records: Sequence[Record], over: Sequence[str], metric: str = METRIC) -> list[Row]:
    """Groups runs by every swept field but `seed`.

    Args:
        records: the runs, failed ones included.
        over: the swept fields, dotted names.
        metric: what `Row.gain` compares; larger is better.

    Returns:
        One row a setting, in the order in which the settings first appear.

    Raises:
        UserError: there is no run, or runs finished and none of them has `metric`.
    """
    if not records:
        raise UserError('the sweep has no runs to summarise')
    finished = [record for record in records if record['error'] is None]
    if finished and not any(metric in record['metrics'] for record in finished):
        known = ', '.join(dict.fromkeys(name for record in finished for name in record['metrics'])) or 'none'
        raise UserError(f'no run of the sweep has the metric {metric!r}; they have: {known}')
    names = [name for name in over if name != _SEED]
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(_text(record['fields'][name]) for name in names), []).append(record)
    rows = [_row(dict(zip(names, key, strict=True)), members) for key, members in groups.items()]
    return [dataclasses.replace(row, gain=_gain(row, rows, metric)) for row in rows]


def best_row(rows: Sequence[Row], metric: str = METRIC) -> Row | None:
    """The row with the largest mean (of equal ones the first); None when no run finished."""
    measured = [row for row in rows if row.count(metric)]
    return max(measured, key=lambda row: row.mean(metric) or 0.0, default=None)


def label(row: Row) -> str:
    """The setting in a few words: its values, in the order of the fields."""
    return ' · '.join(row.fields.values()) or 'all runs'


def short_names(names: Sequence[str]) -> dict[str, str]:
    """The last part of each dotted name, or the whole where that would say two things at once."""
    last = [name.rpartition('.')[2] for name in names]
    return {name: short if last.count(short) == 1 else name for name, short in zip(names, last, strict=True)}


def print_table(rows: Sequence[Row], metric: str = METRIC, *, console: Any = None) -> None:
    """Prints the rows as a table, the best one marked.

    The metric is a share in [0, 1] and shown in percent, its gain over scratch in percentage points.

    Args:
        rows: of `summarise`.
        metric: which to show.
        console: a `rich.console.Console`; None: the standard output.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from jtransfer.terminal import wide_console

    best = best_row(rows, metric) if len(rows) > 1 else None
    gains = any(row.gain is not None for row in rows)
    failures = any(row.failed for row in rows)
    caption = 'gain: percentage points over scratch' if gains else None
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=Text(f'{metric}, %', style='bold'), title_justify='left',
        caption=caption, caption_justify='left',
    )  # fmt: skip
    short = short_names(list(rows[0].fields))
    names = list(short) or ['']
    table.add_column('', width=1)
    for name in names:
        table.add_column(Text(short.get(name, '')), overflow='fold')
    for name in ('mean', 'sd', 'min', 'max', *(['gain'] if gains else []), 'runs'):
        table.add_column(name, justify='right', no_wrap=True)
    if failures:
        table.add_column('failed', justify='right', no_wrap=True)
    table.add_column('s/run', justify='right', no_wrap=True)
    for row in rows:
        values = row.values.get(metric, ())
        cells = [Text('★' if row is best else '')]
        cells += [Text(printable(value)) for value in row.fields.values()] or [Text('all runs')]
        cells += [_share(row.mean(metric)), _share(row.deviation(metric))]
        cells += [_share(min(values, default=None)), _share(max(values, default=None))]
        if gains:
            cells.append(Text('–') if row.gain is None else Text(f'{100 * row.gain:+.1f}'))
        cells.append(Text(str(len(values))))
        if failures:
            cells.append(Text(str(row.failed or ''), style='red'))
        cells.append(Text(f'{row.seconds:.1f}' if row.seconds else '–'))
        table.add_row(*cells, style='bold green' if row is best else '')
    (console or wide_console()).print(table)


def write_tables(folder: str | os.PathLike[str], records: Sequence[Record], rows: Sequence[Row]) -> None:
    """Writes `runs.csv` (a row a run) and `summary.csv` (a row a setting), each whole or not at all.

    `summary.csv` has mean, sd (sample), min, max and n of every metric, as they are (no percent).
    """
    folder = pathlib.Path(folder)
    fields = list(dict.fromkeys(name for record in records for name in record['fields']))
    metrics = list(dict.fromkeys(name for record in records for name in record['metrics']))
    write_csv(
        folder / 'runs.csv',
        (*fields, *metrics, 'seconds', 'run_dir', 'error'),
        (
            (
                *(_text(record['fields'][name]) if name in record['fields'] else None for name in fields),
                *(record['metrics'].get(name) for name in metrics),
                record['seconds'],
                record['run_dir'],
                record['error'],
            )
            for record in records
        ),
    )
    columns = ('mean', 'sd', 'min', 'max', 'n')
    write_csv(
        folder / 'summary.csv',
        (
            *rows[0].fields,
            *(f'{name} {c}' for name in metrics for c in columns),
            'gain over scratch',
            'failed',
            'seconds',
        ),
        (
            (
                *row.fields.values(),
                *(cell for name in metrics for cell in _statistics(row, name)),
                row.gain,
                row.failed,
                row.seconds,
            )
            for row in rows
        ),
    )


def _row(fields: dict[str, str], members: Sequence[Record]) -> Row:
    finished = [record for record in members if record['error'] is None]
    metrics = dict.fromkeys(name for record in finished for name in record['metrics'])
    return Row(
        fields=fields,
        values={name: tuple(r['metrics'][name] for r in finished if name in r['metrics']) for name in metrics},
        failed=len(members) - len(finished),
        seconds=statistics.fmean(record['seconds'] for record in finished) if finished else 0.0,
    )


def _gain(row: Row, rows: Sequence[Row], metric: str) -> float | None:
    if row.fields.get(_STRATEGY, _BASELINE) == _BASELINE:
        return None
    wanted = {**row.fields, _STRATEGY: _BASELINE}
    baseline = next((other.mean(metric) for other in rows if other.fields == wanted), None)
    mean = row.mean(metric)
    return None if mean is None or baseline is None else mean - baseline


def _statistics(row: Row, metric: str) -> tuple[float | int | None, ...]:
    values = row.values.get(metric, ())
    return row.mean(metric), row.deviation(metric), min(values, default=None), max(values, default=None), len(values)


def _text(value: Any) -> str:
    return 'default' if value == '' else str(value)


def _share(value: float | None) -> Any:
    from rich.text import Text

    return Text('–' if value is None else f'{100 * value:.1f}')
