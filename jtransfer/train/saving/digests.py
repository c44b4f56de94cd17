"""Digests of what a checkpoint holds: written with it, in the background, and compared when it is read.

Orbax notices a file that is cut off or gone, and little of what a disk changes within one: a flipped bit of a value is
another value. A SHA-256 hash of every array, and one of what is remembered beside the state, are an item of the
checkpoint like any other, so that a checkpoint that counts as complete has them.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.future import CommitFutureAwaitingContractedSignals, Future

from jtransfer.errors import UserError
from jtransfer.files.reading import read_json_object
from jtransfer.rules import flatten

# In the progress of a checkpoint that has digests: those of earlier versions have none.
DIGESTED = 'digested'
# Orbax writes items in alphabetical order, and of several that fail tells of the first: that is to be the state.
ITEM = 'state_digests'
_FILE, _PROGRESS = 'digests.json', 'progress'
_PATIENCE = 5.0  # seconds, for what may never begin


class DamagedCheckpointError(UserError):
    """A checkpoint that cannot be read, or holds something else than was saved; the message says which and what."""


def digests_of(tree: Mapping[str, Any]) -> dict[str, str]:
    """A hash of every array by its '/'-joined path: of its type, its shape and its values."""
    arrays = flatten(tree)
    # The hashes release the interpreter's lock, and a state has gigabytes.
    with concurrent.futures.ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return dict(zip(arrays, pool.map(_digest, arrays.values()), strict=True))


def check_state(step: Path, tree: Mapping[str, Any]) -> None:
    """Compares the arrays of a checkpoint with what was saved; those of earlier versions have nothing to compare with.

    Args:
        step: directory of the checkpoint.
        tree: what was read from it.

    Raises:
        DamagedCheckpointError: they differ, or the digests cannot be read.
    """
    expected = _read(step)
    if expected is None:
        return
    expected.pop(_PROGRESS, None)
    found = digests_of(tree)
    for path in (*expected, *found):
        if path not in found or path not in expected:
            raise DamagedCheckpointError(f'the checkpoint {step} is damaged: {path} is lost, or of another name')
        if found[path] != expected[path]:
            raise DamagedCheckpointError(f'the checkpoint {step} is damaged: {path} has other values than were saved')


def check_progress(step: Path, progress: Mapping[str, Any]) -> None:
    """As `check_state`, of what a checkpoint remembers beside the state."""
    expected = _read(step)
    if expected is None and progress.get(DIGESTED):
        raise DamagedCheckpointError(f'the checkpoint {step} is damaged: its digests are lost')
    if expected is not None and expected.get(_PROGRESS) != _json_digest(progress):
        raise DamagedCheckpointError(f'the checkpoint {step} is damaged: its progress is another than was saved')


def _read(step: Path) -> dict[str, Any] | None:
    if not (step / ITEM).exists():
        return None
    try:
        return read_json_object(step / ITEM / _FILE)
    except UserError as error:
        raise DamagedCheckpointError(f'the checkpoint {step} is damaged: {error}') from None


def _digest(array: Any) -> str:
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(f'{array.dtype.name} {np.shape(array)} '.encode())
    digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _json_digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class DigestsHandler(ocp.AsyncCheckpointHandler):
    """Lets Orbax write the digests of a state beside it."""

    async def async_save(self, directory: Any, *arguments: Any, args: DigestsSave, **options: Any) -> list[Future]:
        """Starts hashing; the checkpoint is complete when the file is there, too."""

        args.begun = True

        async def write() -> None:
            try:
                record = digests_of(args.tree) | {_PROGRESS: _json_digest(args.progress)}
                (directory / _FILE).write_text(json.dumps(record, indent=1) + '\n', encoding='utf-8')
            finally:
                args.tree = {}  # else a whole state would stay in memory until the next checkpoint
                args.ended.set()

        return [CommitFutureAwaitingContractedSignals(write(), name='digests')]

    def save(self, directory: Any, *arguments: Any, args: DigestsSave, **options: Any) -> None:
        """Orbax asks for it; checkpoints are written in the background."""
        raise NotImplementedError

    def restore(self, directory: Any, *arguments: Any, args: DigestsRestore, **options: Any) -> Any:
        """Orbax asks for it; `check_state` and `check_progress` read the file."""
        raise NotImplementedError


@ocp.args.register_with_handler(DigestsHandler, for_save=True)
@dataclasses.dataclass
class DigestsSave(ocp.args.CheckpointArgs):
    """What is hashed.

    Attributes:
        tree: arrays on the host, which nobody changes; empty once they are hashed.
        progress: JSON values.
        begun: whether the file is to be written, or has been.
        ended: set when nothing more is written.
    """

    tree: Mapping[str, Any]
    progress: Mapping[str, Any]
    begun: bool = False
    ended: threading.Event = dataclasses.field(default_factory=threading.Event)

    def settle(self) -> None:
        """Returns when nothing more is written: of a checkpoint that failed, Orbax waits for no other item."""
        if self.begun:
            self.ended.wait(_PATIENCE)


@ocp.args.register_with_handler(DigestsHandler, for_restore=True)
@dataclasses.dataclass
class DigestsRestore(ocp.args.CheckpointArgs):
    """Orbax pairs every way of saving with one of reading."""
