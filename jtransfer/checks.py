"""Checks on values, as one line that names the field: ranges, words and the nearest one, a list in one line of text."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Sequence

from jtransfer.errors import UserError


def nearest(word: str, known: Iterable[str], *, listed: bool = True) -> str:
    """' Did you mean …?' for the closest known word, or the list of them when nothing is close (and they are few).

    Args:
        word: what was written.
        known: what there is.
        listed: whether the list may be given at all.
    """
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if not close:
        close = [k for k in known if k.startswith(word) or word.startswith(k)][:1]
    if not close:
        close = [k for k in known if initials(k) == word][:1]
    if close:
        return f" Did you mean '{close[0]}'?"
    return f' Known: {", ".join(known)}.' if listed and len(known) <= 20 else ''


def initials(name: str) -> str:
    """The first letters of the words of a dotted field's last name: `lr` of `optim.learning_rate`."""
    return ''.join(part[:1] for part in name.rpartition('.')[2].split('_'))


def one_of(field: str, value: str, known: Sequence[str]) -> None:
    """Raises `UserError` unless the value is one of the known words."""
    if value not in known:
        close = difflib.get_close_matches(str(value), known, n=1, cutoff=0.5)
        hint = f" Did you mean '{close[0]}'?" if close else ''
        raise UserError(f'{field}={value!r} is not one of {", ".join(known)}.{hint}')


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
