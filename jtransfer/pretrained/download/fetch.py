"""Published weights into the user's cache: from the Hugging Face hub, or from a URL.

Both are safe for several processes of a host at once: one of them downloads, the others wait and find the file. A file
appears in the cache whole or not at all, and a cut download is continued, not repeated.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, overload

import filelock
import pooch
import requests
from huggingface_hub import constants, errors, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from jtransfer.errors import UserError
from jtransfer.pretrained.download import kinds
from jtransfer.pretrained.download.http import download_part, no_space, reason, space_line

_BUCKETS = 'https://storage.googleapis.com/'
_HUB_TRIES = 4


@dataclasses.dataclass(frozen=True)
class Fetched:
    """A file that is on the disk.

    Attributes:
        path: of the file.
        revision: the commit of the hub it is from; '' for a URL.
    """

    path: Path
    revision: str


def cache_dir() -> Path:
    """The user's cache of URL downloads: `$JTRANSFER_CACHE`, or `~/.cache/jtransfer/weights`.

    Processes that share it keep out of each other's way by file locks, which its file system must have.

    The only place in the library that reads the environment itself; huggingface_hub reads its own variables
    (`HF_HOME`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`, …) when it is imported.
    """
    return Path(os.environ.get('JTRANSFER_CACHE') or '~/.cache/jtransfer/weights').expanduser().absolute()


def fetch_url(url: str, *, sha256: str = '', filename: str = '', progress: bool = True) -> Fetched:
    """Finds a file of a web server or a bucket in the cache, or downloads it there.

    The checksum and the first bytes are checked at every call, so that a file put into the cache by hand is checked,
    too; what is empty, a web page, or not of the kind that its name promises never enters the cache. A partial file is
    kept beside the file's place (`NAME.part`), unless its checksum was wrong or the disk was full.

    Args:
        url: https://…, http://… or gs://bucket/key, which is read from storage.googleapis.com without an account.
        sha256: hexadecimal digest of the file, or its first digits, eight at least, as in the names of PyTorch's files
            (`resnet50-0676ba61.pth`). '': not checked.
        filename: where in the cache, relative to it. '': the host and path of the URL.
        progress: shows a bar, where standard error is a terminal.

    Raises:
        UserError: the file does not exist, the server cannot be reached or `HF_HUB_OFFLINE` is set with nothing
            cached (the message says where to put the file by hand), it sends too much or too slowly or something else
            than a file of weights, the checksum is wrong, there is no space, or the cache cannot be written to.
    """
    sha256 = sha256.lower()
    if sha256 and not re.fullmatch('[0-9a-f]{8,64}', sha256):
        raise UserError(f"sha256='{sha256}': give the hexadecimal digest, or its first digits, eight at least")
    address = _address(url)
    path = cache_dir() / _place(address, filename)
    try:
        if not path.exists():
            # Outside the lock, so that a cache that is there whole may be read-only.
            _require_online(url, path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(f'{path}.lock'):
                _retrieve(address, path, sha256, progress)
        wrong, digest = kinds.wrong_kind(path), _wrong_digest(path, sha256)
    except OSError as error:
        if no_space(error):
            raise UserError(f'{url}: {space_line(path.parent)}') from error
        hint = 'check the folder, or set JTRANSFER_CACHE to another'
        raise UserError(f'{path}: cannot be written or read: {reason(error)}; {hint}') from error
    if wrong:
        raise UserError(f'{path} {wrong}; delete it to download {url} again')
    if digest:
        raise UserError(f'{path}: its sha256 is {digest}, expected {sha256}; delete it to download {url} again')
    return Fetched(path, '')


@overload
def fetch_hub(
    repo: str,
    filename: str,
    *,
    revision: str = '',
    progress: bool = True,
    endpoint: str | None = None,
    missing_ok: Literal[False] = False,
) -> Fetched: ...
@overload
def fetch_hub(
    repo: str,
    filename: str,
    *,
    revision: str = '',
    progress: bool = True,
    endpoint: str | None = None,
    missing_ok: bool,
) -> Fetched | None: ...
def fetch_hub(
    repo: str,
    filename: str,
    *,
    revision: str = '',
    progress: bool = True,
    endpoint: str | None = None,
    missing_ok: bool = False,
) -> Fetched | None:
    """Finds a file of the Hugging Face hub in the hub's cache, or downloads it there.

    Locks, partial files and the cache are huggingface_hub's own, and so are its settings: `HF_HOME`, `HF_ENDPOINT`,
    `HF_HUB_OFFLINE`, `HF_TOKEN`. A revision that is a whole commit and in the cache needs no network.

    Args:
        repo: `owner/name` of a model.
        filename: inside the repository, '/'-separated.
        revision: commit, tag or branch. '': the repository's `main`.
        progress: shows huggingface_hub's bar, where standard error is a terminal.
        endpoint: of the hub. None: huggingface_hub's.
        missing_ok: a file that the repository does not have is no error.

    Returns:
        The file and the commit it is from; None: the repository has no such file, and `missing_ok`.

    Raises:
        UserError: the repository, revision or file does not exist or wants an account, the hub cannot be reached or
            `HF_HUB_OFFLINE` is set with nothing cached, or there is no space.
    """
    try:
        if missing_ok and re.fullmatch('[0-9a-f]{40}', revision) and _known_to_miss(repo, filename, revision):
            return None
        with _hub_bar(progress):
            path = Path(_hub_download(repo, filename, revision, endpoint))
    except errors.LocalEntryNotFoundError as error:
        if missing_ok and _known_to_miss(repo, filename, revision):
            return None
        raise UserError(_hub_failure(error, repo, filename, revision, endpoint)) from error
    except errors.EntryNotFoundError as error:
        if missing_ok:
            return None
        raise UserError(_hub_failure(error, repo, filename, revision, endpoint)) from error
    # errors.HTTPError is the HTTP client's (of requests, which is an OSError, before 1.0; then of httpx, which is
    # not); hf_xet knows RuntimeError only.
    except (OSError, ValueError, RuntimeError, errors.HTTPError) as error:
        raise UserError(_hub_failure(error, repo, filename, revision, endpoint)) from error
    # …/snapshots/COMMIT/FILENAME
    return Fetched(path, path.parents[filename.count('/')].name)


def _address(url: str) -> str:
    if url.startswith('gs://'):
        url = _BUCKETS + urllib.parse.quote(url.removeprefix('gs://'))
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ('http', 'https') or not parts.netloc or parts.path.endswith('/') or not parts.path:
        raise UserError(f"'{url}' is no address of a file; expected https://host/path or gs://bucket/key")
    return url


def _place(address: str, filename: str) -> Path:
    """Where in the cache."""
    if not filename:
        parts = urllib.parse.urlsplit(address)
        filename = parts.netloc.replace(':', '_') + parts.path
        if parts.query:
            # Before the suffix, which says what the file is.
            name, suffix = os.path.splitext(filename)
            filename = f'{name}-{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}{suffix}'
    place = Path(filename)
    if place.is_absolute() or '..' in place.parts:
        raise UserError(f"'{filename}' leaves the cache; give a relative path without '..'")
    return place


def _require_online(url: str, path: Path) -> None:
    if constants.HF_HUB_OFFLINE:
        raise UserError(
            f'{url}: not in the cache, and HF_HUB_OFFLINE is set; download it elsewhere and put it at {path}'
        )


def _retrieve(address: str, path: Path, sha256: str, progress: bool) -> None:
    """Downloads, unless another process did meanwhile."""

    def into(url: str, output_file: str, _: object) -> None:
        part = download_part(url, path, progress=progress)
        if wrong := kinds.wrong_kind(part, path.name):
            part.unlink()
            raise UserError(
                f'{url}: the download {wrong}; check the URL (a login may be needed), or download it elsewhere and put '
                f'it at {path}'
            )
        # Here and not by pooch, which takes whole digests only.
        if digest := _wrong_digest(part, sha256):
            part.unlink()
            raise UserError(f'{url}: the download has sha256 {digest}, expected {sha256}; try again, or check the URL')
        os.replace(part, output_file)

    with _quiet(pooch.get_logger()):
        pooch.retrieve(address, None, fname=path.name, path=path.parent, downloader=into)


def _wrong_digest(path: Path, sha256: str) -> str:
    """The digest of a file that has another one than expected, else ''."""
    if not sha256:
        return ''
    with open(path, 'rb') as file:
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
    return '' if digest.startswith(sha256) else digest


def _hub_download(repo: str, filename: str, revision: str, endpoint: str | None) -> str:
    for tries in range(1, _HUB_TRIES + 1):
        try:
            with _quiet(logging.getLogger('huggingface_hub'), logging.ERROR):
                return hf_hub_download(
                    repo,
                    filename,
                    revision=revision or None,
                    endpoint=endpoint,
                    # It would try five times to reach a host that has no address here.
                    local_files_only=not _has_address(endpoint or constants.ENDPOINT),
                )
        # Some versions of huggingface_hub (0.36, 1.0) leave a cut body to the next call, which goes on with what
        # arrived; others (2.4) go on by themselves.
        except (requests.exceptions.ChunkedEncodingError, errors.HTTPError) as error:
            if isinstance(error, errors.HfHubHTTPError) or tries == _HUB_TRIES:
                raise
    raise AssertionError('unreachable')


def _hub_failure(error: Exception, repo: str, filename: str, revision: str, endpoint: str | None) -> str:
    """One line for a failure of huggingface_hub."""
    name = f'{repo}/{filename}' + (f' at {revision}' if revision else '')
    hub = endpoint or constants.ENDPOINT
    log_in = 'log in (`hf auth login`, or a valid HF_TOKEN)'
    if isinstance(error, errors.HFValidationError):
        return f"'{repo}' names no repository of the hub; expected owner/name"
    if isinstance(error, errors.GatedRepoError):
        return f'{name}: accept the conditions at {hub}/{repo}, then {log_in}'
    if isinstance(error, errors.RepositoryNotFoundError):
        return f'{name}: {hub} has no repository {repo}, or it is private; check the name, or {log_in}'
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{name}: {repo} has no revision '{revision}'; see {hub}/{repo}/commits/main"
    if isinstance(error, errors.LocalEntryNotFoundError):
        unreachable = '' if _has_address(hub) else f'{hub} cannot be reached'
        why = 'HF_HUB_OFFLINE is set' if constants.HF_HUB_OFFLINE else unreachable or f'{hub}: {reason(error)}'
        url = hf_hub_url(repo, filename, revision=revision or None, endpoint=endpoint)
        return (
            f'{name}: not in the cache {constants.HF_HUB_CACHE}, and {why}; '
            f'download {url} elsewhere and give the path of that file instead'
        )
    if isinstance(error, errors.EntryNotFoundError):
        return f"{name}: {repo} has no file '{filename}'; see {hub}/{repo}/tree/{revision or 'main'}"
    if no_space(error):
        return f'{name}: {space_line(Path(constants.HF_HUB_CACHE), setting="HF_HOME")}'
    kept_back = getattr(getattr(error, 'response', None), 'status_code', None) in (401, 403)
    hint = log_in if kept_back else 'try again'
    return f'{name}: the download failed: {reason(error)}; {hint}, or give the path of a copy'


def _known_to_miss(repo: str, filename: str, revision: str) -> bool:
    """Whether the cache remembers that the repository does not have the file."""
    found = try_to_load_from_cache(repo, filename, revision=revision or None)
    # A path where it has the file, None where nothing is known of it, else an object that says that it is not there.
    return found is not None and not isinstance(found, str)


@contextmanager
def _hub_bar(show: bool) -> Iterator[None]:
    name = 'huggingface_hub'
    if show or are_progress_bars_disabled(name):
        yield
        return
    disable_progress_bars(name)
    try:
        yield
    finally:
        enable_progress_bars(name)


def _has_address(url: str) -> bool:
    """Whether the name of a host can be resolved: without a network it cannot."""
    if {'http', 'https'} & set(urllib.request.getproxies()):
        return True  # the proxy resolves it
    try:
        socket.getaddrinfo(urllib.parse.urlsplit(url).hostname, None)
    except OSError:
        return False
    return True


@contextmanager
def _quiet(logger: logging.Logger, level_while: int = logging.WARNING) -> Iterator[None]:
    """pooch tells its every step on standard error, huggingface_hub its every try."""
    level = logger.level
    logger.setLevel(level_while)
    try:
        yield
    finally:
        logger.setLevel(level)
