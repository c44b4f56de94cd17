"""Tensors of types that nothing here is made of: they keep their place and shape, and are no error until one is needed.

A file may hold a complex table, an eight-bit or a sparse tensor beside the weights, which are no worse for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

_KIND = 'kind'


def unread(shape: Sequence[int], kind: str) -> np.ndarray:
    """An array of the shape that holds nothing.

    Args:
        shape: of the tensor.
        kind: what it is of, for people: `float8_e4m3fn`.

    Raises:
        ValueError: a shape that NumPy cannot have.
    """
    nothing = np.zeros((), np.dtype('V1', metadata={_KIND: kind}))
    return np.broadcast_to(nothing, tuple(shape))


def is_unread(array: np.ndarray) -> bool:
    """Whether an array only stands for a tensor."""
    return bool(array.dtype.metadata and _KIND in array.dtype.metadata)


def kind_of(array: np.ndarray) -> str:
    """The type of an array's values, in words: of one that was not read, what it is of."""
    metadata: Mapping[str, str] = array.dtype.metadata or {}  # type: ignore[assignment]
    return metadata.get(_KIND) or str(array.dtype)
