"""Reading and writing `.safetensors` files, with one clear line for everything that can be wrong with one.

Format: https://github.com/huggingface/safetensors (a JSON header, then the raw little-endian values; nothing in it can
run). The library validates and reads; it writes metadata in hash order, another one each time, so writing is done here:
equal inputs give equal bytes.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors

from jtransfer.errors import UserError
from jtransfer.files.paths import expanded
from jtransfer.files.reading import parse_json, require_regular
from jtransfer.files.writing import atomic_path
from jtransfer.pretrained.files.file_digest import KEY, check_digest, digest_of, without_digest
from jtransfer.pretrained.files.unread import unread
from jtransfer.text.outside import clipped

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
# A file begins with the length of its header in this many bytes.
_LENGTH = 8
# Far above the largest networks' (some 2,000 tensors); names are shown to people.
MAX_TENSORS = 16_384
_MAX_NAME = 500
_MAX_HEADER = 16 * 2**20
# Values start at a multiple of this, as the format asks for.
_ALIGNMENT = 8
# Values that are looked at together.
_PIECE = 2**22


def beside(path: Path, name: str) -> Path:
    """The file of a name that another file states, in the same folder.

    A link leads to where whoever made the folder wants it to, which is none of the files that weights are of, unless
    the folder is of huggingface_hub's cache, which keeps its files in `blobs` of the repository.

    Args:
        path: the file that states the name.
        name: of a file, without folders.

    Raises:
        UserError: it is a link to a file outside the folder.
    """
    file, folder = path.with_name(name), path.parent.resolve()
    allowed = [folder, *(above.parent / 'blobs' for above in (folder, *folder.parents) if above.name == 'snapshots')]
    if os.path.islink(file) and not any(file.resolve().is_relative_to(place) for place in allowed):
        raise UserError(f'{file} is a link to a file outside of its folder, which is not followed; put the file there')
    return file


def check_names(path: Path, arrays: Mapping[str, Any]) -> None:
    """Raises `UserError` for more tensors than a network has, or longer names: they are compared with many patterns."""
    if len(arrays) > MAX_TENSORS:
        raise UserError(f'{path}: {len(arrays):,} tensors; at most {MAX_TENSORS:,} are read')
    if strange := [name for name in arrays if not name.isprintable()]:
        raise UserError(f'{path}: the tensor {clipped(repr(strange[0]))} has a name with letters that cannot be shown')
    longest = max(arrays, key=len, default='')
    if len(longest) > _MAX_NAME:
        raise UserError(
            f"{path}: the tensor '{clipped(longest)}' has a name of {len(longest):,} letters; at most {_MAX_NAME:,}"
        )


def is_safetensors(path: Path) -> bool:
    """Whether a file is meant to be one: by its name, or since a JSON header follows the first eight bytes.

    Raises:
        UserError: the file cannot be read.
    """
    return path.suffix == '.safetensors' or first_bytes(path, _LENGTH + 1)[_LENGTH:] == b'{'


def first_bytes(path: Path, count: int) -> bytes:
    """What a regular file begins with; fewer bytes where it has no more.

    Raises:
        UserError: the file cannot be read.
    """
    require_regular(path)
    try:
        with path.open('rb') as file:
            return file.read(count)
    except OSError as error:
        raise UserError(f'{path}: cannot be read: {error.strerror}') from None


def read_safetensors(
    path: str | os.PathLike[str], *, finite: bool = True, strict: bool = True
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Opens a file whose values are read where they lie, so that a large one is not held in memory twice.

    Args:
        path: of the file.
        finite: whether to look through all values for some that are not finite.
        strict: whether a tensor of a type that is not supported is an error; else it is `unread`.

    Returns:
        The arrays by name, read-only views of the mapped file in its types (bfloat16 included), and the metadata.

    Raises:
        UserError: the file is missing, truncated or damaged (see `file_digest`), holds a type that is not supported, or
            a value that is not finite (the message names the tensor).
    """
    path = expanded(path)
    header, start = _header(path)
    try:
        data = np.memmap(path, np.uint8, mode='r')
    except OSError as error:  # so many shards that no more files may be open
        raise UserError(f'{path}: cannot be read: {error.strerror}') from None
    check_digest(path, header, np.asarray(data[start:]), release)
    metadata = without_digest(header.pop('__metadata__', None))
    arrays = {}
    for name, tensor in header.items():
        dtype = _DTYPES.get(tensor['dtype'])
        if dtype is None and strict:
            raise UserError(f"{path}: tensor '{name}' has type {tensor['dtype']}; supported: {', '.join(_DTYPES)}")
        begin, end = (start + offset for offset in tensor['data_offsets'])
        try:
            if dtype is None:
                arrays[name] = unread(tensor['shape'], tensor['dtype'])
                continue
            arrays[name] = np.asarray(data[begin:end]).view(dtype).reshape(tensor['shape'])
        except ValueError as error:  # more dimensions than NumPy has, or longer ones
            raise UserError(f"{path}: tensor '{clipped(name)}' has a shape that cannot be: {error}") from None
    if finite:
        check_finite(path, arrays)
    return arrays, metadata


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata alone.

    Raises:
        UserError: the file is missing, truncated or damaged.
    """
    return without_digest(_header(expanded(path))[0].get('__metadata__'))


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, checked against the file, and where the values begin."""
    size = require_regular(path)
    try:
        with path.open('rb') as file:
            length = int.from_bytes(file.read(_LENGTH), 'little')
            if _MAX_HEADER < length < size:
                raise UserError(f'{path}: a header of {length:,} bytes; at most {_MAX_HEADER:,} are read')
        # The library checks the header against the file: lengths, offsets, shapes, types.
        with safetensors.safe_open(path, 'np') as _:
            pass
        with path.open('rb') as file:
            content = file.read(_LENGTH + length)[_LENGTH:]
    except safetensors.SafetensorError as error:
        raise UserError(f'{path}: not a valid .safetensors file, truncated or damaged ({_one_line(error)})') from None
    except OSError as error:
        raise UserError(f'{path}: cannot be read: {error.strerror or _one_line(error)}') from None
    header = parse_json(content, str(path))
    check_names(path, {name: tensor for name, tensor in header.items() if name != '__metadata__'})
    return header, _LENGTH + length


