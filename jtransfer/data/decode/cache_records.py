"""Records of the decode cache's files: of fixed size, each with a word that tells whether it is as it was written."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Shaped

DIGEST_BYTES = 16
NARROW = np.dtype([('digest', 'u1', 16), ('low', '<u2'), ('high', '<u2'), ('grey', '<u4'), ('check', '<u4')])
RECORD = np.dtype([('digest', 'u1', 16), *((name, '<u4') for name in ('row', 'sum', 'check'))])
# Of a row whose record is lost: no file has this digest.
NOTHING = bytes(DIGEST_BYTES)
# Odd numbers: no change of a single word goes unnoticed, and zeros, which a machine that loses power may leave, are no
# record.
_FACTORS = np.array(
    [0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1, 0xD3A2646D, 0xFD7046C5, 0xB55A4F09], np.uint32
)


def sealed(records: Shaped[np.ndarray, ' n']) -> Shaped[np.ndarray, ' n']:
    """The records, their last words set to what `are_whole` compares them with."""
    records['check'] = _check(records)
    return records


def are_whole(records: Shaped[np.ndarray, ' n']) -> Bool[np.ndarray, ' n']:
    """Which records are as they were sealed."""
    whole: np.ndarray = records['check'] == _check(records)
    return whole


def lost(row: int) -> bytes:
    """The record of a row that holds nothing."""
    record = np.zeros(1, RECORD)
    record['row'] = row
    return sealed(record).tobytes()


def _check(records: np.ndarray) -> np.ndarray:
    words = np.ascontiguousarray(records).view(np.uint32).reshape(-1, records.dtype.itemsize // 4)[:, :-1]
    return (words * _FACTORS[: words.shape[1]]).sum(axis=1, dtype=np.uint32) + np.uint32(1)
