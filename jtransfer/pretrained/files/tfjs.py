"""Reads the weights of a TensorFlow.js model: a `model.json` and the binary shards it names.

The manifest in `model.json` (`weightsManifest`) is a list of groups. The bytes of a group's shards, put end to end, are
those of its tensors in the order listed. The description of the network beside it is not looked at.
"""

from __future__ import annotations

import collections
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jtransfer.errors import UserError
from jtransfer.files.reading import read_json, require_regular
from jtransfer.pretrained.files.safetensors import beside
from jtransfer.text.outside import clipped

MODEL_FILE = 'model.json'
# Little-endian, as the format has it.
_FLOAT32 = np.dtype('<f4')
_MAX_MODEL = 16 * 2**20
_MAX_DIMENSIONS = 32
_MAX_SHARDS = 16_384
# A mapped file stays open, of which a system allows some hundreds; more shards are read.
_MAX_MAPPED = 256


def read_tfjs(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The tensors of a model, float32, by name.

    The shards are mapped into memory: a tensor is a view of its file (one that lies across two shards is put together).
    Of a model of very many shards they are read.

    Args:
        path: the model's folder, or the `model.json` in it.

    Raises:
        UserError: a missing, truncated or damaged file, a tensor that is not float32 (quantised ones are not), or a
            manifest that makes no sense.
    """
    path = Path(path)
    model = path / MODEL_FILE if path.is_dir() else path
    arrays: dict[str, np.ndarray] = {}
    groups = list(_groups(model))
    count = _count_shards(model, groups)
    for shards, tensors in groups:
        _check_sizes(model, shards, tensors)
        reader = _Reader(shards, mapped=count <= _MAX_MAPPED)
        for name, shape in tensors:
            if name in arrays:
                raise UserError(f"{model}: lists the tensor '{name}' twice")
            arrays[name] = reader.take(math.prod(shape)).reshape(shape)
    if not arrays:
        raise UserError(f'{model}: lists no tensors')
    return arrays


class _Reader:
    """Takes one tensor after another from shards put end to end."""

    def __init__(self, shards: Sequence[Path], mapped: bool):
        # An empty file cannot be mapped.
        self._shards = [shard for shard in shards if shard.stat().st_size]
        self._mapped = mapped
        self._left = np.empty(0, np.uint8)

    def take(self, count: int) -> np.ndarray:
        """The next `count` values."""
        missing = count * _FLOAT32.itemsize
        pieces: list[np.ndarray] = []
        while missing:
            if not self._left.size:
                self._left = self._open(self._shards.pop(0))
            piece, self._left = self._left[:missing], self._left[missing:]
            pieces.append(piece)
            missing -= piece.size
        values = pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, np.uint8), *pieces])
        return values.view(_FLOAT32)

    def _open(self, shard: Path) -> np.ndarray:
        try:
            return np.memmap(shard, np.uint8, 'r') if self._mapped else np.fromfile(shard, np.uint8)
        except OSError as error:
            raise UserError(f'{shard}: cannot be read: {error.strerror}') from None


def shard_names(model: Path) -> list[str]:
    """The names of the shards beside a `model.json`.

    Raises:
        UserError: not a TensorFlow.js model, or a shard that does not lie beside it.
    """
    return [shard.name for shards, _ in _groups(model) for shard in shards]


def _groups(model: Path) -> Iterator[tuple[list[Path], list[tuple[str, tuple[int, ...]]]]]:
    """The shards of each group, and the names and shapes of its tensors."""
    if not model.exists():
        raise UserError(f'{model}: no such file; expected the {MODEL_FILE} of a TensorFlow.js model')
    content = read_json(model, limit=_MAX_MODEL)
    if not isinstance(content, Mapping) or not isinstance(content.get('weightsManifest'), list):
        raise UserError(f"{model}: not a TensorFlow.js model: it has no list 'weightsManifest'")
    for group in content['weightsManifest']:
        if not isinstance(group, Mapping) or not all(isinstance(group.get(key), list) for key in ('paths', 'weights')):
            raise UserError(f"{model}: a group of its weightsManifest needs the lists 'paths' and 'weights'")
        yield [_shard(model, name) for name in group['paths']], [_tensor(model, spec) for spec in group['weights']]


def _count_shards(model: Path, groups: Sequence[tuple[list[Path], Any]]) -> int:
    """How many there are, each once: what lies in one is not in memory twice."""
    shards = [shard for group, _ in groups for shard in group]
    if len(shards) > _MAX_SHARDS:
        raise UserError(f'{model}: names {len(shards):,} shards; at most {_MAX_SHARDS:,} are read')
    if twice := [shard for shard, times in collections.Counter(shards).items() if times > 1]:
        raise UserError(f'{model}: names the shard {clipped(repr(twice[0].name))} twice')
    return len(shards)


def _shard(model: Path, name: Any) -> Path:
    # Elsewhere there may be files that are none of the model's business.
    if not isinstance(name, str) or name in ('', '.', '..') or Path(name).name != name:
        raise UserError(f'{model}: the shard {clipped(repr(name))} must be the name of a file in the same folder')
    return beside(model, name)


def _tensor(model: Path, spec: Any) -> tuple[str, tuple[int, ...]]:
    if not isinstance(spec, Mapping) or not isinstance(spec.get('name'), str) or not spec['name'].isprintable():
        raise UserError(f'{model}: a tensor of its weightsManifest has no name that can be shown')
    name, shape, dtype = spec['name'], spec.get('shape'), spec.get('dtype')
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS or not all(_is_length(side) for side in shape):
        shown = clipped(repr(shape))
        raise UserError(f"{model}: tensor '{clipped(name)}' has the shape {shown}; expected a list of whole numbers")
    if dtype != 'float32' or 'quantization' in spec:
        kind = f'{dtype}, quantised' if 'quantization' in spec else clipped(str(dtype))
        raise UserError(
            f"{model}: tensor '{name}' has type {kind}; only float32 is read: export it without quantisation"
        )
    return name, tuple(shape)


def _is_length(side: Any) -> bool:
    return type(side) is int and 0 <= side < 2**48


def _check_sizes(model: Path, shards: Sequence[Path], tensors: Sequence[tuple[str, tuple[int, ...]]]) -> None:
    have = 0
    for shard in shards:
        have += require_regular(shard, remedy=f'{model.name} names it as a shard')
    need = sum(math.prod(shape) for _, shape in tensors) * _FLOAT32.itemsize
    if have != need:
        files = ', '.join(shard.name for shard in shards) or 'no file'
        why = 'truncated' if have < need else 'of another model?'
        raise UserError(f'{model}: {files} has {have} bytes, the tensors listed need {need}: {why}')