def write_safetensors(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes a file in one piece: it is there whole and on the disk, or whatever was there before still is.

    Equal inputs give equal bytes, whatever the order of the mappings.

    Args:
        path: of the file; missing folders above it are made.
        arrays: by name.
        metadata: texts by name.

    Raises:
        UserError: an array of a type that is not supported or with values that are not finite (the message names it).
        WritingError: the file cannot be written.
    """
    path = expanded(path)
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        if array.dtype.newbyteorder('=') not in _NAMES:
            raise UserError(f"{path}: tensor '{name}' has type {array.dtype}; supported: {', '.join(map(str, _NAMES))}")
    check_finite(path, arrays)
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
    values = [arrays[name].astype(arrays[name].dtype.newbyteorder('<'), copy=False).tobytes() for name in names]
    header['__metadata__'] = dict(sorted({**(metadata or {}), KEY: digest_of(header, values)}.items()))
    head = json.dumps(header, separators=(',', ':'), ensure_ascii=False).encode()
    head += b' ' * (-len(head) % _ALIGNMENT)
    chunks = [len(head).to_bytes(8, 'little'), head, *values]
    with atomic_path(path) as temporary, temporary.open('wb') as file:
        file.writelines(chunks)


def release(array: np.ndarray) -> None:
    """Lets the system have back the memory of an array that is mapped from a file and has been read.

    Its values stay readable, and come from the file again. Nothing happens to any other array, nor to a mapping that
    may have been written to.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, mmap.mmap) or not hasattr(base, 'madvise') or not array.nbytes:
        return
    if not memoryview(base).readonly:
        return
    begin = np.lib.array_utils.byte_bounds(array)[0] - np.frombuffer(base, np.uint8).ctypes.data
    # Whole pages; of those at its ends, neighbours may have a part, and read it again.
    page = begin // mmap.PAGESIZE * mmap.PAGESIZE
    base.madvise(mmap.MADV_DONTNEED, page, begin + array.nbytes - page)


def check_finite(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises `UserError`, naming the first tensor with a value that is NaN or infinite."""
    for name, array in arrays.items():
        # ml_dtypes' own have the kind of opaque bytes.
        if array.dtype.kind not in 'fc' and 'float' not in array.dtype.name:
            continue
        if wrong := sum(int(np.sum(~np.isfinite(piece))) for piece in _pieces(array)):
            raise UserError(f"{path}: tensor '{name}' holds {wrong} values that are NaN or infinite")
        release(array)


def _pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """Views of an array, small enough for something to be computed of each."""
    if array.size <= _PIECE:
        yield array
        return
    axis = int(np.argmax(array.shape))
    count = -(-array.size // _PIECE)
    step = -(-array.shape[axis] // min(count, array.shape[axis]))
    for begin in range(0, array.shape[axis], step):
        yield from _pieces(array[(slice(None),) * axis + (slice(begin, begin + step),)])


def _one_line(error: Exception) -> str:
    return clipped(' '.join(str(error).split()), 200)
