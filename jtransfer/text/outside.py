"""Text that came from outside (file names, classes, cells) in what a person reads: lines, errors, tables."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence

# Control characters, lone surrogates, separators of lines: a terminal acts on them, or a file cannot hold them.
_UNPRINTABLE = ('Cc', 'Cs', 'Zl', 'Zp')
_DIRECTIONS = '\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'
# What spreadsheets take for the beginning of a formula (OWASP, CSV injection), behind any apostrophes of ours.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)', re.IGNORECASE)


def printable(text: str) -> str:
    """Text that can be written anywhere: what a terminal would act on, and bytes that are no UTF-8, are spelt out.

    >>> printable('plain \\x1b[31mred')
    'plain \\\\x1b[31mred'
    """
    decoded = text.encode('utf-8', 'surrogateescape').decode('utf-8', 'backslashreplace')
    if decoded.isprintable():
        return decoded
    return ''.join(_spelt(letter) for letter in decoded)


def printable_lines(text: str) -> str:
    """Text of several lines as `printable`; its line breaks stay."""
    return text if text.isprintable() else '\n'.join(map(printable, text.split('\n')))


def for_figure(text: str) -> str:
    """Text of several lines as matplotlib shows it as it is: a dollar begins no formula."""
    return printable_lines(text).replace('$', r'\$')


def printable_path(path: str) -> str:
    """A file name as `printable` text, with forward slashes."""
    return printable(path.replace(os.sep, '/'))


def first_few(names: Sequence[str], count: int = 5) -> str:
    """The first names of a list, and how many there are where that is not all of them.

    >>> first_few(('ant', 'bee', 'cat'), 2)
    'ant, bee, … (3)'
    """
    shown = ', '.join(printable(name) for name in names[:count])
    return shown if len(names) <= count else f'{shown}, … ({len(names):,})'


def count_of(number: int, what: str) -> str:
    """A number of things in words.

    >>> count_of(1, 'image'), count_of(2000, 'image')
    ('1 image', '2,000 images')
    """
    return f'{number:,} {what}' if number == 1 else f'{number:,} {what}s'


def clipped(text: str, length: int = 60) -> str:
    """Text from outside in a line for people: what is longer ends in an ellipsis.

    >>> clipped('0123456789', 5)
    '0123…'
    """
    return text if len(text) <= length else f'{text[: length - 1]}…'


def to_cell(text: str) -> str:
    """Text as a cell of a CSV file, with an apostrophe before what a spreadsheet would take for a formula.

    >>> to_cell('=1+1'), to_cell('-0.5'), to_cell('-5.png')
    ("'=1+1", '-0.5', "'-5.png")
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def from_cell(cell: str) -> str:
    """The text that `to_cell` made a cell of.

    >>> from_cell("'=1+1"), from_cell("'tis")
    ('=1+1', "'tis")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _spelt(letter: str) -> str:
    if unicodedata.category(letter) in _UNPRINTABLE or letter in _DIRECTIONS:
        return letter.encode('unicode_escape').decode('ascii')
    return letter
