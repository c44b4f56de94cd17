"""What a network said of every example of a part, as a file that other experiments read: `outputs.npz`."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np

from jtransfer.data.targets import Labels, take
from jtransfer.errors import UserError
from jtransfer.writing import atomic_path

OUTPUTS = 'outputs.npz'
_SEPARATOR = '/'


@dataclasses.dataclass(frozen=True, eq=False)
class Outputs:
    """Outputs of a network and labels of the same examples.

    Attributes:
        ids: names of the examples.
        outputs: [n, outputs], or a dictionary of these by task: logits (float32), or numbers in their own units
            (float64).
        labels: in the tasks' form.
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
        if isinstance(values, dict):
            arrays |= {f'{name}{_SEPARATOR}{task}': array for task, array in values.items()}
        else:
            arrays[name] = values
    with atomic_path(path) as temporary, temporary.open('wb') as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_outputs(path: Path) -> Outputs:
    """What `write_outputs` wrote.

    Raises:
        UserError: there is no such file, or it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return Outputs(tuple(arrays['ids'].tolist()), _collect(arrays, 'outputs'), _collect(arrays, 'labels'))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise UserError(f'{path} is not there or damaged: it holds what the network of a run said') from None


def same_labels(first: Labels, second: Labels) -> bool:
    """Whether two sets of labels are the same, missing ones included.

    Numbers of two precisions are compared in the lower one: older files hold numbers to be predicted as float32.
    """
    if isinstance(first, dict) or isinstance(second, dict):
        alike = isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys()
        return alike and all(same_labels(first[name], second[name]) for name in first)
    if {first.dtype, second.dtype} == {np.dtype(np.float32), np.dtype(np.float64)}:
        first, second = first.astype(np.float32), second.astype(np.float32)
    return np.array_equal(first, second, equal_nan=first.dtype.kind == 'f')


def _collect(arrays: dict[str, np.ndarray], name: str) -> Labels:
    if name in arrays:
        return arrays[name]
    prefix = f'{name}{_SEPARATOR}'
    found = {key.removeprefix(prefix): values for key, values in arrays.items() if key.startswith(prefix)}
    if not found:
        raise KeyError(name)
    return found
