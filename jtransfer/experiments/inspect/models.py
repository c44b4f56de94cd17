"""The catalogue of published weights and the table of architectures, as a person reads them on the terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from jtransfer import models
from jtransfer.checks import one_of
from jtransfer.errors import UserError
from jtransfer.models import cost
from jtransfer.pretrained.catalogue.entries import (
    ARCHITECTURE_CLASSES,
    Entry,
    architecture_parameters,
    entries,
    matching,
)
from jtransfer.text.terminal import PlainConsole, encodable

# Columns of a terminal below which an entry gets lines of its own instead of a row.
_ENOUGH_FOR_A_TABLE = 150
_LONGEST_NAME = 60
_ANY_WIDTH = 100_000

_UNITS = {'': 1, 'K': 10**3, 'M': 10**6, 'G': 10**9, 'B': 10**9}

# Largest accuracy first, everything else smallest first; what is not known comes last.
_ORDERS: Mapping[str, Callable[[Entry], Any]] = {
    'accuracy': lambda entry: -(entry.accuracy or 0),
    'bytes': lambda entry: entry.bytes,
    'image_size': lambda entry: entry.preprocessing.image_size,
    'name': lambda entry: entry.name,
    'parameters': lambda entry: entry.parameters,
}


def parse_count(text: str) -> int:
    """A number as people write it: `30M`, `1.5G`, `86,000,000`.

    Raises:
        UserError: it is none.
    """
    found = re.fullmatch(r'(\d+(?:\.\d+)?)\s*([KMGB]?)', text.replace(',', '').strip(), re.IGNORECASE)
    if found is None:
        raise UserError(f"'{text}' is not a number such as 30M, 1.5G or 86,000,000")
    return round(float(found[1]) * _UNITS[found[2].upper()])


def select(
    pattern: str = '',
    *,
    family: str = '',
    licence: str = '',
    max_parameters: str = '',
    min_accuracy: float | None = None,
    sort: str = '',
) -> list[Entry]:
    """The entries to show.

    Args:
        pattern: see `matching`.
        family: see `matching`.
        licence: see `matching`.
        max_parameters: as `parse_count` reads it. Empty: any number.
        min_accuracy: see `matching`.
        sort: `accuracy`, `bytes`, `image_size`, `name` or `parameters`. Empty: the catalogue's order.

    Raises:
        UserError: a condition that cannot be, or that nothing fulfils.
    """
    if sort:
        one_of('sort', sort, tuple(_ORDERS))
    found = matching(
        pattern,
        family=family,
        licence=licence,
        max_parameters=parse_count(max_parameters) if max_parameters else None,
        min_accuracy=min_accuracy,
    )
    if not found:
        raise UserError('nothing in the catalogue fulfils these conditions; ask for less')
    return sorted(found, key=_ORDERS[sort]) if sort else found


def print_weights(shown: Sequence[Entry], console: Console | None = None) -> None:
    """Prints entries: a row each where there is room, two lines each on a narrow terminal.

    Args:
        shown: the entries.
        console: None: the standard output.
    """
    console = console or PlainConsole()
    if console.is_terminal and console.width < _ENOUGH_FOR_A_TABLE:
        for entry in shown:
            console.print(Text(entry.name, style='bold'), overflow='fold')
            console.print(Padding(Text(' · '.join(filter(None, _facts(entry)))), (0, 0, 0, 2)))
    else:
        table = plain_table('name', 'architecture')
        for heading in ('parameters', 'classes', 'pixels', 'top-1 %'):
            table.add_column(heading, justify='right', no_wrap=True)
        table.add_column('licence', no_wrap=True)
        table.add_column('trained on')
        if console.is_terminal:
            table.columns[0].max_width = _LONGEST_NAME
        for entry in shown:
            parameters, classes, pixels, top1, licence, about = _facts(entry)[1:]
            classes = classes.partition(' ')[0] if entry.num_classes else '–'
            cells = (
                entry.name,
                entry.architecture,
                parameters,
                classes,
                pixels.partition(' ')[0],
                top1.removeprefix('top-1 '),
            )
            table.add_row(*map(Text, (*cells, licence, about)))
        print_wide(console, table)
    total = len(entries())
    console.print(Text(f'{len(shown)} of {total} files of weights; --name=NAME shows one in full', style='dim'))


def print_architectures(console: Console | None = None) -> None:
    """Prints every architecture with its family, its parameters and its usual resolution.

    A row each where the names fit, two lines each on a narrower terminal.

    Args:
        console: None: the standard output.
    """
    console = console or PlainConsole()
    known = architecture_parameters()
    counts: dict[str, int] = {}
    for entry in entries().values():
        counts[entry.architecture] = counts.get(entry.architecture, 0) + 1
    table = plain_table('architecture', 'family')
    for heading in ('parameters', 'pixels', 'weights'):
        table.add_column(heading, justify='right', no_wrap=True)
    rows: list[list[str]] = []
    for name in models.variant_names():
        variant = models.describe(name)
        parameters = known[name] if name in known else _parameters(name)
        cells = (name, variant.family, f'{parameters:,}', variant.image_size or '–', counts.get(name) or '–')
        rows.append([str(cell) for cell in cells])
        table.add_row(*map(Text, rows[-1]))
    wanted = Measurement.get(console, console.options.update_width(_ANY_WIDTH), table).maximum
    if console.is_terminal and console.width < wanted:
        for name, family, number, pixels, weights in rows:
            console.print(Text(name, style='bold'), overflow='fold')
            facts = (family, f'{number} parameters', f'{pixels} pixels', f'weights: {weights}')
            console.print(Padding(Text(' · '.join(facts)), (0, 0, 0, 2)))
    else:
        print_wide(console, table)
    note = f'parameters with {ARCHITECTURE_CLASSES:,} classes; weights: files in the catalogue'
    console.print(Text(f'{note}; --name=NAME shows one in full', style='dim'))


def _facts(entry: Entry) -> tuple[str, ...]:
    accuracy = f'top-1 {entry.accuracy:.1f} @ {entry.accuracy_size}' if entry.accuracy is not None else ''
    classes = f'{entry.num_classes:,} outputs' if entry.num_classes else 'no head'
    pixels = f'{entry.preprocessing.image_size} pixels'
    return (entry.architecture, _short(entry.parameters), classes, pixels, accuracy, entry.licence, entry.about)


def _parameters(name: str) -> int:
    network = models.create(name, num_classes=ARCHITECTURE_CLASSES)
    return sum(cost.count(network, models.describe(name).preprocessing.spec())[:2])


def plain_table(*texts: str) -> Table:
    """A table without a frame.

    Args:
        *texts: headings of its first columns, which are folded where there is too little room.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for text in texts:
        table.add_column(text, overflow='fold')
    return table


def print_wide(console: Console, table: RenderableType) -> None:
    """Prints a table as wide as it wants to be where no terminal says how wide it may be: a file is to be searched.

    Args:
        console: where to.
        table: what.
    """
    if console.is_terminal:
        console.print(table)
        return
    wide = PlainConsole(file=io.StringIO(), width=_ANY_WIDTH)
    wide.print(table, width=Measurement.get(wide, wide.options, table).maximum)
    text = wide.file.getvalue()  # type: ignore[attr-defined]
    lines = '\n'.join(line.rstrip() for line in text.splitlines()).strip('\n')
    console.file.write(encodable(lines, console.encoding) + '\n')


def _short(number: int) -> str:
    for unit, size in (('G', 10**9), ('M', 10**6), ('k', 10**3)):
        if number >= size:
            return f'{number / size:.{1 if number < 100 * size else 0}f}{unit}'
    return str(number)
