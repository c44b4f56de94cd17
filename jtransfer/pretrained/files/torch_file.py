"""Reads torch files (`.pth`, `.pt`, `.bin`, `.th`), archives and the older form: `torch.load(weights_only=True)`."""

from __future__ import annotations

import math
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from jtransfer.errors import UserError
from jtransfer.pretrained.files import archive
from jtransfer.pretrained.files.torch_pickle import MAX_BYTES, STAND_INS, ForeignError, RefusedError, check_pickle
from jtransfer.pretrained.files.unread import is_unread, unread

# Under these keys training scripts keep the weights, beside optimiser state and settings.
# An average of the weights, where there is one, is what was evaluated, and what timm takes.
_WRAPPERS = ('state_dict_ema', 'model_ema', 'model', 'state_dict', 'model_state_dict', 'module')
# How many of them lie in each other.
_MAX_WRAPPED = 4
# The older form begins with this many pickles: a magic number, its version, the machine's kind, the content, and the
# names of the storages, whose values follow.
_OLDER_PICKLES = 5


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """The tensors by name, at the top of the file or under the first wrapper that has some.

    Settings, paths and numbers that training scripts keep beside them are passed over (`torch_pickle.STAND_INS`).

    Returns:
        Views of the file where that is possible; a tensor that NumPy has no form for is `unread`.

    Raises:
        UserError: torch is missing, the file is damaged, holds code or objects of other types, asks for more memory
            than its size allows, or has no tensors.
    """
    try:
        import torch
    except ImportError:
        raise UserError(
            f"{path}: a torch file; reading it needs torch (pip install 'jtransfer[torch]'); safetensors files do not"
        ) from None
    try:
        mapped = _check(path)
        stand_ins: Any = [(stand_in, name) for name, stand_in in STAND_INS.items()]
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
            warnings.simplefilter('ignore')  # what is wrong with a file, the line below says
            content = torch.load(path, map_location='cpu', weights_only=True, mmap=mapped)
    except UserError:
        raise
    except RefusedError as error:
        raise UserError(f'{path}: not a file of weights: {error}') from None
    except ForeignError as error:
        raise UserError(_foreign(path, error)) from None
    except pickle.UnpicklingError as error:
        if 'weights only' in str(error).lower() or 'unsupported' in str(error).lower():
            raise UserError(_foreign(path, error)) from None
        raise UserError(f'{path}: not a valid torch file, truncated or damaged ({_reason(error)})') from None
    # A damaged archive ends in whatever its bytes lead to: RuntimeError, EOFError, KeyError, ….
    except Exception as error:
        raise UserError(f'{path}: not a valid torch file, truncated or damaged ({_reason(error)})') from None
    tensors = _tensors(content, torch, _MAX_WRAPPED)
    if not tensors:
        raise UserError(f'{path}: no tensors by name at the top or under {", ".join(_WRAPPERS)}')
    arrays = {name: _to_numpy(tensor, torch) for name, tensor in tensors.items()}
    _check_sizes(path, tensors, arrays)
    return arrays


def _foreign(path: Path, error: Exception) -> str:
    return (
        f'{path}: holds code or objects beside tensors, which are never executed ({_reason(error)}); '
        'ask its author for a safetensors file'
    )


def _check(path: Path) -> bool:
    """Looks at all that the file asks for; whether it is an archive.

    Raises:
        UserError: an archive that is a program, or one whose members are larger than the file.
        RefusedError, ForeignError: see `check_pickle`.
        Exception: of any kind, the file is damaged.
    """
    with path.open('rb') as file:
        # torch, too, decides by the beginning.
        if file.read(len(archive.START)) != archive.START:
            file.seek(0)
            left = MAX_BYTES
            for _ in range(_OLDER_PICKLES):
                left -= check_pickle(file, left)
            return False
    with archive.opened(path) as opened:
        _check_members(path, opened)
        for member in opened.infolist():
            if member.filename.lower().endswith('.pkl'):
                check_pickle(BytesIO(opened.read(member)))
    return True


def _check_members(path: Path, opened: zipfile.ZipFile) -> None:
    """Raises `UserError` for an archive that is a program, or one whose members are larger than the file.

    Of weights, torch packs nothing.
    """
    members = opened.infolist()
    if any('/code/' in member.filename or member.filename.endswith('constants.pkl') for member in members):
        raise UserError(
            f'{path}: a TorchScript archive, which is a program and is never executed; its weights are on the hub as '
            'safetensors, or save model.state_dict() from it'
        )
    if packed := [member for member in members if member.compress_type != zipfile.ZIP_STORED]:
        raise UserError(f'{path}: not a valid torch file: its member {packed[0].filename!r} is compressed')
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise UserError(f'{path}: not a valid torch file: its members overlap')
    if large := [m for m in members if m.filename.lower().endswith('.pkl') and m.file_size > MAX_BYTES]:
        raise UserError(f'{path}: {large[0].filename!r}, which describes tensors, has {large[0].file_size:,} bytes')
    # Where something precedes or follows an archive, its readers differ in what they find.
    if opened.comment or min((member.header_offset for member in members), default=0):
        raise UserError(f'{path}: not a valid torch file: something precedes or follows its members')


def _tensors(content: Any, torch: Any, depth: int) -> dict[str, Any]:
    if not isinstance(content, Mapping) or not depth:
        return {}
    for key in _WRAPPERS:
        if inner := _tensors(content.get(key), torch, depth - 1):
            return inner
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}


def _to_numpy(tensor: Any, torch: Any) -> np.ndarray:
    kind = str(tensor.dtype).removeprefix('torch.')
    try:
        tensor = tensor.detach()
        if tensor.layout != torch.strided or tensor.is_meta:
            return unread(tensor.shape, f'a {str(tensor.layout).removeprefix("torch.")} tensor of {kind}')
        if math.prod(tensor.shape) * tensor.element_size() > tensor.untyped_storage().nbytes():
            return unread(tensor.shape, f'{kind}, fewer values than its shape has')
        if tensor.dtype == torch.bfloat16:
            return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return tensor.numpy()
    # What NumPy has no form for: quantised and eight-bit tensors.
    except (TypeError, RuntimeError, ValueError):
        return unread((), kind)


def _check_sizes(path: Path, tensors: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Raises `UserError` where tensors have values that the file does not hold, or hold the same ones many times."""
    size = path.stat().st_size
    read = [tensor.untyped_storage() for name, tensor in tensors.items() if not is_unread(arrays[name])]
    held = sum({storage.data_ptr(): storage.nbytes() for storage in read}.values())
    # Some networks share a tensor, an embedding and its head.
    shown = sum(array.nbytes for array in arrays.values() if not is_unread(array))
    allowed = max(archive.MAX_INFLATED, archive.MAX_RATIO * size)
    if held > size or shown > allowed:
        raise UserError(
            f'{path}: not a file of weights: its {size:,} bytes would become tensors of {max(held, shown):,} bytes'
        )


def _reason(error: Exception) -> str:
    """What torch found, without its advice to switch the protection off."""
    text = ' '.join(str(error).split()) or type(error).__name__
    _, found, after = text.partition('WeightsUnpickler error: ')
    return (after.split('. ')[0] if found else text)[:200]
