"""Any file of published weights as flat arrays by name; what a file is, its first bytes say.

Formats: safetensors (one file, or shards with an index), `.npz`, Flax msgpack, torch (`.pth`, `.pt`, `.bin`, `.th`) and
TensorFlow.js layer models. Nothing that a file might bring along is ever executed: torch files go through
`torch.load(weights_only=True)`, arrays of Python objects in an `.npz` are refused.
"""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from jtransfer.errors import UserError
from jtransfer.pretrained import archive
from jtransfer.pretrained.files import beside, check_finite, check_names, is_safetensors, read_safetensors
from jtransfer.pretrained.flax_file import read_flax
from jtransfer.pretrained.npz_file import read_npz
from jtransfer.pretrained.tfjs import read_tfjs
from jtransfer.reading import read_json_object, require_regular
from jtransfer.text import clipped

SHARD_INDEX = '.safetensors.index.json'
# Under these keys training scripts keep the weights, beside optimiser state and settings.
# An average of the weights, where there is one, is what was evaluated, and what timm takes.
_WRAPPERS = ('state_dict_ema', 'model_ema', 'model', 'state_dict', 'model_state_dict', 'module')
_ZIP = b'PK\x03\x04'
_PICKLE = b'\x80'
# What a file says of its tensors has some hundred bytes for each.
_MAX_PICKLE = 64 * 2**20
MAX_INDEX_BYTES = 16 * 2**20


def read_weights(path: str | os.PathLike[str], *, finite: bool = True) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads a file of weights, whatever its format.

    Args:
        path: the file; of sharded safetensors the index, of a TensorFlow.js model its `model.json`.
        finite: whether to look through all values for some that are not finite.

    Returns:
        The arrays by the file's names (nested names joined with '/'), and a safetensors file's metadata.

    Raises:
        UserError: a missing, truncated, damaged or hostile file, a format that is not known, torch missing for a torch
            file, or a value that is not finite.
    """
    path = Path(path)
    require_regular(path)
    try:
        with path.open('rb') as file:
            start = file.read(16)
    except OSError as error:
        raise UserError(f'{path}: cannot be read: {error.strerror}') from None
    arrays, metadata = _read(path, start, finite)
    check_names(path, arrays)
    return arrays, metadata


def _read(path: Path, start: bytes, finite: bool) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    if path.name.endswith(SHARD_INDEX):
        return _read_shards(path, finite), {}
    if is_safetensors(path):
        return read_safetensors(path, finite=finite)
    if path.suffix == '.json':
        arrays = read_tfjs(path)
    elif path.suffix == '.npz' or (start.startswith(_ZIP) and archive.has_members(path, '.npy')):
        arrays = read_npz(path)
    elif path.suffix == '.msgpack':
        arrays = read_flax(path)
    elif start.startswith((_ZIP, _PICKLE)):
        arrays = _read_torch(path)
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
        held = read_safetensors(beside(index, shard), finite=finite)[0]
        for name in (name for name, file in shards.items() if file == shard):
            if name not in held:
                raise UserError(f"{index}: the tensor '{name}' is not in {shard}, where the index has it")
            arrays[name] = held[name]
    return arrays


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise UserError(
            f"{path}: a torch file; reading it needs torch (pip install 'jtransfer[torch]'); safetensors files do not"
        ) from None
    mapped = zipfile.is_zipfile(path)
    if mapped:
        _check_members(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # what is wrong with a file, the line below says
            content = torch.load(path, map_location='cpu', weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        if 'weights only' in str(error).lower() or 'unsupported' in str(error).lower():
            raise UserError(
                f'{path}: holds code or objects beside tensors, which are never executed ({_reason(error)}); '
                'ask its author for a safetensors file'
            ) from None
        raise UserError(f'{path}: not a valid torch file, truncated or damaged ({_reason(error)})') from None
    # A damaged archive ends in whatever its bytes lead to: RuntimeError, EOFError, KeyError, ….
    except Exception as error:
        raise UserError(f'{path}: not a valid torch file, truncated or damaged ({_reason(error)})') from None
    tensors = _tensors(content, torch)
    if not tensors:
        raise UserError(f'{path}: no tensors by name at the top or under {", ".join(_WRAPPERS)}')
    arrays = {}
    for name, tensor in tensors.items():
        try:
            arrays[name] = _from_torch(tensor, torch)
        # What NumPy has no form for: sparse, quantised and eight-bit tensors.
        except (TypeError, RuntimeError) as error:
            raise UserError(f"{path}: tensor '{name}' of {tensor.dtype} cannot be read ({_reason(error)})") from None
    return arrays


def _check_members(path: Path) -> None:
    """Raises `UserError` for an archive that is a program, or one whose members are larger than the file.

    Of weights, torch packs nothing.
    """
    try:
        with archive.opened(path) as opened:
            members = opened.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f'{path}: not a valid torch file, truncated or damaged ({_reason(error)})') from None
    if any('/code/' in member.filename or member.filename.endswith('constants.pkl') for member in members):
        raise UserError(
            f'{path}: a TorchScript archive, which is a program and is never executed; its weights are on the hub as '
            'safetensors, or save model.state_dict() from it'
        )
    if packed := [member for member in members if member.compress_type != zipfile.ZIP_STORED]:
        raise UserError(f'{path}: not a valid torch file: its member {packed[0].filename!r} is compressed')
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise UserError(f'{path}: not a valid torch file: its members overlap')
    if large := [member for member in members if member.filename.endswith('.pkl') and member.file_size > _MAX_PICKLE]:
        raise UserError(f'{path}: {large[0].filename!r}, which describes tensors, has {large[0].file_size:,} bytes')


def _tensors(content: Any, torch: Any) -> dict[str, Any]:
    """The tensors by name, at the top of the file or under the first wrapper that has some."""
    if not isinstance(content, Mapping):
        return {}
    for key in _WRAPPERS:
        if inner := _tensors(content.get(key), torch):
            return inner
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}


def _from_torch(tensor: Any, torch: Any) -> np.ndarray:
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def _reason(error: Exception) -> str:
    """What torch found, without its advice to switch the protection off."""
    text = _one_line(error)
    _, found, after = text.partition('WeightsUnpickler error: ')
    return (after.split('. ')[0] if found else text)[:200]


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())
