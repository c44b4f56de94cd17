"""One process at a time in a run directory: a lock that the system takes back when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from jtransfer.errors import DataWarning, UserError
from jtransfer.files.writing import make_folder, sweep_partials, told_plainly

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

LOCK = '.lock'
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
# Somebody who only looks whether the folder is free holds the lock for an instant.
_TRIES, _PAUSE = 3, 0.05

_open: set[int] = set()


def _forget() -> None:
    """A process made by fork has its parent's locks, and would keep them when the parent is gone."""
    for descriptor in _open:
        os.close(descriptor)
    _open.clear()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_forget)


@contextlib.contextmanager
def held(folder: str | os.PathLike[str], *, shared: bool = False) -> Iterator[None]:
    """Holds a folder while the block lasts; it is made when missing, and what killed processes left is swept.

    Args:
        folder: of a run, or of an experiment with many.
        shared: with others that share it, as folds on several hosts do. Nothing is swept then.

    Raises:
        UserError: another process holds it.
        WritingError: it cannot be made or written.
    """
    folder = make_folder(folder)
    descriptor = _acquire(folder, shared)
    _open.add(descriptor)
    try:
        if not shared:
            sweep_partials(folder)
        yield
    finally:
        if not shared:
            with contextlib.suppress(OSError):
                os.unlink(folder / LOCK)  # whoever waits for this file finds that it is another now
        _open.discard(descriptor)
        os.close(descriptor)


def check_free(folder: str | os.PathLike[str], *, shared: bool = False) -> None:
    """Raises `UserError` if another process holds a folder, or shares it where `shared` is not set."""
    try:
        descriptor = os.open(Path(folder) / LOCK, os.O_RDWR)
    except OSError:  # there is none, or it cannot be had: whoever wants to hold it will see
        return
    try:
        _insist(descriptor, Path(folder), shared)
    finally:
        os.close(descriptor)


def _acquire(folder: Path, shared: bool) -> int:
    path = folder / LOCK
    while True:
        with told_plainly(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _insist(descriptor, folder, shared)
            if _same(descriptor, path):  # else its last holder has just removed it
                with told_plainly(path):
                    os.truncate(descriptor, 0)
                    if not shared:
                        os.write(descriptor, f'{os.getpid()} {socket.gethostname()}\n'.encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _insist(descriptor: int, folder: Path, shared: bool) -> None:
    """Takes the lock, or raises `UserError`."""
    for _ in range(_TRIES):
        if _try(descriptor, shared):
            return
        time.sleep(_PAUSE)
    raise _in_use(folder)


def _try(descriptor: int, shared: bool) -> bool:
    """Whether the lock could be taken; where there are no locks it counts as taken."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            warnings.warn(
                'the file system of the run directory cannot lock: nothing would stop a second process from working '
                'on the same run, and the two would spoil it',
                DataWarning,
                stacklevel=2,
            )
            return True
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _in_use(folder: Path) -> UserError:
    try:
        number, _, host = (folder / LOCK).read_text(encoding='ascii').strip().partition(' ')
    except (OSError, ValueError):
        number = host = ''
    here = 'this machine' if host == socket.gethostname() else host
    who = f'process {number} of {here}' if number.isdigit() and host else 'another process'
    return UserError(
        f'{folder} is in use by {who}, which works on the same run: wait until it ends, or end it, and start this '
        'again; or name another directory with run_dir'
    )
