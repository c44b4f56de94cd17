"""What a sweep found, as a table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from jtransfer.experiments.data.given import ASIDE, differing
from jtransfer.experiments.sweep.summary import METRIC, Row, best_row, percent, short_names
from jtransfer.text.terminal import wide_console

AT_END = 'at the end of the range: a value beyond it may do better'
# What a swept or tuned field says already.
_SWEPT = {
    'optim.learning_rate': 'learning rate',
    'model.checkpoint': 'network',
    'model.name': 'network',
    'model.image_size': 'image size',
}


def print_table(rows: Sequence[Row], metric: str = METRIC, *, console: Any = None) -> None:
    """Prints the rows as a table, the best one marked, with what was given to one side and not to the others.

    A share in [0, 1] is shown in percent, its gain over scratch in percentage points; anything else as it is.

    Args:
        rows: of `summarise`.
        metric: which to show.
        console: a `rich.console.Console`; None: the standard output.
    """
    best = best_row(rows, metric) if len(rows) > 1 else None
    gains = any(row.gain is not None for row in rows)
    failures = any(row.failed for row in rows)
    share = percent(rows, metric)
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=Text(metric + ', %' * share, style='bold'),
        title_justify='left', caption=Text('\n'.join(_caption(rows, share))), caption_justify='left',
    )  # fmt: skip
    short = short_names([*rows[0].fields, *rows[0].tuned])
    given = given_columns(rows)
    table.add_column('', width=1)
    for name in list(rows[0].fields) or ['']:
        table.add_column(Text(short.get(name, '')), overflow='fold')
    for name in rows[0].tuned:
        table.add_column(Text(short[name]), justify='right', no_wrap=True)
    for name in ('mean', 'sd', 'min', 'max', *(['gain', '95 %'] if gains else []), 'runs'):
        table.add_column(name, justify='right', no_wrap=True)
    if failures:
        table.add_column('failed', justify='right', no_wrap=True)
    for name in (*given, 's/run'):
        table.add_column(name, justify='right', no_wrap=True)
    for row in rows:
        values = row.values.get(metric, ())
        cells = [Text('★' if row is best else '')]
        cells += [Text(value) for value in row.fields.values()] or [Text('all runs')]
        cells += [Text(value + ' †' * (name in row.at_end)) for name, value in row.tuned.items()]
        numbers = (row.mean(metric), row.deviation(metric), min(values, default=None), max(values, default=None))
        cells += [Text(_number(value, share)) for value in numbers]
        if gains:
            ends = '' if row.interval is None else ' to '.join(_number(end, share, '+') for end in row.interval)
            cells += [Text(_number(row.gain, share, '+')), Text(ends)]
        cells.append(Text(str(len(values))))
        if failures:
            cells.append(Text(str(row.failed or ''), style='red'))
        cells += [Text(row.given.get(name, '–')) for name in given]
        cells.append(Text(f'{row.seconds:.1f}' if row.seconds else '–'))
        table.add_row(*cells, style='bold green' if row is best else '')
    (console or wide_console()).print(table)


def given_columns(rows: Sequence[Row]) -> list[str]:
    """What was given to some rows and not to others, beside the swept and tuned fields themselves."""
    told = {*rows[0].fields, *rows[0].tuned}
    hidden = {ASIDE, *(name for field, name in _SWEPT.items() if field in told)}
    return [name for name in differing([row.given for row in rows if row.given]) if name not in hidden]


def _caption(rows: Sequence[Row], share: bool) -> list[str]:
    lines = []
    for name, values in rows[0].tried.items():
        chosen = 'chosen for each row by the mean score on the validation part (of equal ones the lower loss)'
        lines.append(f'{name}: of {values}, {chosen}')
    if any(row.at_end for row in rows):
        lines.append(f'†: {AT_END}')
    if any(row.gain is not None for row in rows):
        lines.append('gain: ' + 'percentage points ' * share + 'over scratch')
    lines += dict.fromkeys(row.given[ASIDE] for row in rows if ASIDE in row.given)
    return lines


def _number(value: float | None, share: bool, sign: str = '') -> str:
    if value is None:
        return '–'
    return f'{100 * value:{sign}.1f}' if share else f'{value:{sign}.3f}'
