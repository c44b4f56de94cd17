"""Files of decoded examples, known by the content of the files they were decoded from.

Every way of preparing examples has a folder of its own with files that only ever grow: one for every field of what is
held (the pixels of images), one example behind the other, an index of what they were decoded from and, where there is
any, something to say about a few of them. Parts, folds, seeds and runs therefore share what they have in common, a
renamed or moved file is known again, and a changed one is another. The fields are on the disk before the index speaks
of them, so that a process may be killed at any time. The index has a checksum of every example and of every record:
what the disk has changed is decoded again. A row is never used again, whatever became of its record: another process
may have it mapped into memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import quote

import numpy as np
from filelock import FileLock
from jaxtyping import Int64, Shaped

from jtransfer.data.decode.cache_records import DIGEST_BYTES, NARROW, NOTHING, RECORD, are_whole, lost, sealed
from jtransfer.data.decode.describe import describe, name_of
from jtransfer.data.decode.narrow import Narrow
from jtransfer.errors import UserError
from jtransfer.files.paths import expanded
from jtransfer.inputs.prepare import Held, Prepare, Spec, nbytes

FORMAT = 'jtransfer-decoded/3'
# What a killed process loses at most, and what waits in memory.
_CHUNK_BYTES = 2**24
_CHUNK_ROWS = 1024
_MIB = 2**20


class Row(NamedTuple):
    """An example as it is kept.

    Attributes:
        held: arrays by field.
        narrow: what was noticed of an image of 16 bits that uses a sliver of its range.
    """

    held: Held
    narrow: Narrow | None = None


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/jtransfer/decoded`, by default `~/.cache/jtransfer/decoded`."""
    base = os.environ.get('XDG_CACHE_HOME')
    return expanded(base or '~/.cache') / 'jtransfer' / 'decoded'


