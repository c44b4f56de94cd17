"""What a sweep found: one row a setting over its seeds, and CSV files.

`summary_table` prints it, `summary_plot` draws it.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from jtransfer.errors import UserError
from jtransfer.evaluate.write import write_csv
from jtransfer.experiments.data.given import shared
from jtransfer.experiments.sweep.gain import gain
from jtransfer.tasks.better import rank
from jtransfer.tasks.metrics.figure import INDEX, SHARE

METRIC = 'test accuracy'
SEED, _STRATEGY, _BASELINE = 'seed', 'transfer.strategy', 'scratch'


class Record(TypedDict):
    """One run of a sweep.

    `fields` holds the swept values by dotted field name, `metrics` the results by name (empty for a run that failed),
    `seconds` its duration, `run_dir` where it is, and `error` why it failed (None: it did not). `given` says in words
    what it was given (`given.in_words`), `validation` its score and loss on the validation part, by name, `unit` that
    of its scores, and `chosen`, of a sweep that tunes, whether its values were; those that were not have no `metrics`.
    """

    fields: dict[str, Any]
    metrics: dict[str, float]
    seconds: float
    run_dir: str
    error: str | None
    given: NotRequired[dict[str, str]]
    validation: NotRequired[dict[str, float]]
    unit: NotRequired[str]
    chosen: NotRequired[bool]


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
        interval: 95 % interval of the gain; None below two runs a side.
        tuned: the values that were chosen on the validation part, by dotted field name.
        tried: what they were chosen of, likewise.
        at_end: those of them at the end of what was tried.
        given: what the runs were given, in words, by what it is.
        seeds: of the finished runs, in the order of `values`.
        unit: of their scores.
    """

    fields: dict[str, str]
    values: dict[str, tuple[float, ...]]
    failed: int
    seconds: float
    gain: float | None = None
    interval: tuple[float, float] | None = None
    tuned: dict[str, str] = dataclasses.field(default_factory=dict)
    tried: dict[str, str] = dataclasses.field(default_factory=dict)
    at_end: tuple[str, ...] = ()
    given: dict[str, str] = dataclasses.field(default_factory=dict)
    seeds: tuple[str, ...] = ()
    unit: str = INDEX

    def count(self, metric: str = METRIC) -> int:
        """How many runs have the metric."""
        return len(self.values.get(metric, ()))

    def mean(self, metric: str = METRIC) -> float | None:
        """Mean over the runs; None without a run."""
        return statistics.fmean(self.values[metric]) if self.count(metric) else None

    def deviation(self, metric: str = METRIC) -> float | None:
        """Sample standard deviation (n - 1); None below two runs."""
        return statistics.stdev(self.values[metric]) if self.count(metric) > 1 else None


def summarise(
    records: Sequence[Record], over: Sequence[str], metric: str = METRIC, tune: Sequence[str] = ()
) -> list[Row]:
    """Groups runs by every swept field but `seed`; of a sweep that tunes, the chosen runs alone.

    Args:
        records: the runs, failed ones included.
        over: the swept fields, dotted names.
        metric: what `Row.gain` compares; larger is better.
        tune: the tuned fields, dotted names.

    Returns:
        One row a setting, in the order in which the settings first appear.

    Raises:
        UserError: there is no run, or runs finished and none of them has `metric`.
    """
    if not records:
        raise UserError('the sweep has no runs to summarise')
    tried = {name: [record['fields'][name] for record in records] for name in tune}
    records = [record for record in records if record.get('chosen', True)]
    finished = [record for record in records if record['error'] is None]
    if finished and not any(metric in record['metrics'] for record in finished):
        known = ', '.join(dict.fromkeys(name for record in finished for name in record['metrics'])) or 'none'
        raise UserError(f'no run of the sweep has the metric {metric!r}; they have: {known}')
    names = [name for name in over if name != SEED]
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(_text(record['fields'][name]) for name in names), []).append(record)
    rows = [_row(dict(zip(names, key, strict=True)), members, tried) for key, members in groups.items()]
    return [_with_gain(row, rows, metric) for row in rows]


def best_row(rows: Sequence[Row], metric: str = METRIC) -> Row | None:
    """The row with the largest mean, of equal ones the lower loss, then the first; None when no run finished."""
    measured = [row for row in rows if row.count(metric)]
    loss = f'{metric.partition(" ")[0]} loss'
    return max(measured, key=lambda row: rank(row.mean(metric), row.mean(loss)), default=None)


def percent(rows: Sequence[Row], metric: str) -> bool:
    """Whether a metric (`test accuracy`, `validation R²`) is a share, shown in percent."""
    return any(row.unit == SHARE and row.count(metric) for row in rows) and not metric.endswith(' loss')


def label(row: Row) -> str:
    """The setting in a few words: its values, in the order of the fields."""
    return ' · '.join(row.fields.values()) or 'all runs'


