"""What a network said of every example of a part, as a file that other experiments read: `outputs.npz`."""

from __future__ import annotations

import dataclasses
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from jtransfer.errors import UserError
from jtransfer.files.writing import atomic_path
from jtransfer.tasks.door import ONLY
from jtransfer.tasks.labels import Labels, take

OUTPUTS = 'outputs.npz'
MAX_BYTES = 2**34
# What NumPy, zipfile and zlib say of bytes that make no sense; an encrypted archive is a RuntimeError.
_DAMAGE = (
    OSError, ValueError, KeyError, TypeError, EOFError, OverflowError, RuntimeError, SyntaxError, struct.error,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_SEPARATOR = '/'


@dataclasses.dataclass(frozen=True, eq=False)
class Outputs:
    """Outputs of a network and labels of the same examples.

    Attributes:
        ids: names of the examples.
        outputs: [n, outputs] by task: logits (float32), or numbers in their own units (float64).
        labels: by task.
    """

    ids: tuple[str, ...]
    outputs: Labels
    labels: Labels

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.ids)

    def of(self, index: np.ndarray) -> Outputs:
        """Some of the examples, by position."""
        return Outputs(tuple(self.ids[i] for i in index), take(self.outputs, index), take(self.labels, index))


def write_outputs(path: Path, outputs: Outputs) -> None:
    """Writes the file so that it is there whole or not at all."""
    arrays: dict[str, np.ndarray] = {'ids': np.array(outputs.ids, np.str_)}
    for name, values in (('outputs', outputs.outputs), ('labels', outputs.labels)):
        arrays |= {f'{name}{_SEPARATOR}{task}' if task else name: array for task, array in values.items()}
    with atomic_path(path) as temporary, temporary.open('wb') as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_outputs(path: Path) -> Outputs:
    """What `write_outputs` wrote.

    Raises:
        UserError: there is no such file, it is damaged, or holds more than 16 GiB.
    """
    if not path.is_file():
        raise UserError(f'{path} is not there: it holds what the network of a run said')
    try:
        with zipfile.ZipFile(path) as packed:
            if (size := sum(member.file_size for member in packed.infolist())) > MAX_BYTES:
                raise ValueError(f'{size:,} bytes are more than the {MAX_BYTES:,} that are read')
        # The format has a checksum of every array, which is compared.
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        found = Outputs(tuple(_ids(arrays['ids'])), _collect(arrays, 'outputs'), _collect(arrays, 'labels'))
        _check(found)
        return found
    except _DAMAGE as error:
        reason = f"it has no '{error.args[0]}'" if type(error) is KeyError else ' '.join(str(error).split())
        raise UserError(
            f'{path} is damaged ({reason}): it holds what the network of a run said; delete the result.json of the '
            'run, and train.resume=auto evaluates it again'
        ) from None


def same_labels(first: Labels, second: Labels) -> bool:
    """Whether two sets of labels are the same, missing ones included.

    Numbers of two precisions are compared in the lower one: older files hold numbers to be predicted as float32.
    """
    return first.keys() == second.keys() and all(_same(first[name], second[name]) for name in first)


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    if {first.dtype, second.dtype} == {np.dtype(np.float32), np.dtype(np.float64)}:
        first, second = first.astype(np.float32), second.astype(np.float32)
    return np.array_equal(first, second, equal_nan=first.dtype.kind == 'f')


def _ids(array: np.ndarray) -> list[str]:
    if array.ndim != 1 or array.dtype.kind != 'U':
        raise ValueError('its ids are no texts')
    return array.tolist()


def _check(outputs: Outputs) -> None:
    """Raises `ValueError` unless there are numbers for every example, and labels of the same tasks."""
    if set(outputs.outputs) != set(outputs.labels):
        raise ValueError('its outputs and labels are of other tasks')
    for values, least in ((outputs.outputs, 2), (outputs.labels, 1)):
        for array in values.values():
            if array.dtype.kind not in 'biuf' or not least <= array.ndim <= 2 or len(array) != len(outputs):
                raise ValueError(f'{array.dtype} {array.shape} is not what {len(outputs)} examples have')


def _collect(arrays: dict[str, np.ndarray], name: str) -> Labels:
    if name in arrays:
        return {ONLY: arrays[name]}
    prefix = f'{name}{_SEPARATOR}'
    found = {key.removeprefix(prefix): values for key, values in arrays.items() if key.startswith(prefix)}
    if not found:
        raise KeyError(name)
    return found
