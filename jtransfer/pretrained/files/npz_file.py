"""Reads `.npz` files: every array's header is compared with the archive's directory before room is made for it."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np

from jtransfer.errors import UserError
from jtransfer.pretrained.files.archive import opened

_SUFFIX = '.npy'
# Of one read; what is inflated at once is no more.
_PIECE = 2**20
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays by name.

    Raises:
        UserError: a damaged file, one that would grow beyond `archive`'s limits, an array of another length than its
            header says, or of Python objects, which are never unpickled.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with path.open('rb') as start:
            if start.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
                raise ValueError('a single array without a name')
        with opened(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    assert isinstance(file, zipfile.ZipExtFile)
                    arrays[member.filename.removesuffix(_SUFFIX)] = _array(path, file, member)
    except UserError:
        raise
    # Damaged bytes end in whatever they lead to: ValueError, BadZipFile, zlib's errors, ….
    except Exception as error:
        reason = ' '.join(str(error).split())[:200]
        raise UserError(f'{path}: not a valid .npz file, truncated or damaged ({reason})') from None
    return arrays


def _array(path: Path, file: zipfile.ZipExtFile, member: zipfile.ZipInfo) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    if version not in _READERS:
        raise ValueError(f'{member.filename} is of version {version}')
    shape, fortran, dtype = _READERS[version](file)
    if dtype.hasobject:
        raise UserError(f'{path}: holds pickled Python objects, which are never executed; save plain arrays')
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * dtype.itemsize != member.file_size - file.tell():
        raise ValueError(f'{member.filename} has {member.file_size:,} bytes, which is not what its header needs')
    values = np.empty(count, dtype)
    left = values.view(np.uint8).data if values.nbytes else memoryview(b'')
    while len(left):
        piece = file.read(min(len(left), _PIECE))
        if not piece:
            raise ValueError(f'{member.filename} ends too early')
        left[: len(piece)] = piece
        left = left[len(piece) :]
    if file.read(1):  # here its checksum is compared, too
        raise ValueError(f'{member.filename} goes on behind its values')
    values = values.reshape(shape, order='F' if fortran else 'C')
    # NumPy does not know bfloat16 and gives two opaque bytes.
    return values.view(ml_dtypes.bfloat16) if dtype == np.dtype('V2') else values
