"""Reads Flax's msgpack files of parameters: nested dictionaries of arrays, and nothing else.

The layout is that of `flax.serialization` (an array is an extension of shape, type and bytes; one of more than a
gigabyte is cut into chunks). Read here, so that the number of objects that a file can ask for is bounded.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import msgpack
import numpy as np
from flax import traverse_util

from jtransfer.errors import UserError

# Dictionaries, and entries of all of them: a parameter needs one or two.
_MAX_OBJECTS = 200_000
_MAX_DIMENSIONS = 32
_ARRAY, _SCALAR = 1, 3
_CHUNKED = '__msgpack_chunked_array__'


def read_flax(path: Path) -> dict[str, np.ndarray]:
    """The arrays by '/'-joined name.

    Raises:
        UserError: a damaged file, one that is not a nested dictionary of arrays, or one of far too many parts.
    """
    counted = 0

    def dictionary(pairs: dict[Any, Any]) -> Any:
        nonlocal counted
        counted += 1 + len(pairs)
        if counted > _MAX_OBJECTS:
            raise ValueError(f'more than {_MAX_OBJECTS:,} entries')
        return _joined(pairs) if _CHUNKED in pairs else pairs

    try:
        with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            tree = msgpack.unpackb(
                content,
                ext_hook=_extension,
                object_hook=dictionary,
                raw=False,
                strict_map_key=True,
                max_array_len=0,
            )
        flat = traverse_util.flatten_dict(tree, sep='/') if isinstance(tree, dict) else {}
    # msgpack and NumPy each have their own errors for bytes that make no sense, and a mapping of none has another.
    except Exception as error:
        reason = ' '.join(str(error).split())[:200]
        raise UserError(f'{path}: not a valid Flax msgpack file, truncated or damaged ({reason})') from None
    if not flat or not all(isinstance(value, np.ndarray) for value in flat.values()):
        raise UserError(f'{path}: not a nested dictionary of arrays, as Flax saves parameters')
    return flat


def _extension(code: int, data: bytes) -> np.ndarray:
    if code not in (_ARRAY, _SCALAR):
        raise ValueError(f'an extension of type {code}')
    parts = msgpack.unpackb(data, raw=False, max_array_len=_MAX_DIMENSIONS, max_map_len=0)
    shape, name, values = parts
    if not isinstance(values, bytes) or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError('an array that is none')
    dtype = np.dtype(ml_dtypes.bfloat16) if name in ('bfloat16', b'bfloat16') else np.dtype(_text(name))
    if dtype.kind not in 'biufV' or math.prod(shape) * dtype.itemsize != len(values):
        raise ValueError(f'an array of {len(values):,} bytes')
    return np.frombuffer(values, dtype).reshape(shape)


def _text(name: Any) -> str:
    return name.decode('ascii') if isinstance(name, bytes) else str(name)


def _joined(pairs: Mapping[str, Any]) -> np.ndarray:
    """An array that was cut into chunks."""
    shape = [pairs['shape'][str(axis)] for axis in range(len(pairs['shape']))]
    chunks = [pairs['chunks'][str(index)] for index in range(len(pairs['chunks']))]
    return np.concatenate([chunk.reshape(-1) for chunk in chunks]).reshape([int(side) for side in shape])
