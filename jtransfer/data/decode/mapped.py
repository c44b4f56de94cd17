"""Rows of a file that is mapped into memory, in an order of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int64, Shaped


@dataclasses.dataclass(frozen=True, eq=False)
class MappedRows:
    """Some rows of a mapped file, indexed as an array is; only what is asked for is read into memory.

    Attributes:
        file: all rows of the file.
        rows: which of them, in order.
    """

    file: Shaped[np.ndarray, 'rows ...']
    rows: Int64[np.ndarray, ' n']

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        return len(self.rows), *self.file.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        """As an array's."""
        return self.file.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all rows together."""
        return len(self.rows) * self.file[:1].nbytes

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def __getitem__(self, index: Any) -> Shaped[np.ndarray, ...]:
        """A copy of a row, or of several, by a number, a slice or an array of numbers."""
        return np.array(self.file[self.rows[index]])

    def __iter__(self) -> Iterator[Shaped[np.ndarray, ...]]:
        """One row after another."""
        return (self[index] for index in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All rows, read into memory."""
        if copy is False:
            raise ValueError('rows of a mapped file are an array only as a copy')
        return self[:] if dtype is None else self[:].astype(dtype)


# Whatever holds a field of all examples of a part.
Rows: TypeAlias = np.ndarray | MappedRows


def map_rows(file: Shaped[np.ndarray, 'rows ...'], rows: Int64[np.ndarray, ' n']) -> Rows:
    """The rows of a mapped file: the file itself, or a piece of it, where they lie one behind the other."""
    start = int(rows[0]) if len(rows) else 0
    if np.array_equal(rows, np.arange(start, start + len(rows))):
        return file if len(rows) == len(file) else file[start : start + len(rows)]
    return MappedRows(file, rows)
