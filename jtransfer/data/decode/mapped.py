"""Pictures in a file that is mapped into memory, in an order of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int64, UInt8


@dataclasses.dataclass(frozen=True, eq=False)
class MappedImages:
    """Some rows of a mapped file, indexed as an array is; only what is asked for is read into memory.

    Attributes:
        file: all rows of the file.
        rows: which of them, in order.
    """

    file: UInt8[np.ndarray, 'rows ...']
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
        """Bytes of all pictures together."""
        return len(self.rows) * self.file[:1].nbytes

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.rows)

    def __getitem__(self, index: Any) -> UInt8[np.ndarray, '... channel']:
        """A copy of a picture, or of several, by a number, a slice or an array of numbers."""
        return np.array(self.file[self.rows[index]])

    def __iter__(self) -> Iterator[UInt8[np.ndarray, '... channel']]:
        """One picture after another."""
        return (self[index] for index in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All pictures, read into memory."""
        if copy is False:
            raise ValueError('rows of a mapped file are an array only as a copy')
        return self[:] if dtype is None else self[:].astype(dtype)


# Whatever holds the pictures of a part.
Images: TypeAlias = np.ndarray | MappedImages


def map_rows(file: UInt8[np.ndarray, 'rows ...'], rows: Int64[np.ndarray, ' n']) -> Images:
    """The rows of a mapped file: the file itself, or a piece of it, where they lie one behind the other."""
    start = int(rows[0]) if len(rows) else 0
    if np.array_equal(rows, np.arange(start, start + len(rows))):
        return file if len(rows) == len(file) else file[start : start + len(rows)]
    return MappedImages(file, rows)
