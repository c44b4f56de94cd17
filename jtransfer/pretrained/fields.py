"""Fields of other people's configuration files: of the kinds that their readers take for granted, and within bounds.

What a reader computes with is checked here, once, before it: a size that is text, a list of lists, or 10⁹ becomes one
line that names the field.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jtransfer.errors import UserError
from jtransfer.inputs.image import MAX_CHANNELS, MAX_SIDE
from jtransfer.models.options import MAX_SIZE
from jtransfer.text.outside import clipped

_MAX_ENTRIES = 64
_MAX_LETTERS = 200
_MAX_NUMBER = 1e6


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a field may hold.

    Attributes:
        words: of it, for the message: '… must be {words}'.
        holds: whether a value is of the kind.
    """

    words: str
    holds: Callable[[Any], bool]


def is_whole(value: Any, low: int, high: int) -> bool:
    """Whether a value is a whole number in [low, high], and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: Any) -> bool:
    """Whether a value is a finite number of a sensible size, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_NUMBER


def _whole(low: int, high: int) -> Kind:
    return Kind(f'a whole number from {low} to {high:,}', lambda value: is_whole(value, low, high))


def _several(words: str, one: Callable[[Any], bool], most: int = _MAX_ENTRIES) -> Kind:
    return Kind(words, lambda value: isinstance(value, list | tuple) and len(value) <= most and all(map(one, value)))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_LETTERS and value.isprintable()


def _is_side(value: Any) -> bool:
    return is_whole(value, 1, MAX_SIDE)


SIZE, COUNT = _whole(1, MAX_SIZE), _whole(0, MAX_SIZE)
SIZES = _several(f'a list of at most {_MAX_ENTRIES} whole numbers from 1 to {MAX_SIZE:,}', SIZE.holds)
NUMBER = Kind('a finite number', is_number)
NUMBERS = _several('a list of finite numbers', is_number, MAX_CHANNELS)
FLAG = Kind('true or false', lambda value: isinstance(value, bool))
TEXT = Kind(f'a text of at most {_MAX_LETTERS} letters on one line', _is_text)
TEXTS = _several(f'a list of at most {_MAX_ENTRIES} texts', _is_text)
OBJECT = Kind('an object of fields', lambda value: isinstance(value, Mapping))
SIDE = Kind(
    f'a whole number of pixels from 1 to {MAX_SIDE:,}, or height and width',
    lambda value: _is_side(value) or (isinstance(value, list) and len(value) == 2 and all(map(_is_side, value))),
)
INPUT = Kind(
    f'[channels, height, width], at most {MAX_CHANNELS:,} channels and {MAX_SIDE:,} pixels a side',
    lambda value: (
        isinstance(value, list | tuple)
        and len(value) == 3
        and is_whole(value[0], 1, MAX_CHANNELS)
        and all(map(_is_side, value[1:]))
    ),
)


def check_fields(values: Mapping[str, Any], kinds: Mapping[str, Kind], where: str) -> None:
    """Looks at the fields that are stated; a null counts as not stated.

    Args:
        values: of a file, by name.
        kinds: of the fields that are looked at; all others may hold anything.
        where: the file, and the object in it, for the message.

    Raises:
        UserError: a field that holds something else; the line names it.
    """
    for field, kind in kinds.items():
        value = values.get(field)
        if value is not None and not kind.holds(value):
            raise UserError(f'{where}: {field}={clipped(repr(value))} must be {kind.words}')
