"""A digest in the metadata of the `.safetensors` files that are written here: a changed bit is not another network.

The library that reads the format checks lengths, offsets and types, and knows nothing of the values.
`jtransfer.sha256`, a text like any other in the metadata, which other readers pass over, is the SHA-256 hash of the
rest of the header, as JSON with sorted keys and without spaces, and of all values behind it. A program that writes
other values under our metadata leaves it out; files of earlier versions have none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jtransfer.errors import UserError

KEY = 'jtransfer.sha256'
_METADATA = '__metadata__'
_CHUNK = 2**26  # bytes: what is mapped from a file is let go of again


def digest_of(header: Mapping[str, Any], values: Iterable[Any]) -> str:
    """The digest of a file.

    Args:
        header: with or without a digest.
        values: the bytes behind it, in pieces.
    """
    rest = {**header, _METADATA: without_digest(header.get(_METADATA))}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(',', ':')).encode())
    for piece in values:
        digest.update(piece)
    return digest.hexdigest()


def check_digest(path: Path, header: Mapping[str, Any], values: np.ndarray, release: Any) -> None:
    """Compares a file with the digest that it states, if it states one.

    Args:
        path: of the file.
        header: of the file.
        values: uint8, all bytes behind the header, mapped.
        release: lets the memory of an array go that is mapped.

    Raises:
        UserError: they differ.
    """
    stated = (header.get(_METADATA) or {}).get(KEY)
    if stated is not None and stated != digest_of(header, _pieces(values, release)):
        raise UserError(
            f'{path}: damaged: its values or its header are others than were written (sha256). If another program '
            f"changed them on purpose, let it leave '{KEY}' out of the metadata"
        )


def without_digest(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """The metadata that a file was written with."""
    return {name: text for name, text in (metadata or {}).items() if name != KEY}


def _pieces(values: np.ndarray, release: Any) -> Iterator[np.ndarray]:
    for start in range(0, len(values), _CHUNK):
        piece = values[start : start + _CHUNK]
        yield piece
        release(piece)
