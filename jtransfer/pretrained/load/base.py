"""The base of an adapter file: what it is called, where it is, and the hash that it is known by."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np

from jtransfer import rules
from jtransfer.files.paths import exists, expanded
from jtransfer.pretrained.catalogue.entries import entries
from jtransfer.pretrained.load.audit import LoadReport

BACKBONE = ('params/backbone/', 'batch_stats/backbone/')
_SHOWN = 12  # digits of a hash that people compare


@dataclasses.dataclass(frozen=True)
class Base:
    """What an adapter file says of its base.

    Attributes:
        checkpoint: its name as for `load_model`; the absolute path of a file or a directory.
        beside: the path of a file or a directory, from the folder of the adapter file; '' for a name.
        sha256: of its values, see `base_hash`.
        frozen_dtype: type that the frozen kernels were kept in, `float32` or `bfloat16`.
    """

    checkpoint: str
    beside: str
    sha256: str
    frozen_dtype: str = 'float32'

    @classmethod
    def named(cls, checkpoint: str, adapter: str | os.PathLike[str], sha256: str, frozen_dtype: str) -> Base:
        """The base by its name; one that is a path is found again from anywhere, and when both files move together.

        Args:
            checkpoint: as for `load_model`.
            adapter: path of the adapter file.
            sha256: see `base_hash`.
            frozen_dtype: see `Base`.
        """
        path = expanded(checkpoint)
        if checkpoint.partition('@')[0] in entries() or not exists(path):
            return cls(checkpoint, '', sha256, frozen_dtype)
        beside = os.path.relpath(path.resolve(), expanded(adapter).resolve().parent)
        return cls(str(path.resolve()), Path(beside).as_posix(), sha256, frozen_dtype)

    def found(self, adapter: Path) -> str:
        """The name to load it by: the path it was at, or where it now is relative to the adapter file."""
        moved = expanded(adapter).resolve().parent / self.beside
        return str(moved) if self.beside and not exists(self.checkpoint) and exists(moved) else self.checkpoint

    def short_hash(self) -> str:
        """The beginning of its hash."""
        return shortened(self.sha256)


def shortened(sha256: str) -> str:
    """The beginning of a hash."""
    return f'{sha256[:_SHOWN]}…'


def base_hash(variables: Mapping[str, Any], report: LoadReport) -> str:
    """SHA-256 of a base's backbone, parameters and statistics.

    It goes over the tensors that were loaded as they were stored, in the order of their paths: path, shape, float32
    values. The same weights have the same hash in every file format and under every naming. What was fitted (position
    embeddings for another image size, the first kernel for other channels) is left out, since it is computed, and so
    is the head.

    Args:
        variables: of the network as it was loaded.
        report: of that load.
    """
    values = rules.flatten(variables)
    digest = hashlib.sha256()
    for path in sorted(path for path in report.loaded if path.startswith(BACKBONE)):
        value = np.ascontiguousarray(values[path], '<f4')
        digest.update(f'{path} {"x".join(map(str, value.shape))}\n'.encode())
        digest.update(value.data)
    return digest.hexdigest()


def kept_values(variables: Mapping[str, Any], frozen_dtype: str) -> dict[str, np.ndarray]:
    """The base's values by path, float32, as training kept them while they were frozen.

    Args:
        variables: of the base.
        frozen_dtype: type of its kernels in training; what bfloat16 cannot say is lost from them.
    """
    flat = {path: np.asarray(value, np.float32) for path, value in rules.flatten(jax.device_get(variables)).items()}
    if frozen_dtype == 'float32':
        return flat
    return {
        path: value.astype(ml_dtypes.bfloat16).astype(np.float32) if path.endswith('/kernel') else value
        for path, value in flat.items()
    }