def digest_of(content: bytes) -> bytes:
    """What stands for the content of a file, 16 bytes."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


class DecodeCache:
    """What one way of preparing has made of examples; several processes may read and add to it at once.

    Attributes:
        folder: of the files.
        spec: shapes and types by field, of one example.
        damaged: how many records of the index were found that the disk has changed.
    """

    def __init__(self, folder: Path, spec: Spec) -> None:
        """Reads the index.

        Args:
            folder: of the files; made when the first example is added.
            spec: shapes and types by field, of one example.

        Raises:
            UserError: the folder cannot be read.
        """
        self.folder, self.spec = folder, dict(spec)
        self._fields = {name: folder / f'{quote(name, safe="")}.held' for name in spec}
        self._index, self._narrow = folder / 'index.bin', folder / 'narrow.bin'
        self._sizes = {name: nbytes({name: leaf}) for name, leaf in spec.items()}
        self._rows: dict[bytes, int] = {}
        self._waiting: dict[bytes, Row] = {}
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
        found = 0
        try:
            for name, path in self._fields.items():
                with path.open('rb', buffering=0) as file:
                    file.seek(row * self._sizes[name])
                    found = zlib.crc32(file.read(self._sizes[name]), found)
        except OSError:
            return False
        return bool(found == self._sums[row])

    def forget(self, digest: bytes) -> None:
        """Takes the picture of this content as not decoded yet; its place in the file stays as it is."""
        self._rows.pop(digest, None)

    def check_space(self, count: int) -> None:
        """Raises `UserError` if so many pictures cannot all be written, as far as is known beforehand."""
        missing = (count - len(self)) * nbytes(self.spec)
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

    def add(self, digest: bytes, row: Row) -> None:
        """Adds an example; `commit` or a later `add` writes it."""
        shapes = {name: (np.shape(values), np.asarray(values).dtype) for name, values in row.held.items()}
        if shapes != {name: (leaf.shape, leaf.dtype) for name, leaf in self.spec.items()}:
            raise ValueError(f'an example is held as {shapes}, and not as {self.spec}')
        if digest not in self:
            self._waiting[digest] = row
        if len(self._waiting) >= min(_CHUNK_ROWS, max(1, _CHUNK_BYTES // nbytes(self.spec))):
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
                new = {digest: row for digest, row in waiting.items() if digest not in self._rows}
                if new:
                    self._write(new)
        self._read_index()

    def narrow(self, digest: bytes) -> Narrow | None:
        """What was noticed of the picture of this content when it was decoded."""
        return self._noticed.get(digest)

    def held(self) -> dict[str, Shaped[np.ndarray, 'rows ...']]:
        """All examples in the files by field, mapped into memory; there must be one."""
        return {
            name: np.memmap(self._fields[name], leaf.dtype, 'r', shape=(self._count, *leaf.shape))
            for name, leaf in self.spec.items()
        }

    def rows(self, digests: Sequence[bytes]) -> Int64[np.ndarray, ' n']:
        """Where the pictures of these contents are."""
        return np.array([self._rows[digest] for digest in digests], np.int64)

    def _write(self, new: dict[bytes, Row]) -> None:
        held = {
            name: [np.asarray(row.held[name], leaf.dtype).tobytes() for row in new.values()]
            for name, leaf in self.spec.items()
        }
        records = np.zeros(len(new), RECORD)
        records['digest'] = np.frombuffer(b''.join(new), np.uint8).reshape(-1, DIGEST_BYTES)
        records['row'] = np.arange(self._count, self._count + len(new))
        records['sum'] = [_sum(fields) for fields in zip(*held.values(), strict=True)]
        sealed(records)
        try:
            self._write_narrow(new)
            for name, rows in held.items():
                with self._at(self._fields[name], self._count * self._sizes[name]) as file:
                    for content in rows:
                        file.write(content)
            with self._at(self._index, self._count * RECORD.itemsize) as file:
                file.write(records.tobytes())
        except OSError:
            sizes = {self._fields[name]: size for name, size in self._sizes.items()}
            for path, size in ((self._index, RECORD.itemsize), *sizes.items()):
                if path.exists():
                    os.truncate(path, self._count * size)
            raise

    def _write_narrow(self, new: dict[bytes, Row]) -> None:
        """Before the index speaks of the pictures; what a killed process leaves here twice does no harm."""
        noticed = {digest: row.narrow for digest, row in new.items() if row.narrow is not None}
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
        """Makes all files end with the same row, for the one who may write.

        Rows without a record, or with one that is no more what it was, become rows that hold nothing: what a killed
        process has left, what the disk has cut off or changed.
        """
        index = self._index.stat().st_size if self._index.exists() else 0
        there = {path: path.stat().st_size if path.exists() else 0 for path in self._fields.values()}
        whole = [-(-there[path] // self._sizes[name]) for name, path in self._fields.items()]
        end = max(index // RECORD.itemsize, *whole)
        rows = [*self._holes, *range(self._count, end)]
        self.damaged += max(0, index // RECORD.itemsize - self._count)  # of examples that are gone
        if rows:
            for name, path in self._fields.items():
                with self._at(path, end * self._sizes[name]):
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
                there = min(path.stat().st_size // self._sizes[name] for name, path in self._fields.items())
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
            self._sums = np.concatenate([self._sums, records['sum']])
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


def _sum(fields: Sequence[bytes]) -> int:
    """The checksum of an example, of its fields in order."""
    found = 0
    for content in fields:
        found = zlib.crc32(content, found)
    return found


def open_cache(folder: Path, prepare: Prepare, pixel_range: Sequence[float] = ()) -> DecodeCache | None:
    """The cache of a way of preparing examples; None for one that cannot be known again.

    Args:
        folder: of all caches.
        prepare: from an example to what is kept.
        pixel_range: as `data.pixel_range`.

    Raises:
        UserError: the folder cannot be read.
    """
    text = describe(prepare, pixel_range)
    if text is None:
        return None
    spec = prepare.spec
    shapes = {name: (list(leaf.shape), str(leaf.dtype)) for name, leaf in spec.items()}
    known = digest_of(json.dumps([FORMAT, text, shapes]).encode()).hex()
    largest = max(spec.values(), key=lambda leaf: len(leaf.shape))
    return DecodeCache(folder / f'{name_of(prepare)}-{"x".join(map(str, largest.shape))}-{known[:16]}', spec)
