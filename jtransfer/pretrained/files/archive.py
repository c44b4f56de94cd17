"""Zip archives of weights (`.npz`, torch), opened only as far as their directory, and never inflated beyond bounds.

A zip file says of every member how large it will be, and Python's reader takes no more than that. Values of real
weights are hardly compressible: what would grow much larger than the file is a bomb, and is refused unread.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jtransfer.errors import UserError

# An archive of this size may be of nothing but zeros.
MAX_INFLATED = 64 * 2**20
# Any larger one may grow by this factor: random bytes do not shrink, a network of many zeros does by three or five.
MAX_RATIO = 16
# A directory has some hundred bytes a member.
_MAX_DIRECTORY = 16 * 2**20
# How an archive begins that nothing is put before.
START = b'PK\x03\x04'
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class _Bounded(io.BufferedReader):
    """The file of an archive: the directory is read in one piece, of a length that the file states."""

    def read(self, size: int | None = -1, /) -> bytes:
        """As usual, but for a piece that no archive of weights has."""
        if size is not None and size > _MAX_DIRECTORY:
            raise zipfile.BadZipFile(f'a directory of {size:,} bytes')
        return super().read(size)


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip archive whose members may be read: they are no more than the limits above, and each is there once.

    Raises:
        UserError: an archive that would become too large, is encrypted, or packed in a way that nobody uses here.
        zipfile.BadZipFile: it is no archive, or a damaged one.
    """
    with _Bounded(io.FileIO(path)) as file, _directory(file) as archive:
        size = os.fstat(file.fileno()).st_size
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        allowed = max(MAX_INFLATED, MAX_RATIO * size)
        if total > allowed:
            raise UserError(
                f'{path}: its {size:,} bytes would become {total:,}, more than the {allowed:,} that are unpacked: '
                'weights are never packed so well'
            )
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise UserError(f'{path}: not a valid archive: two members have one name')
        for member in members:
            if member.compress_type not in _METHODS or member.flag_bits & 1:
                raise UserError(f'{path}: its member {member.filename!r} is encrypted, or packed in an unknown way')
        yield archive


def _directory(file: io.BufferedReader) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    # Damaged bytes lead to features that Python has not: a later version of the format, several disks.
    except (NotImplementedError, ValueError, struct.error) as error:
        raise zipfile.BadZipFile(str(error)) from None


def has_members(path: Path, suffix: str) -> bool:
    """Whether a file is a zip archive all of whose members end in something."""
    try:
        with opened(path) as archive:
            return all(name.endswith(suffix) for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False
