"""Names of classes: how they are written, in which order they come, and the numbers of labels that are texts."""

from __future__ import annotations

import collections
import decimal
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32

from jtransfer.checks import nearest
from jtransfer.errors import UserError
from jtransfer.text.outside import first_few, printable

INTEGER = re.compile(r'[+-]?\d+')
NUMBER = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?', re.IGNORECASE)
# Post codes, article numbers: texts of digits, of which 01 and 1 are two.
_CODE = re.compile(r'[+-]?0\d')
_LONGEST = 20  # digits of a number that is written out


def class_name(text: str) -> str:
    """The name as it is kept: printable, in Unicode's composed form, without the spaces around it."""
    return printable(unicodedata.normalize('NFC', text).strip())


def sorted_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Class names in order: by number where all are integers, else as texts."""
    names = list(names)
    if all(INTEGER.fullmatch(name) for name in names):
        # Of any number of digits, of which `int` takes 4,300.
        return tuple(sorted(names, key=lambda name: (decimal.Decimal(name), name)))
    return tuple(sorted(names))


def plain_numbers(cells: Iterable[str]) -> tuple[dict[str, str], str]:
    """From texts that are all numbers to one way to write each, so that 1 and 1.0 are one: `1`, `0.5`.

    Where one of them begins with a needless 0 they are codes, not numbers, and stay as they are; so does everything
    where one text is no number.

    Args:
        cells: texts; empty ones are left out.

    Returns:
        The plain text of every text, and a line about those that were written in several ways; both empty where the
        texts are not all numbers.
    """
    written = dict.fromkeys(cell for cell in cells if cell)
    if not written or not all(map(NUMBER.fullmatch, written)):
        return {}, ''
    plain = {cell: _plain(cell) for cell in written}
    ways = collections.defaultdict(list)
    for cell, text in plain.items():
        ways[text].append(cell)
    several = next((cells for cells in ways.values() if len(cells) > 1), None)
    if any(map(_CODE.match, written)):
        apart = f'{" and ".join(several)} are different: leading zeros make them texts, not numbers' if several else ''
        return {}, apart
    return plain, f'{" and ".join(several)} are the same, as numbers are' if several else ''


def check_names(names: Sequence[str], where: str) -> None:
    """Raises `UserError` if a name of a class stands twice, but for spaces around it and its Unicode form."""
    counts = collections.Counter(unicodedata.normalize('NFC', name).strip() for name in names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise UserError(f"{where}: the class name '{printable(twice[0])}' stands twice among {first_few(names)}")


def texts_of(values: np.ndarray, where: str) -> list[str]:
    """Values of an array as texts; bytes are UTF-8.

    Raises:
        UserError: bytes that are none.
    """
    try:
        return [value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()]
    except UnicodeDecodeError:
        raise UserError(f'{where}: texts in bytes must be UTF-8') from None


def are_texts(values: Any) -> bool:
    """Whether labels, in an array or anything that becomes one, are texts instead of numbers."""
    array = np.asarray(values)
    objects = array.dtype.kind == 'O' and array.ndim == 1 and array.size > 0
    return array.dtype.kind in 'US' or (objects and all(isinstance(value, str) for value in array))


def numbered(
    cells: Sequence[str], names: Sequence[str], place: Callable[[int], str]
) -> tuple[tuple[str, ...], Int32[np.ndarray, ' n']]:
    """Names of the classes, and the number of every label; -1 where it is empty.

    Args:
        cells: labels, in the form of `class_name`.
        names: of all classes, in label order. Empty: those that there are, see `sorted_classes`.
        place: names a label in errors, by its position.

    Raises:
        UserError: a name twice, or a label that is none of them.
    """
    classes = tuple(names) or sorted_classes(set(cells) - {''})
    number = {name: index for index, name in enumerate(classes)}
    unknown = next((index for index, cell in enumerate(cells) if cell and cell not in number), None)
    if unknown is not None:
        cell = cells[unknown]
        meant = nearest(cell, classes, listed=False)
        raise UserError(f"{place(unknown)}: '{cell}' is none of the classes {first_few(classes)}.{meant}")
    return classes, np.array([number[cell] if cell else -1 for cell in cells], np.int32)


def _plain(text: str) -> str:
    try:
        value = decimal.Decimal(text)
    except decimal.InvalidOperation:  # an exponent of more digits than any number has
        return text
    if not value:
        return '0'
    if not -_LONGEST <= value.adjusted() <= _LONGEST:
        return text
    written = format(value, 'f')
    return written.rstrip('0').rstrip('.') if '.' in written else written
