"""Checks on values, as one line that names the field: ranges, words and the nearest one, a list in one line of text."""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence

from jtransfer.errors import UserError
from jtransfer.text.outside import printable


def nearest(word: str, known: Iterable[str], *, listed: bool = True, before: str = '') -> str:
    """' Did you mean …?' for the closest known word, or the list of them when nothing is close (and they are few).

    Args:
        word: what was written.
        known: what there is.
        listed: whether the list may be given at all.
        before: what a person writes before such a word, as the dashes of a flag.
    """
    known = sorted(known)
    if close := closest(word, known):
        return meant(f'{before}{close}')
    return f' Known: {", ".join(f"{before}{name}" for name in known)}.' if listed and len(known) <= 20 else ''


def meant(word: str) -> str:
    """The end of a line that says what was probably meant."""
    return f" Did you mean '{word}'?"


def closest(word: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """The known word that is most like another one, begins as it does or has its initials; empty if none does.

    Args:
        word: what was written.
        known: what there is.
        cutoff: how alike they must be at least, in [0, 1].
    """
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=cutoff)
    beginning = (name for name in known if word and (name.startswith(word) or word.startswith(name)))
    abbreviated = (name for name in known if _initials(name) == word)
    return next(itertools.chain(close, beginning, abbreviated), '')


def _initials(name: str) -> str:
    return ''.join(part[:1] for part in name.rpartition('.')[2].split('_'))


def one_of(field: str, value: str, known: Sequence[str]) -> None:
    """Raises `UserError` unless the value is one of the known words."""
    if value not in known:
        close = difflib.get_close_matches(str(value), known, n=1, cutoff=0.5)
        raise UserError(f'{field}={value!r} is not one of {", ".join(known)}.{meant(close[0]) if close else ""}')


def at_least(field: str, value: float, low: float) -> None:
    """Raises `UserError` unless value ≥ low and finite."""
    if not value >= low or math.isinf(value):
        raise UserError(f'{field}={value} must be at least {low}')


def above(field: str, value: float, low: float) -> None:
    """Raises `UserError` unless value > low and finite."""
    if not value > low or math.isinf(value):
        raise UserError(f'{field}={value} must be above {low}')


def fraction(field: str, value: float) -> None:
    """Raises `UserError` unless 0 ≤ value < 1."""
    if not 0 <= value < 1:
        raise UserError(f'{field}={value} must be at least 0 and below 1')


def seed(field: str, value: int) -> None:
    """Raises `UserError` unless every generator of random numbers takes this as its seed: 0 ≤ value < 2³²."""
    at_least(field, value, 0)
    if value >= 2**32:
        raise UserError(f'{field}={value} must be below 2**32')


def new_name(what: str, name: str, *, taken: bool) -> None:
    """Raises `UserError` unless somebody's own can be added under this name.

    Args:
        what: is added, with its article: `a source`.
        name: of it.
        taken: whether something else has it.
    """
    if not re.fullmatch(r'\w+', name):
        raise UserError(f"{what} is called '{printable(name)}', but must be letters, digits and underscores")
    if taken:
        raise UserError(f"there is {what} '{name}' already; give the new one another name")


def split_values(text: str) -> Iterator[str]:
    """Splits at commas that stand outside brackets and quotes; quotes around a whole value are taken off.

    >>> list(split_values("1, (2, 3), 'a,b'"))
    ['1', '(2, 3)', 'a,b']
    """
    depth, quote, start = 0, '', 0
    for index, letter in enumerate(text):
        if quote:
            quote = '' if letter == quote else quote
        elif letter in '\'"':
            quote = letter
        elif letter in '([{':
            depth += 1
        elif letter in ')]}':
            depth -= 1
        elif letter == ',' and not depth:
            yield _bare(text[start:index])
            start = index + 1
    yield _bare(text[start:])


def _bare(value: str) -> str:
    value = value.strip()
    quoted = len(value) > 1 and value[0] in '\'"' and value.find(value[0], 1) == len(value) - 1
    return value[1:-1] if quoted else value
