"""A file of decoded pictures, known by the content of the files they were decoded from.

Every way of decoding has a folder of its own with files that only ever grow: the pixels, one picture behind the other,
an index of what they were decoded from and, where there is any, something to say about a few of them. Parts, folds,
seeds and runs therefore share what they have in common, a renamed or moved file is known again, and a changed one
is another. Pixels are on the disk before the index speaks of them, so that a process may be killed at any time. The
index has a checksum of every picture and of every record: what the disk has changed is decoded again. A row is never
used again, whatever became of its record: another process may have it mapped into memory.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from filelock import FileLock
from jaxtyping import Float32, Int64, UInt8

from jtransfer.data.decode.cache_records import DIGEST_BYTES, NARROW, NOTHING, RECORD, are_whole, lost, sealed
from jtransfer.data.decode.describe import describe, name_of
from jtransfer.data.decode.narrow import Narrow
from jtransfer.errors import UserError
from jtransfer.files.paths import expanded
from jtransfer.inputs.image import Pixels

FORMAT = 'jtransfer-decoded/2'
# What a killed process loses at most, and what waits in memory.
_CHUNK_BYTES = 2**24
_CHUNK_ROWS = 1024
_MIB = 2**20


@dataclasses.dataclass(frozen=True, eq=False)
class Square:
    """A picture as it is kept.

    Attributes:
        pixels: what the pixels function made of it.
        height: of the original picture, pixels.
        width: of the original picture, pixels.
        narrow: what was noticed of an image of 16 bits that uses a sliver of its range.
    """

    pixels: UInt8[np.ndarray, '... channel']
    height: int
    width: int
    narrow: Narrow | None = None


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/jtransfer/decoded`, by default `~/.cache/jtransfer/decoded`."""
    base = os.environ.get('XDG_CACHE_HOME')
    return expanded(base or '~/.cache') / 'jtransfer' / 'decoded'