def short_names(names: Sequence[str]) -> dict[str, str]:
    """The last part of each dotted name, or the whole where that would say two things at once."""
    last = [name.rpartition('.')[2] for name in names]
    return {name: short if last.count(short) == 1 else name for name, short in zip(names, last, strict=True)}


def write_tables(folder: str | os.PathLike[str], records: Sequence[Record], rows: Sequence[Row]) -> None:
    """Writes `runs.csv` (a row a run) and `summary.csv` (a row a setting), each whole or not at all.

    `summary.csv` has mean, sd (sample), min, max and n of every metric, as they are (no percent), the gain over scratch
    with the ends of its 95 % interval, and what the runs were given. Of a sweep that tunes, it has the values that were
    chosen and the fields among them `at the end of the range`, and `runs.csv` the results on the validation part and
    whether a run was chosen.
    """
    folder = pathlib.Path(folder)
    fields = list(dict.fromkeys(name for record in records for name in record['fields']))
    metrics = list(dict.fromkeys(name for record in records for name in record['metrics']))
    tunes = any('chosen' in record for record in records)
    judged = list(dict.fromkeys(name for record in records if tunes for name in record.get('validation', {})))
    write_csv(
        folder / 'runs.csv',
        (*fields, *judged, *metrics, 'seconds', 'run_dir', 'error', *(['chosen'] if tunes else [])),
        (
            (
                *(_text(record['fields'][name]) if name in record['fields'] else None for name in fields),
                *(record.get('validation', {}).get(name) for name in judged),
                *(record['metrics'].get(name) for name in metrics),
                record['seconds'],
                record['run_dir'],
                record['error'],
                *([int(record.get('chosen', False))] if tunes else []),
            )
            for record in records
        ),
    )
    columns = ('mean', 'sd', 'min', 'max', 'n')
    given = list(dict.fromkeys(name for row in rows for name in row.given))
    write_csv(
        folder / 'summary.csv',
        (
            *rows[0].fields,
            *rows[0].tuned,
            *(f'{name} of' for name in rows[0].tuned),
            *(['at the end of the range'] if rows[0].tuned else []),
            *(f'{name} {c}' for name in metrics for c in columns),
            'gain over scratch',
            'gain low',
            'gain high',
            'failed',
            'seconds',
            *given,
        ),
        (
            (
                *row.fields.values(),
                *row.tuned.values(),
                *row.tried.values(),
                *([' '.join(row.at_end)] if row.tuned else []),
                *(cell for name in metrics for cell in _statistics(row, name)),
                row.gain,
                *(row.interval or (None, None)),
                row.failed,
                row.seconds,
                *(row.given.get(name) for name in given),
            )
            for row in rows
        ),
    )


def _row(fields: dict[str, str], members: Sequence[Record], tried: Mapping[str, Sequence[Any]]) -> Row:
    finished = [record for record in members if record['error'] is None]
    metrics = dict.fromkeys(name for record in finished for name in record['metrics'])
    return Row(
        fields=fields,
        values={name: tuple(r['metrics'][name] for r in finished if name in r['metrics']) for name in metrics},
        failed=len(members) - len(finished),
        seconds=statistics.fmean(record['seconds'] for record in finished) if finished else 0.0,
        tuned={name: _text(members[0]['fields'][name]) for name in tried},
        tried={name: ', '.join(dict.fromkeys(map(_text, values))) for name, values in tried.items()},
        at_end=tuple(name for name, values in tried.items() if at_the_end(members[0]['fields'][name], values)),
        given=shared(record.get('given', {}) for record in finished),
        seeds=tuple(_text(record['fields'].get(SEED)) for record in finished),
        unit=next((record['unit'] for record in finished if 'unit' in record), INDEX),
    )


def at_the_end(value: Any, tried: Sequence[Any]) -> bool:
    """Whether a chosen number is the smallest or the largest that was tried, beyond which a better one may lie.

    Nothing is said to lie below 0, and nothing beyond what is no number.
    """
    if any(isinstance(other, bool) or not isinstance(other, int | float) for other in tried):
        return False
    return min(tried) < max(tried) and (value == max(tried) or (value == min(tried) and value != 0))


def _with_gain(row: Row, rows: Sequence[Row], metric: str) -> Row:
    if row.fields.get(_STRATEGY, _BASELINE) == _BASELINE:
        return row
    wanted = {**row.fields, _STRATEGY: _BASELINE}
    baseline = next((other for other in rows if other.fields == wanted and other.count(metric)), None)
    if baseline is None or not row.count(metric):
        return row
    found = gain(row.values[metric], row.seeds, baseline.values[metric], baseline.seeds)
    interval = None if found.low is None or found.high is None else (found.low, found.high)
    return dataclasses.replace(row, gain=found.mean, interval=interval)


def _statistics(row: Row, metric: str) -> tuple[float | int | None, ...]:
    values = row.values.get(metric, ())
    return row.mean(metric), row.deviation(metric), min(values, default=None), max(values, default=None), len(values)


def _text(value: Any) -> str:
    return 'default' if value == '' else str(value)
