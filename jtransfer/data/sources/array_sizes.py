"""How large the arrays of an `.npz` file are, by its headers, before a byte of them is inflated."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np

from jtransfer.errors import UserError
from jtransfer.text.outside import printable, printable_path

# Compressed to less than a hundredth, a gigabyte and more is no images, but made to fill memory.
MOST_INFLATED = 100
_ALWAYS_ALLOWED = 2**30
_MOST_OF_NOTHING = 2**20


def check_array_sizes(file: Path) -> int:
    """Measures the arrays of an `.npz` file.

    Raises `UserError` where they are not what their headers say, or far larger than the file.

    Arrays may have a hundred times the bytes of the file, and a gigabyte in any case; what is saved without
    compression is always within that.

    Args:
        file: a zip archive of `.npy` files; of anything else the reason is said.

    Returns:
        Bytes of all arrays together.
    """
    where = printable_path(str(file))
    try:
        with zipfile.ZipFile(file) as archive:
            stated = {member.filename: member.file_size for member in archive.infolist()}
            allowed = max(_ALWAYS_ALLOWED, MOST_INFLATED * file.stat().st_size)
            if (total := sum(stated.values())) > allowed:
                raise UserError(
                    f'{where} is {file.stat().st_size:,} bytes, but its arrays are {total:,} (a decompression bomb?); '
                    f'{allowed:,} are allowed: save them without compression (numpy.savez) if they are meant'
                )
            for name, size in stated.items():
                if name.endswith('.npy') and (meant := _stated_bytes(archive, name)) > size:
                    raise UserError(
                        f"{where}: the header of its array '{printable(name[:-4])}' states {meant:,} bytes, but the "
                        f'file has {size:,}: it is truncated or damaged'
                    )
            return total
    except UserError:
        raise
    # Damaged headers end in whatever their bytes lead to: SyntaxError of a literal, OverflowError of a shape, ….
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f'{where} is no .npz file of plain arrays ({printable(reason)})') from None


def _stated_bytes(archive: zipfile.ZipFile, name: str) -> int:
    """Bytes of an array and its header, as the header says; of Python objects 0, for they are refused elsewhere."""
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        if version not in read:
            # Of structures with names beyond Latin-1, which are no images or labels.
            raise ValueError(f'an array in version {version[0]}.{version[1]} of the format')
        shape, _, dtype = read[version](member)
        if dtype.hasobject:
            return 0
        # Of no bytes, as many as one likes can be stated: they would be counted one by one.
        if any(side < 0 for side in shape) or (0 in shape and max(shape) > _MOST_OF_NOTHING):
            raise ValueError(f'an array of shape {shape}')
        return math.prod(shape) * dtype.itemsize + member.tell()
