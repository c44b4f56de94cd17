"""One file over HTTP, into a partial file that a later call goes on with.

What arrived before a cut is kept as `NAME.part`, with the file's ETag (or date) beside it in `NAME.part.etag`. Going on
is a Range request made conditional on that ETag (RFC 9110, sections 13.1.5 and 14.2), so that two versions of a file
are never joined. Nothing here is safe for two processes at once: the caller holds a lock.
"""

from __future__ import annotations

import errno
import http.client
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from jtransfer.errors import UserError
from jtransfer.terminal import PlainConsole

# Seconds before each new try; the count starts over whenever more has arrived than ever before.
_PAUSES = (0.5, 1.0, 2.0)
# Seconds to connect, and without a byte.
_TIMEOUTS = (10, 30)
_CHUNK = 2**18
_PASSING = {408, 429, 500, 502, 503, 504}


class _TryAgainError(Exception):
    """What may pass: a cut, or a server that is busy."""


def download_part(url: str, path: Path, *, progress: bool = True) -> Path:
    """Downloads a file as `path` + `.part`, going on with what is there already.

    A disk that fills up while writing loses the partial file, for a full disk harms other programs; every other
    failure keeps it.

    Args:
        url: http or https.
        path: where the file will be in the end; nothing is written there.
        progress: shows a bar, where standard error is a terminal.

    Returns:
        The path of the partial file, whole now and on the disk; its checksum is the caller's business.

    Raises:
        UserError: the file is not there or not to be had, the server cannot be reached or fails after several tries,
            or there is no space for it.
        OSError: the partial file cannot be written.
    """
    part = path.with_name(f'{path.name}.part')
    pauses, most = iter(_PAUSES), _size(part)
    while True:
        try:
            _attempt(url, path, part, progress)
            _etag_file(part).unlink(missing_ok=True)
            return part
        except (_TryAgainError, requests.RequestException) as error:
            if _size(part) > most:
                pauses, most = iter(_PAUSES), _size(part)
            pause = next(pauses, None)
            if pause is None:
                raise UserError(
                    f'{url}: {reason(error)}; try again later, or download it elsewhere and put it at {path}'
                ) from error
            time.sleep(pause)


def reason(error: BaseException) -> str:
    """What lies at the bottom of an error of the network or the disk: a few words on one line."""
    while True:
        response = getattr(error, 'response', None)
        if response is not None:
            return answered(response.status_code)
        below = error.__cause__ or error.__context__
        if below is None:
            break
        error = below
    text = getattr(error, 'strerror', None) or str(error) or type(error).__name__
    return ' '.join(text.split())


def answered(status: int) -> str:
    """A status of HTTP in words."""
    return f'the server answered {status} {http.client.responses.get(status, "")}'.strip()


def no_space(error: BaseException) -> bool:
    """Whether a disk, or a person's share of it, was full."""
    # hf_xet has words for it only.
    return getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT) or 'No space left' in str(error)


def space_line(folder: Path, needed: int | None = None, setting: str = 'JTRANSFER_CACHE') -> str:
    """What to tell a person whose disk is full.

    Args:
        folder: where there is no space.
        needed: bytes. None: unknown.
        setting: the environment variable that names another folder.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    need = 'more is needed' if needed is None else f'{needed:,} bytes are needed'
    return (
        f'no space: {need} in {folder}, {shutil.disk_usage(there).free:,} are free; '
        f'make room, or set {setting} to a folder on a larger disk'
    )


def _attempt(url: str, path: Path, part: Path, progress: bool) -> None:
    have, headers = _what_is_there(part)
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUTS) as response:
        status = response.status_code
        if status in _PASSING:
            raise _TryAgainError(answered(status))
        if status in (404, 410):
            raise UserError(f'{url}: there is no such file on the server ({status})')
        if have and status == 416 and response.headers.get('Content-Range') == f'bytes */{have}':
            return
        if have and (status == 416 or (status == 206 and not _continues(response, part, have))):
            _drop(part)
            raise _TryAgainError('the file changed on the server, or its partial downloads are broken')
        if not response.ok:
            raise UserError(f'{url}: {answered(status)}; download it elsewhere and put it at {path}')
        if status != 206:
            have = 0
            _drop(part)
        total = _total(response, have)
        if total is not None and total - have > shutil.disk_usage(part.parent).free:
            raise UserError(f'{url}: {space_line(part.parent, total - have)}')
        if validator := _validator(response):
            _etag_file(part).write_text(validator, encoding='utf-8')
        try:
            _write(part, response, path.name, have, total, progress)
        except OSError as error:
            if not no_space(error):
                raise
            _drop(part)
            raise UserError(f'{url}: {space_line(part.parent, total)}') from error
    if total is not None and _size(part) != total:
        raise _TryAgainError(f'the connection was cut after {_size(part):,} of {total:,} bytes')


def _what_is_there(part: Path) -> tuple[int, dict[str, str]]:
    """How many bytes to go on from, and the headers of the request for the rest."""
    # Compressed on the way, neither the length nor a range would be that of the file.
    headers = {'Accept-Encoding': 'identity'}
    have = _size(part)
    if not have or not _etag_file(part).exists():
        return 0, headers
    return have, headers | {'Range': f'bytes={have}-', 'If-Range': _etag_file(part).read_text(encoding='utf-8')}


def _continues(response: requests.Response, part: Path, have: int) -> bool:
    """Whether a partial answer is what was asked for; some servers pass over If-Range."""
    same = _validator(response) in ('', _etag_file(part).read_text(encoding='utf-8'))
    return same and response.headers.get('Content-Range', '').startswith(f'bytes {have}-')


def _validator(response: requests.Response) -> str:
    """What tells this version of the file from others; '': nothing does."""
    etag = response.headers.get('ETag', '')
    if not _identity(response):
        return ''
    # A weak ETag does not promise equal bytes, and If-Range does not take it.
    return etag if etag and not etag.startswith('W/') else response.headers.get('Last-Modified', '')


def _write(part: Path, response: requests.Response, name: str, have: int, total: int | None, progress: bool) -> None:
    with open(part, 'ab') as file, _bar(name, have, total, progress) as advance:
        for chunk in response.iter_content(_CHUNK):
            file.write(chunk)
            advance(len(chunk))
        file.flush()
        os.fsync(file.fileno())


def _total(response: requests.Response, have: int) -> int | None:
    length = response.headers.get('Content-Length', '')
    return have + int(length) if length.isdigit() and _identity(response) else None


def _identity(response: requests.Response) -> bool:
    return response.headers.get('Content-Encoding', 'identity') == 'identity'


def _etag_file(part: Path) -> Path:
    return part.with_name(f'{part.name}.etag')


def _drop(part: Path) -> None:
    part.unlink(missing_ok=True)
    _etag_file(part).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _bar(name: str, have: int, total: int | None, show: bool) -> Iterator[Callable[[int], None]]:
    """Yields a function that moves the bar on by so many bytes."""
    console = PlainConsole(stderr=True)
    if not (show and console.is_terminal):
        yield lambda count: None
        return
    columns = (
        TextColumn('{task.description}', markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn('left'),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=total, completed=have)
        yield lambda count: bar.advance(task, count)