def digest_of(content: bytes) -> bytes:
    """What stands for the content of a file, 16 bytes."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def shape_of(pixels: Pixels) -> tuple[int, ...]:
    """Shape of what a pixels function makes of a picture, which must be the same for all."""
    return pixels(np.zeros((8, 8, 3), np.uint8)).shape


class DecodeCache:
    """The pictures that one pixels function has made; several processes may read and add to it at once.

    Attributes:
        folder: of the files.
        shape: of the pixels of every picture.
        damaged: how many records of the index were found that the disk has changed.
    """

    def __init__(self, folder: Path, shape: Sequence[int]) -> None:
        """Reads the index.

        Args:
            folder: of the two files; made when the first picture is added.
            shape: of the pixels of every picture.

        Raises:
            UserError: the folder cannot be read.
        """
        self.folder, self.shape = folder, tuple(shape)
        self._pixels, self._index, self._narrow = (folder / f'{name}.bin' for name in ('pixels', 'index', 'narrow'))
        self._row_bytes = math.prod(self.shape)
        self._rows: dict[bytes, int] = {}
        self._records: list[np.ndarray] = []
        self._waiting: dict[bytes, Square] = {}
        self._noticed: dict[bytes, Narrow] = {}
        self._count = self.damaged = 0
        self._holes: list[int] = []
        self._sums = np.empty(0, np.uint32)
        self._read_index()

    def __len__(self) -> int:
        """How many rows of pictures the file has."""
        return self._count

    def __contains__(self, digest: bytes) -> bool:
        """Whether the picture of this content is in the file, or about to be."""
        return digest in self._rows or digest in self._waiting

    def is_whole(self, digest: bytes) -> bool:
        """Whether the picture of this content, which is in the file or about to be, is as it was written."""
        row = self._rows.get(digest)
        if row is None:
            return True
        try:
            with self._pixels.open('rb', buffering=0) as file:
                file.seek(row * self._row_bytes)
                return zlib.crc32(file.read(self._row_bytes)) == self._sums[row]
        except OSError:
            return False

    def forget(self, digest: bytes) -> None:
        """Takes the picture of this content as not decoded yet; its place in the file stays as it is."""
        self._rows.pop(digest, None)

    def check_space(self, count: int) -> None:
        """Raises `UserError` if so many pictures cannot all be written, as far as is known beforehand."""
        missing = (count - len(self)) * self._row_bytes
        if missing <= 0:
            return
        with self._told_plainly():
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
        if missing > free:
            raise UserError(
                f'data.cache_dir: the decoded images take {missing / _MIB:,.0f} MiB, but {self.folder} has '
                f'{free / _MIB:,.0f} MiB free: name another folder, or set data.cache=False'
            )

    def add(self, digest: bytes, square: Square) -> None:
        """Adds a picture; `commit` or a later `add` writes it."""
        if square.pixels.shape != self.shape or square.pixels.dtype != np.uint8:
            raise ValueError(f'pixels are {square.pixels.dtype} {square.pixels.shape}, not uint8 {self.shape}')
        if digest not in self:
            self._waiting[digest] = square
        if len(self._waiting) >= min(_CHUNK_ROWS, max(1, _CHUNK_BYTES // self._row_bytes)):
            self.commit()

    def commit(self) -> None:
        """Writes what has been added.

        Raises:
            UserError: the folder cannot be written, or the disk is full; what was there before is as it was.
        """
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        with self._told_plainly():
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / 'lock'):
                # Another process may have added the same pictures meanwhile.
                self._read_index(locked=True)
                self._settle()
                new = {digest: square for digest, square in waiting.items() if digest not in self._rows}
                if new:
                    self._write(new)
        self._read_index()

    def narrow(self, digest: bytes) -> Narrow | None:
        """What was noticed of the picture of this content when it was decoded."""
        return self._noticed.get(digest)

    def images(self) -> UInt8[np.ndarray, 'rows ...']:
        """All pictures in the file, mapped into memory; there must be one."""
        return np.memmap(self._pixels, np.uint8, 'r', shape=(self._count, *self.shape))

    def rows(self, digests: Sequence[bytes]) -> Int64[np.ndarray, ' n']:
        """Where the pictures of these contents are."""
        return np.array([self._rows[digest] for digest in digests], np.int64)

    def aspects(self, rows: Int64[np.ndarray, ' n']) -> Float32[np.ndarray, ' n']:
        """Width / height of the original pictures."""
        records = np.concatenate([*self._records, np.empty(0, RECORD)])[rows]
        return (records['width'].astype(np.float64) / records['height']).astype(np.float32)

    def _write(self, new: dict[bytes, Square]) -> None:
        records = np.zeros(len(new), RECORD)
        records['digest'] = np.frombuffer(b''.join(new), np.uint8).reshape(-1, DIGEST_BYTES)
        records['height'] = [square.height for square in new.values()]
        records['width'] = [square.width for square in new.values()]
        records['row'] = np.arange(self._count, self._count + len(new))
        records['pixels'] = [zlib.crc32(np.ascontiguousarray(square.pixels).data) for square in new.values()]
        sealed(records)
        try:
            self._write_narrow(new)
            with self._at(self._pixels, self._count * self._row_bytes) as file:
                for square in new.values():
                    file.write(np.ascontiguousarray(square.pixels).data)
            with self._at(self._index, self._count * RECORD.itemsize) as file:
                file.write(records.tobytes())
        except OSError:
            for path, size in ((self._index, RECORD.itemsize), (self._pixels, self._row_bytes)):
                if path.exists():
                    os.truncate(path, self._count * size)
            raise

    def _write_narrow(self, new: dict[bytes, Square]) -> None:
        """Before the index speaks of the pictures; what a killed process leaves here twice does no harm."""
        noticed = {digest: square.narrow for digest, square in new.items() if square.narrow is not None}
        if not noticed:
            return
        records = np.zeros(len(noticed), NARROW)
        records['digest'] = np.frombuffer(b''.join(noticed), np.uint8).reshape(-1, DIGEST_BYTES)
        for field in ('low', 'high', 'grey'):
            records[field] = [getattr(narrow, field) for narrow in noticed.values()]
        sealed(records)
        there = self._narrow.stat().st_size if self._narrow.exists() else 0
        with self._at(self._narrow, there - there % NARROW.itemsize) as file:
            file.write(records.tobytes())

    @contextmanager
    def _at(self, path: Path, size: int) -> Iterator[IO[bytes]]:
        """A file to go on writing at a size; what is behind it is from a process that was killed."""
        path.touch()
        with path.open('r+b') as file:
            before = file.seek(0, os.SEEK_END)
            if before != size:
                file.truncate(size)
            file.seek(size)
            yield file
            if before != size or file.tell() != size:
                file.flush()
                os.fsync(file.fileno())

    def _settle(self) -> None:
        """Makes both files end with the same row, for the one who may write.

        Rows without a record, or with one that is no more what it was, become rows that hold nothing: what a killed
        process has left, what the disk has cut off or changed.
        """
        index, pixels = (path.stat().st_size if path.exists() else 0 for path in (self._index, self._pixels))
        end = max(index // RECORD.itemsize, -(-pixels // self._row_bytes))
        rows = [*self._holes, *range(self._count, end)]
        self.damaged += max(0, index // RECORD.itemsize - self._count)  # of pixels that are gone
        if rows:
            with self._at(self._pixels, end * self._row_bytes):
                pass
            with self._at(self._index, index - index % RECORD.itemsize) as file:
                for row in rows:
                    file.seek(row * RECORD.itemsize)
                    file.write(lost(row))
            self._holes = []
            self._read_index()

    def _read_index(self, locked: bool = False) -> None:
        """Takes in what the index says beyond what is known.

        Args:
            locked: whether nobody else can write. Records behind the last whole one may be in writing otherwise.
        """
        with self._told_plainly():
            try:
                with self._index.open('rb') as file:
                    file.seek(self._count * RECORD.itemsize)
                    content = file.read()
                there = self._pixels.stat().st_size // self._row_bytes
            except FileNotFoundError:
                return
            noticed = self._narrow.read_bytes() if self._narrow.exists() else b''
        narrow_records = np.frombuffer(noticed, NARROW, len(noticed) // NARROW.itemsize)
        for record in narrow_records[are_whole(narrow_records)]:
            narrow = Narrow(int(record['low']), int(record['high']), bool(record['grey']))
            self._noticed[record['digest'].tobytes()] = narrow
        records = np.frombuffer(content, RECORD, len(content) // RECORD.itemsize)[: max(0, there - self._count)]
        fine = are_whole(records) & (records['row'] == np.arange(self._count, self._count + len(records)))
        if not locked:
            records = records[: np.flatnonzero(fine).max(initial=-1) + 1]
        digests = records['digest'].tobytes()
        for position in np.flatnonzero(fine).tolist():
            digest = digests[position * DIGEST_BYTES : (position + 1) * DIGEST_BYTES]
            if digest != NOTHING:
                # The later one, where what the disk had changed was decoded again.
                self._rows[digest] = self._count + position
        if len(records):
            holes = np.flatnonzero(~fine[: len(records)])
            self._holes += (self._count + holes).tolist()
            self.damaged += len(holes)
            self._records.append(records)
            self._sums = np.concatenate([self._sums, records['pixels']])
            self._count += len(records)

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        try:
            yield
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, 'strerror', None) or str(error)
            raise UserError(
                f'data.cache_dir: {self.folder} cannot be used ({reason}): name another folder, or set data.cache=False'
            ) from None


def open_cache(folder: Path, pixels: Pixels, pixel_range: Sequence[float] = ()) -> DecodeCache | None:
    """The cache of a pixels function; None if it is a function that cannot be known again.

    Args:
        folder: of all caches.
        pixels: from a picture to what is kept.
        pixel_range: as `data.pixel_range`.

    Raises:
        UserError: the folder cannot be read.
    """
    text = describe(pixels, pixel_range)
    if text is None:
        return None
    shape = shape_of(pixels)
    known = digest_of(json.dumps([FORMAT, text, shape]).encode()).hex()
    return DecodeCache(folder / f'{name_of(pixels)}-{"x".join(map(str, shape[:-1]))}-{known[:16]}', shape)
