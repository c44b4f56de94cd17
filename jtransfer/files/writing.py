"""Files that appear whole or not at all, and one clear line where nothing can be written."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from jtransfer.errors import UserError, WritingError
from jtransfer.text.outside import printable_path

_ROOM = 'make room, or name a folder on another disk'
_RIGHTS = 'name a folder that you may write to'
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: 'raise the limit on the size of files (ulimit -f), or name a folder on another disk',
    errno.EROFS: _RIGHTS,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
}
# Libraries that write in other languages have words for it only.
_WORDS = {os.strerror(number).lower(): number for number in _REMEDIES}
# What only writing meets.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# What is begun and not whole, to be gone when a signal ends the process.
_unfinished: set[Path] = set()
_PARTIAL = re.compile(r'\.([0-9]+)\.partial\..+')


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], *, remedy: str = '') -> Iterator[Path]:
    """A temporary path beside `path`, moved onto it when the block ends well and removed when it raises.

    What is moved is on the disk. Missing folders above `path` are made. A link stays, and what it leads to is replaced;
    a device or a pipe (`/dev/stdout`) stays too, and is written to when the block ends well.

    Args:
        path: of the file.
        remedy: see `told_plainly`.

    Raises:
        WritingError: the file cannot be written; what was there before is as it was.
    """
    path = Path(path)
    if _is_stream(path):
        with temporary_folder() as folder, told_plainly(path, remedy=remedy):
            temporary = folder / (path.name or 'file')
            yield temporary
            with temporary.open('rb') as whole, path.open('wb') as stream:
                shutil.copyfileobj(whole, stream)
        return
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    # The ending stays: matplotlib and Pillow choose the format by it.
    temporary = path.with_name(f'.{os.getpid()}.partial.{path.name}')
    with told_plainly(path, remedy=remedy):
        path.parent.mkdir(parents=True, exist_ok=True)
        _unfinished.add(temporary)
        try:
            yield temporary
            _to_disk(temporary)
            os.replace(temporary, path)
            _folder_to_disk(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
            _unfinished.discard(temporary)


@contextlib.contextmanager
def temporary_folder(*, beside: Path | None = None) -> Iterator[Path]:
    """A folder that is gone after the block, and where a signal ends the process.

    Args:
        beside: what is made in it will stand in this place; the folder is then on the same disk. None: anywhere.
    """
    prefix, parent = ('jtransfer-', None) if beside is None else (f'.{beside.name}.', beside.parent)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as name:
        folder = Path(name)
        _unfinished.add(folder)
        try:
            yield folder
        finally:
            _unfinished.discard(folder)


def drop_unfinished() -> None:
    """Removes what is begun and not whole, for a process that ends now without leaving its blocks."""
    for path in tuple(_unfinished):
        with contextlib.suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_stream(path: Path) -> bool:
    """Whether there is something that is neither a file nor a folder."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextlib.contextmanager
def atomic_text(path: str | os.PathLike[str], *, remedy: str = '') -> Iterator[IO[str]]:
    """A UTF-8 text file that replaces `path` when the block ends well; line ends are written as given.

    Half a character (bytes of a file name that are no UTF-8) is spelt out, as JSON and Python spell it.

    Raises:
        WritingError: as `atomic_path`.
    """
    with (
        atomic_path(path, remedy=remedy) as temporary,
        open(temporary, 'w', encoding='utf-8', errors='backslashreplace', newline='') as file,
    ):
        yield file


@contextlib.contextmanager
def told_plainly(path: str | os.PathLike[str], *, remedy: str = '') -> Iterator[None]:
    """Says in one line what stands in the way of writing a file or folder.

    Args:
        path: what is written inside the block.
        remedy: what would be right. Empty: what the kind of the error suggests.

    Raises:
        WritingError: instead of an `OSError`, and of what libraries raise where the disk is full or may not be written.
    """
    try:
        yield
    except OSError as error:
        raise unwritten(path, error, remedy=remedy) from error
    except Exception as error:
        if isinstance(error, UserError) or not refused(error):
            raise
        raise unwritten(path, error, remedy=remedy) from error


def make_folder(folder: str | os.PathLike[str], *, remedy: str = '') -> Path:
    """The folder, made with those above it where they are missing.

    Raises:
        WritingError: it cannot be made.
    """
    with told_plainly(folder, remedy=remedy):
        Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


def refused(error: BaseException) -> int:
    """The number of the system's error where a disk is full or may not be written; 0 for anything else."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in _REMEDIES else 0
    text = str(error).lower()
    return next((number for words, number in _WORDS.items() if words in text), 0)


def unwritten(path: str | os.PathLike[str], error: BaseException, *, remedy: str = '') -> WritingError:
    """The line about a file that could not be written.

    Args:
        path: of the file; the file that the error itself names goes before it, where that is below it.
        error: what was raised.
        remedy: what would be right. Empty: what the kind of the error suggests.
    """
    number = refused(error)
    what = os.strerror(number) if number else getattr(error, 'strerror', None) or ' '.join(str(error).split())
    remedy = remedy or _REMEDIES.get(number, '')
    return WritingError(f'{printable_path(os.fspath(path))} cannot be written: {what}{remedy and f"; {remedy}"}')


def sweep_partials(folder: Path) -> None:
    """Removes what killed processes have left half-written in a folder and below.

    What a living process of this machine may be at work on stays, unless it is this process's own: whoever calls this
    holds the folder and has begun nothing in it.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            match = _PARTIAL.fullmatch(name)
            if match and (int(match[1]) == os.getpid() or not alive(int(match[1]))):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(place, name))


def is_partial(name: str) -> bool:
    """Whether a file of that name is one that `atomic_path` has not finished."""
    return bool(_PARTIAL.fullmatch(name))


def alive(process: int) -> bool:
    """Whether there is a process of that number on this machine, as far as one can know."""
    if os.name == 'nt':
        return True  # asking is a Ctrl-C there
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _to_disk(path: Path) -> None:
    with open(path, 'rb+') as file:
        os.fsync(file.fileno())


def _folder_to_disk(path: Path) -> None:
    """Where the system can do it: the file is in its place already."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
