"""JSON that came from outside, or that a crash may have cut off, read within bounds: a value or one clear line.

What `json` alone lets through or ends a program with: files without end (devices, pipes), any size, nesting that
exhausts the stack, numbers of thousands of digits, NUL and lone surrogates in text that becomes a name of a file.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from jtransfer.errors import UserError
from jtransfer.text.outside import printable, printable_path

MAX_JSON_BYTES = 64 * 2**20
# The longest number that is written out and read again without loss has 25 signs; a 128-bit one has 39.
_MAX_DIGITS = 40
_KINDS = (
    (stat.S_ISDIR, 'a folder'),
    (stat.S_ISFIFO, 'a named pipe'),
    (stat.S_ISCHR, 'a device'),
    (stat.S_ISBLK, 'a device'),
    (stat.S_ISSOCK, 'a socket'),
)
_NO_TEXT = re.compile(r'\\u(0000|d[89a-f])', re.IGNORECASE)


class NotReadError(ValueError):
    """A file that is not read; the message goes on from its name.

    Attributes:
        too_large: whether that is for its length.
    """

    def __init__(self, said: str, too_large: bool = False) -> None:
        """Takes the message."""
        super().__init__(said)
        self.too_large = too_large


def read_bytes(path: str | os.PathLike[str], limit: int, *, remedy: str = '') -> bytes:
    """The content of a regular file of at most so many bytes.

    Args:
        path: the file.
        limit: how many bytes it may have.
        remedy: what would be right, added to the line of an error.

    Raises:
        UserError: no file that can be read, or one of more bytes; the line names it.
    """
    name = printable_path(os.fspath(path))
    remedy = remedy and f'; {remedy}'
    try:
        return regular_bytes(path, limit)
    except NotReadError as error:
        raise UserError(f'{name} {error}{remedy}') from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise UserError(f'{name} cannot be read: {printable(str(reason))}{remedy}') from None


def regular_bytes(path: str | os.PathLike[str], limit: int) -> bytes:
    """As `read_bytes`, for callers with errors of their own.

    Raises:
        NotReadError: no regular file, or one of more bytes.
        OSError: it is missing, or cannot be read.
        ValueError: a path that cannot be, with a NUL in it.
    """
    # Without waiting: opening a pipe would hang until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), 'something else')
            raise NotReadError(f'is no regular file, but {kind}')
        if status.st_size > limit:
            said = f'has {status.st_size:,} bytes, more than the {limit:,} that are read'
            raise NotReadError(said, too_large=True)
        with open(descriptor, 'rb', closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(descriptor)


def parse_json(content: bytes | str, name: str, *, remedy: str = '') -> Any:
    """The value that JSON stands for.

    Args:
        content: the text, as UTF-8 where it is bytes.
        name: what it is called in an error.
        remedy: what would be right, added to the line of an error.

    Raises:
        UserError: it is no JSON, nested too deeply, has a number of over 40 digits, or text that no file name can
            hold (NUL, lone surrogates).
    """
    remedy = remedy and f'; {remedy}'
    try:
        text = content.decode('utf-8-sig') if isinstance(content, bytes) else content
        value = json.loads(text, parse_int=_integer)
        if _NO_TEXT.search(text):
            # Pairs of surrogates are one letter, and a backslash may be one that is meant: what was read decides.
            written = json.dumps(value, ensure_ascii=False)
            written.encode('utf-8')
            if re.search(r'(?<!\\)(\\\\)*\\u0000', written):
                raise ValueError('NUL in a text')
    except RecursionError:
        raise UserError(f'{printable(name)} is damaged: JSON that is nested too deeply{remedy}') from None
    except UnicodeError:
        raise UserError(f'{printable(name)} is damaged: it is not UTF-8 text{remedy}') from None
    except json.JSONDecodeError as error:
        where = f'line {error.lineno}, column {error.colno}'
        what = 'an empty file' if not content else f'no JSON at {where}: {error.msg}'
        raise UserError(f'{printable(name)} is damaged: {what}{remedy}') from None
    except ValueError as error:
        raise UserError(f'{printable(name)} is damaged: {error}{remedy}') from None
    return value


def read_json(path: str | os.PathLike[str], *, limit: int = MAX_JSON_BYTES, remedy: str = '') -> Any:
    """The value in a JSON file, see `read_bytes` and `parse_json`.

    Raises:
        UserError: a file that is missing, too large, no regular file, or no JSON.
    """
    return parse_json(read_bytes(path, limit, remedy=remedy), os.fspath(path), remedy=remedy)


def read_json_object(path: str | os.PathLike[str], *, limit: int = MAX_JSON_BYTES, remedy: str = '') -> dict[str, Any]:
    """The object in a JSON file, see `read_json`.

    Raises:
        UserError: as `read_json`, or another kind of value.
    """
    value = read_json(path, limit=limit, remedy=remedy)
    if not isinstance(value, dict):
        name = printable_path(str(Path(path)))
        raise UserError(f'{name} is damaged: its JSON is no object{remedy and f"; {remedy}"}')
    return value


def require_regular(path: str | os.PathLike[str], *, remedy: str = '') -> int:
    """The size of a regular file, bytes; nothing is opened, so that a pipe cannot make anybody wait.

    Args:
        path: the file; a link counts as what it leads to.
        remedy: what would be right, added to the line of an error.

    Raises:
        UserError: there is no such file, or it is a folder, a pipe or a device.
    """
    name, remedy = printable_path(os.fspath(path)), remedy and f'; {remedy}'
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise UserError(f'{name}: no such file{remedy}') from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise UserError(f'{name}: cannot be read: {printable(str(reason))}{remedy}') from None
    if stat.S_ISDIR(status.st_mode):
        raise UserError(f'{name}: cannot be read: Is a directory{remedy}')
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f'{name}: cannot be read: no regular file{remedy}')
    return status.st_size


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f'a number of {len(digits):,} digits')
    return int(digits)
