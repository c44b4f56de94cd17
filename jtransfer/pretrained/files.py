"""Reading and writing `.safetensors` files, with one clear line for everything that can be wrong with one.

Format: https://github.com/huggingface/safetensors (a JSON header, then the raw little-endian values; nothing in it can
run). The library validates and reads; it writes metadata in hash order, another one each time, so writing is done here:
equal inputs give equal bytes.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import safetensors

from jtransfer.errors import UserError

_DTYPES = {
    'F64': np.dtype(np.float64),
    'F32': np.dtype(np.float32),
    'F16': np.dtype(np.float16),
    'BF16': np.dtype(ml_dtypes.bfloat16),
    'I64': np.dtype(np.int64),
    'I32': np.dtype(np.int32),
    'I16': np.dtype(np.int16),
    'I8': np.dtype(np.int8),
    'U64': np.dtype(np.uint64),
    'U32': np.dtype(np.uint32),
    'U16': np.dtype(np.uint16),
    'U8': np.dtype(np.uint8),
    'BOOL': np.dtype(np.bool_),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
# Values start at a multiple of this, as the format asks for.
_ALIGNMENT = 8


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads a whole file.

    Args:
        path: of the file.

    Returns:
        The arrays by name, in the file's types (bfloat16 included), and the metadata.

    Raises:
        UserError: the file is missing, truncated or damaged, holds a type that is not supported, or a value that is
            not finite (the message names the tensor).
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f'{path}: no such file; expected a .safetensors file') from None
    except OSError as error:
        raise UserError(f'{path}: cannot be read: {error.strerror}') from None
    try:
        tensors = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise UserError(f'{path}: not a valid .safetensors file, truncated or damaged ({_one_line(error)})') from None
    length = int.from_bytes(data[:8], 'little')
    metadata = json.loads(data[8 : 8 + length]).get('__metadata__') or {}
    arrays = {}
    for name, tensor in tensors:
        dtype = _DTYPES.get(tensor['dtype'])
        if dtype is None:
            raise UserError(f"{path}: tensor '{name}' has type {tensor['dtype']}; supported: {', '.join(_DTYPES)}")
        arrays[name] = np.frombuffer(tensor['data'], dtype).reshape(tensor['shape'])
    _check_finite(path, arrays)
    return arrays, metadata


def write_safetensors(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes a file in one piece: it is there whole and on the disk, or whatever was there before still is.

    Equal inputs give equal bytes, whatever the order of the mappings.

    Args:
        path: of the file; its folder must exist.
        arrays: by name.
        metadata: texts by name.

    Raises:
        UserError: an array of a type that is not supported or with values that are not finite (the message names it),
            or a folder that cannot be written to.
    """
    path = Path(path)
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        if array.dtype.newbyteorder('=') not in _NAMES:
            raise UserError(f"{path}: tensor '{name}' has type {array.dtype}; supported: {', '.join(map(str, _NAMES))}")
    _check_finite(path, arrays)
    # Widest type first keeps every array aligned, as the library does it.
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, object] = {'__metadata__': dict(sorted((metadata or {}).items()))}
    offset = 0
    for name in names:
        array = arrays[name]
        header[name] = {
            'dtype': _NAMES[array.dtype.newbyteorder('=')],
            'shape': list(array.shape),
            'data_offsets': [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    head = json.dumps(header, separators=(',', ':'), ensure_ascii=False).encode()
    head += b' ' * (-len(head) % _ALIGNMENT)
    chunks = [len(head).to_bytes(8, 'little'), head]
    chunks += [arrays[name].astype(arrays[name].dtype.newbyteorder('<'), copy=False).tobytes() for name in names]
    try:
        _write_in_one_piece(path, chunks)
    except OSError as error:
        raise UserError(f'{path}: cannot be written: {error.strerror}') from None


def _write_in_one_piece(path: Path, chunks: list[bytes]) -> None:
    # In the same folder: a rename is atomic within one file system only.
    descriptor, temporary = tempfile.mkstemp(prefix=f'.{path.name}.', dir=path.parent)
    try:
        with os.fdopen(descriptor, 'wb') as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp lets nobody else read it; an ordinary file follows the umask.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _check_finite(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if array.dtype.kind in 'biu':
            continue
        finite = np.isfinite(array)
        if not finite.all():
            raise UserError(f"{path}: tensor '{name}' holds {np.sum(~finite)} values that are NaN or infinite")


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())
