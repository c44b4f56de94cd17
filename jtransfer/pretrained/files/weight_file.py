"""Any file of published weights as flat arrays by name; what a file is, its first bytes say.

Formats: safetensors (one file, or shards with an index), `.npz`, Flax msgpack, torch (`.pth`, `.pt`, `.bin`, `.th`) and
TensorFlow.js layer models. Nothing that a file might bring along is ever executed: torch files go through
`torch.load(weights_only=True)`, arrays of Python objects in an `.npz` are refused.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from jtransfer.errors import UserError
from jtransfer.files.reading import read_json_object
from jtransfer.pretrained.files import archive
from jtransfer.pretrained.files.flax_file import read_flax
from jtransfer.pretrained.files.npz_file import read_npz
from jtransfer.pretrained.files.safetensors import (
    beside,
    check_finite,
    check_names,
    first_bytes,
    is_safetensors,
    read_safetensors,
)
from jtransfer.pretrained.files.tfjs import read_tfjs
from jtransfer.pretrained.files.torch_file import read_torch
from jtransfer.text.outside import clipped

SHARD_INDEX = '.safetensors.index.json'
_PICKLE = b'\x80'
MAX_INDEX_BYTES = 16 * 2**20


def read_weights(path: str | os.PathLike[str], *, finite: bool = True) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads a file of weights, whatever its format.

    Args:
        path: the file; of sharded safetensors the index, of a TensorFlow.js model its `model.json`.
        finite: whether to look through all values for some that are not finite.

    Returns:
        The arrays by the file's names (nested names joined with '/'), and a safetensors file's metadata. A tensor of a
        type that is not supported is `unread`.

    Raises:
        UserError: a missing, truncated, damaged or hostile file, a format that is not known, torch missing for a torch
            file, or a value that is not finite.
    """
    path = Path(path)
    arrays, metadata = _read(path, first_bytes(path, len(archive.START)), finite)
    check_names(path, arrays)
    return arrays, metadata


def _read(path: Path, start: bytes, finite: bool) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    if path.name.endswith(SHARD_INDEX):
        return _read_shards(path, finite), {}
    if is_safetensors(path):
        return read_safetensors(path, finite=finite, strict=False)
    if path.suffix == '.json':
        arrays = read_tfjs(path)
    elif path.suffix == '.npz' or (start.startswith(archive.START) and archive.has_members(path, '.npy')):
        arrays = read_npz(path)
    elif path.suffix == '.msgpack':
        arrays = read_flax(path)
    elif start.startswith((archive.START, _PICKLE)):
        arrays = read_torch(path)
    else:
        raise UserError(
            f'{path}: not a format of weights that is known: safetensors, .npz, .msgpack, torch (.pth, .pt, .bin, .th) '
            'or TensorFlow.js (model.json)'
        )
    if finite:
        check_finite(path, arrays)
    return arrays, {}


def shard_map(index: Path) -> dict[str, str]:
    """The file that holds each tensor, of an index of sharded safetensors.

    Raises:
        UserError: not such an index, or a shard that does not lie beside it.
    """
    files = read_json_object(index, limit=MAX_INDEX_BYTES).get('weight_map')
    if not isinstance(files, dict):
        raise UserError(f"{index}: not an index of shards: it needs a 'weight_map' of tensor → file")
    for shard in files.values():
        if not isinstance(shard, str) or Path(shard).name != shard or not shard.endswith('.safetensors'):
            raise UserError(f'{index}: the shard {clipped(repr(shard))} must lie beside the index')
    return files


def _read_shards(index: Path, finite: bool) -> dict[str, np.ndarray]:
    """Every tensor from the file that the index names, and from no other."""
    shards = shard_map(index)
    arrays = {}
    for shard in sorted(set(shards.values())):
        held = read_safetensors(beside(index, shard), finite=finite, strict=False)[0]
        for name in (name for name, file in shards.items() if file == shard):
            if name not in held:
                raise UserError(f"{index}: the tensor '{name}' is not in {shard}, where the index has it")
            arrays[name] = held[name]
    return arrays
