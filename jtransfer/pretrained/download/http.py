"""One file over HTTP, into a partial file that a later call goes on with.

What arrived before a cut is kept as `NAME.part`, with the file's ETag (or date) beside it in `NAME.part.etag`. Going on
is a Range request made conditional on that ETag (RFC 9110, sections 13.1.5 and 14.2), so that two versions of a file
are never joined. Nothing here is safe for two processes at once: the caller holds a lock.

A server is believed within bounds: so many bytes, at such a rate, and not many times what came over the network.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from jtransfer.errors import UserError
from jtransfer.pretrained.download import pace
from jtransfer.text.terminal import PlainConsole

# Seconds before each new try; the count starts over whenever more has arrived than ever before.
_PAUSES = (0.5, 1.0, 2.0)
# Seconds to connect, and without a byte.
_TIMEOUTS = (10, 30)
# The largest file whose size the server states, and the largest of an unknown size: the largest published networks for
# images have some ten gigabytes.
MAX_BYTES, MAX_UNSTATED = 64 * 2**30, 8 * 2**30
# Weights that were compressed on the way are never so many times what arrived; a little may be.
_SWELLS, _ALWAYS_SWELLS = 20, 2**26
_PASSING = {408, 429, 500, 502, 503, 504}


_RANGE = re.compile(r'bytes [0-9]+-[0-9]+/([0-9]{1,18})')


class _TryAgainError(Exception):
    """What may pass: a cut, or a server that is busy."""


class _EndlessError(Exception):
    """More came than can be meant."""


def download_part(url: str, path: Path, *, progress: bool = True) -> Path:
    """Downloads a file as `path` + `.part`, going on with what is there already.

    A disk that fills up while writing loses the partial file, for a full disk harms other programs, and so does an
    answer without end; every other failure keeps it.

    Args:
        url: http or https.
        path: where the file will be in the end; nothing is written there.
        progress: shows a bar, where standard error is a terminal.

    Returns:
        The path of the partial file, whole now and on the disk; its checksum is the caller's business.

    Raises:
        UserError: the file is not there or not to be had, the server cannot be reached or fails after several tries,
            the file is too large or hardly arrives, or there is no space for it.
        OSError: the partial file cannot be written.
    """
    part = path.with_name(f'{path.name}.part')
    pauses, most = iter(_PAUSES), _size(part)
    while True:
        try:
            _attempt(url, path, part, progress)
            _etag_file(part).unlink(missing_ok=True)
            return part
        except pace.TooSlowError as error:
            raise UserError(f'{url}: {error}; {_later(path)} (what has arrived is kept)') from None
        except (_TryAgainError, requests.RequestException) as error:
            # A server that cuts after every byte gets no further.
            if _size(part) >= most + pace.LEAST:
                pauses, most = iter(_PAUSES), _size(part)
            pause = next(pauses, None)
            if pause is None:
                raise UserError(f'{url}: {reason(error)}; {_later(path)}') from error
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


def _by_hand(path: Path) -> str:
    return f'download it elsewhere and put it at {path}'


def _later(path: Path) -> str:
    return f'try again later, or {_by_hand(path)}'


def _attempt(url: str, path: Path, part: Path, progress: bool) -> None:
    have, headers = _what_is_there(part)
    with pace.answer(url, headers, _TIMEOUTS) as (response, chunks):
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
        if status == 206 and not have:
            raise _TryAgainError('the server sent a part of the file, which nobody asked for')
        if status not in (200, 203, 206):
            raise UserError(f'{url}: {answered(status)}; {_by_hand(path)}')
        if status != 206:
            have = 0
            _drop(part)
        total = _total(response, have)
        limit = MAX_UNSTATED if total is None else MAX_BYTES
        if total is not None and total > limit:
            raise UserError(
                f'{url}: the server states {total:,} bytes, more than the {limit:,} allowed; {_by_hand(path)} if they '
                'are meant'
            )
        if total is not None and total - have > shutil.disk_usage(part.parent).free:
            raise UserError(f'{url}: {space_line(part.parent, total - have)}')
        if validator := _validator(response):
            _etag_file(part).write_text(validator, encoding='utf-8')
        try:
            _write(part, chunks, path.name, have, total, progress, limit)
        except _EndlessError as error:
            _drop(part)
            raise UserError(f'{url}: {error}; {_by_hand(path)} if they are meant') from None
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
    have, etag = _size(part), _kept_validator(part)
    return (have, headers | {'Range': f'bytes={have}-', 'If-Range': etag}) if have and etag else (0, headers)


def _kept_validator(part: Path) -> str:
    """What was written of the version of a partial file; '' where there is nothing, or nothing of use."""
    if not _etag_file(part).exists():
        return ''
    etag = _etag_file(part).read_bytes()[:1024]
    return etag.decode('ascii') if etag.isascii() and etag.decode('ascii').isprintable() else ''


def _continues(response: requests.Response, part: Path, have: int) -> bool:
    """Whether a partial answer is what was asked for; some servers pass over If-Range."""
    same = _validator(response) in ('', _kept_validator(part))
    return same and response.headers.get('Content-Range', '').startswith(f'bytes {have}-')


def _validator(response: requests.Response) -> str:
    """What tells this version of the file from others; '': nothing does."""
    etag = response.headers.get('ETag', '')
    if not _identity(response):
        return ''
    # A weak ETag does not promise equal bytes, and If-Range does not take it.
    return etag if etag and not etag.startswith('W/') else response.headers.get('Last-Modified', '')


def _write(
    part: Path,
    chunks: Iterator[tuple[bytes, int]],
    name: str,
    have: int,
    total: int | None,
    progress: bool,
    limit: int,
) -> None:
    whole = have
    with open(part, 'ab') as file, _bar(name, have, total, progress) as advance:
        for chunk, arrived in chunks:
            whole += len(chunk)
            if whole > limit:
                raise _EndlessError(f'more than {limit:,} bytes came without an end being stated')
            if whole - have > max(_ALWAYS_SWELLS, _SWELLS * arrived):
                raise _EndlessError(
                    f'{arrived:,} bytes became {whole - have:,} when they were unpacked (a decompression bomb?)'
                )
            file.write(chunk)
            advance(len(chunk))
        file.flush()
        os.fsync(file.fileno())


def _total(response: requests.Response, have: int) -> int | None:
    if response.status_code == 206 and (found := _RANGE.fullmatch(response.headers.get('Content-Range', ''))):
        return int(found[1])
    length = response.headers.get('Content-Length', '')
    if 'Content-Length' not in response.headers or not _identity(response):
        return None
    if not re.fullmatch('[0-9]{1,18}', length):
        raise _TryAgainError('the server states a length that is none')
    return have + int(length)


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
