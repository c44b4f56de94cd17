"""Encoded pictures in a column of parquet or Arrow files, read by row without holding the files in memory."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

# Neighbours are often asked for together: this much of a file is decompressed at a time, and this often kept.
BLOCK_BYTES = 32 * 2**20
_KEPT = 2


class Pictures:
    """The pictures of files, whose rows are counted through; safe from threads, and picklable.

    Arrow files are mapped into memory. Of parquet files, blocks of neighbouring rows are decompressed, and the last
    ones kept for all threads together, so that memory does not grow with the data, the row groups or the threads.
    A row group larger than a block can only be read from its start: pictures in random order are then slow, and
    files with row groups of about a hundred pictures, as the hub has them, are not.
    """

    def __init__(self, files: Sequence[Path], column: str, block_bytes: int = BLOCK_BYTES) -> None:
        """Opens nothing yet.

        Args:
            files: parquet files, or Arrow streams (`.arrow`).
            column: of the pictures: bytes, or structures with a field `bytes`.
            block_bytes: about as much of a parquet file is decompressed at a time.
        """
        self._files, self._column, self._block_bytes = tuple(files), column, block_bytes
        self._forget()

    def __getitem__(self, row: int) -> bytes | None:
        """The bytes of the picture in a row; None where there are none."""
        with self._lock:
            start, cells = self._block(row)
        cell = cells[row - start].as_py()
        encoded = cell.get('bytes') if isinstance(cell, dict) else cell
        return encoded or None

    def __getstate__(self) -> dict[str, Any]:
        """Worker processes open their own files."""
        return {name: self.__dict__[name] for name in ('_files', '_column', '_block_bytes')}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Opens nothing yet."""
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[tuple[int, Any]] = []
        self._batches: Iterator[Any] = iter(())
        # Which piece the batches are of, and the row that the next one starts with.
        self._piece, self._next = -1, 0

    @functools.cached_property
    def _pieces(self) -> list[tuple[Path, int, int, int]]:
        """File, row group, rows and rows a block of all that is read separately; an Arrow file is one piece."""
        from pyarrow import parquet

        pieces = []
        for path in self._files:
            if is_arrow(path):
                rows = len(self._mapped(path))
                pieces.append((path, 0, rows, rows))
                continue
            with parquet.ParquetFile(path) as file:
                for number in range(file.metadata.num_row_groups):
                    group = file.metadata.row_group(number)
                    columns = map(group.column, range(group.num_columns))
                    own = [c for c in columns if c.path_in_schema.split('.')[0] == self._column]
                    size = max(1, sum(column.total_uncompressed_size for column in own))
                    block = max(1, min(group.num_rows, group.num_rows * self._block_bytes // size))
                    pieces.append((path, number, group.num_rows, block))
        return pieces

    @functools.cached_property
    def _starts(self) -> Int64[np.ndarray, ' pieces']:
        """First row of every piece."""
        return np.cumsum([0, *(rows for _, _, rows, _ in self._pieces)])[:-1].astype(np.int64)

    def _block(self, row: int) -> tuple[int, Any]:
        """First row and cells of the block that a row is in."""
        from pyarrow import parquet

        for start, cells in self._kept:
            if start <= row < start + len(cells):
                return start, cells
        piece = int(np.searchsorted(self._starts, row, side='right')) - 1
        path, group, _, size = self._pieces[piece]
        if is_arrow(path):
            return int(self._starts[piece]), self._mapped(path)
        if piece != self._piece or row < self._next:
            # Mapped: otherwise the whole column of the row group would be read before its first picture.
            file = parquet.ParquetFile(path, memory_map=True)
            self._batches = file.iter_batches(size, row_groups=[group], columns=[self._column], use_threads=False)
            self._piece, self._next = piece, int(self._starts[piece])
        while self._next <= row:
            start, cells = self._next, next(self._batches).column(0)
            self._next += len(cells)
        self._kept = [*self._kept[1 - _KEPT :], (start, cells)]
        return start, cells

    def _mapped(self, path: Path) -> Any:
        opened: dict[Path, Any] = self.__dict__.setdefault('_opened', {})
        if path not in opened:
            opened[path] = read_columns(path, [self._column]).column(0)
        return opened[path]


def is_arrow(path: Path) -> bool:
    """Whether a file is an Arrow stream, by its name."""
    return path.suffix == '.arrow'


def read_schema(path: Path) -> Any:
    """The `pyarrow.Schema` of a parquet file or an Arrow stream."""
    import pyarrow as pa
    from pyarrow import parquet

    if not is_arrow(path):
        return parquet.read_schema(path)
    with pa.memory_map(str(path)) as mapped, pa.ipc.open_stream(mapped) as reader:
        return reader.schema


def read_columns(path: Path, names: Sequence[str]) -> Any:
    """Some columns as a `pyarrow.Table`; those of an Arrow stream stay in the file, mapped into memory."""
    import pyarrow as pa
    from pyarrow import parquet

    if is_arrow(path):
        return pa.ipc.open_stream(pa.memory_map(str(path))).read_all().select(list(names))
    with parquet.ParquetFile(path) as file:
        return file.read(columns=list(names))


def count_rows(files: Sequence[Path]) -> int:
    """The number of rows of parquet files or Arrow streams."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = 0
    for path in files:
        if is_arrow(path):
            rows += pa.ipc.open_stream(pa.memory_map(str(path))).read_all().num_rows
        else:
            rows += parquet.read_metadata(path).num_rows
    return rows
