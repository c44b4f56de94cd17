"""Paths as a person writes them: where `~` is, and what can be written, known before anything is computed."""

from __future__ import annotations

import os
from pathlib import Path

from jtransfer.errors import UserError


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with `~` and `~NAME` replaced by home directories.

    Raises:
        UserError: nobody of that name has one.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f'{path}: nobody of that name has a home directory; ./~… is a file called ~…') from None


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file; what cannot be a path, being too long for one, is none."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file or folder, as `is_file`."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def output_file(path: str | os.PathLike[str], name: str = 'output', example: str = '') -> Path:
    """The path of a file that is to be written, or written anew; folders above it need not exist.

    Args:
        path: as a person wrote it.
        name: of the argument or field it was given by.
        example: a file name such as would be right.

    Raises:
        UserError: it is a folder, or cannot be written.
    """
    file = expanded(path)
    if file.is_dir() or os.fspath(path).endswith(('/', os.sep)):
        raise UserError(f'{name}={path} is a folder; name a file' + (f' in it: {file / example}' if example else ''))
    _check_above(file.parent, f'{name}={file}')
    return file


def output_folder(path: str | os.PathLike[str], name: str = 'output', *, empty: bool = False) -> Path:
    """The path of a folder that is to be written into; neither it nor those above it need exist.

    Args:
        path: as a person wrote it.
        name: of the argument or field it was given by.
        empty: whether it must be new, or hold nothing.

    Raises:
        UserError: it is a file, cannot be written, or is not empty where it must be.
    """
    folder = expanded(path)
    if empty and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f'{name}={folder} exists already; name a new folder')
    if folder.exists() and not folder.is_dir():
        raise UserError(f'{name}={folder} is a file; name a folder')
    _check_above(folder, f'{name}={folder}')
    return folder


def _check_above(folder: Path, given: str) -> None:
    """Raises `UserError` if a folder could not be made or written, for what stands in the way or is not allowed."""
    folder = folder.absolute()
    there = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    if not there.is_dir():
        raise UserError(f'{given}: {there} is no folder')
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f'{given}: nothing may be written in {there}')
