"""Types of the fields of JSON records, so that a damaged one is one line before anything is done with it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

from jtransfer.errors import UserError
from jtransfer.text.outside import printable, printable_path

# Of what records say and how: docs/results_schema.md.
SCHEMA = 2
_MOST = 60  # letters of a value in a line


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a value may be.

    Attributes:
        name: in words.
        holds: whether a value is of the kind.
    """

    name: str
    holds: Callable[[Any], bool]


def listing(kind: Kind, words: str) -> Kind:
    """A list of values of one kind, called so."""
    return Kind(words, lambda value: isinstance(value, list) and all(map(kind.holds, value)))


def optional(kind: Kind) -> Kind:
    """A kind, or null."""
    return Kind(f'{kind.name} or null', lambda value: value is None or kind.holds(value))


TEXT = Kind('a text', lambda value: isinstance(value, str))
# What can stand in a message or a table.
LINE = Kind('a text of one line', lambda value: isinstance(value, str) and value.isprintable())
NUMBER = Kind('a number', lambda value: isinstance(value, int | float) and not isinstance(value, bool))
# What fits into 64 bits: counts, steps and seeds.
WHOLE = Kind('a whole number', lambda value: isinstance(value, int) and not isinstance(value, bool) and _small(value))
OBJECT = Kind('an object', lambda value: isinstance(value, dict))
TEXTS = listing(TEXT, 'a list of texts')
NUMBERS = listing(NUMBER, 'a list of numbers')


def check_fields(
    record: Mapping[str, Any],
    kinds: Mapping[str, Kind],
    path: str | os.PathLike[str],
    *,
    needs: Collection[str] = (),
    remedy: str = '',
) -> None:
    """Checks the fields of a record; those that `kinds` does not name may be anything.

    Args:
        record: what was read.
        kinds: by name.
        path: of the file.
        needs: which fields must be there.
        remedy: what would be right, added to the line of an error.

    Raises:
        UserError: a field is missing or of another kind; the line names the file and the field.
    """
    damaged, remedy = f'{printable_path(os.fspath(path))} is damaged', remedy and f'; {remedy}'
    if missing := [name for name in needs if name not in record]:
        raise UserError(f"{damaged}: it has no '{missing[0]}'{remedy}")
    for name, kind in kinds.items():
        if name in record and not kind.holds(record[name]):
            raise UserError(f"{damaged}: '{name}' must be {kind.name}, unlike {_shown(record[name])}{remedy}")


def _shown(value: Any) -> str:
    try:
        text = printable(repr(value))
    except RecursionError:
        return 'what is nested too deeply'
    return text if len(text) <= _MOST else f'{text[:_MOST]}…'


def _small(value: int) -> bool:
    return -(2**63) <= value < 2**63
