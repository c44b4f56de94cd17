"""Checkpoints through Orbax: written in the background, the last and the best kept, under canonical names.

A checkpoint holds the whole `params` tree under the names of the network, whatever the plan, so that changing the
rules never changes the format; the moving average and the optimiser's state cover what trains.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jtransfer.errors import UserError, WritingError
from jtransfer.files.writing import make_folder, temporary_folder, told_plainly
from jtransfer.train.saving.digests import (
    DIGESTED,
    ITEM,
    DamagedCheckpointError,
    DigestsSave,
    check_progress,
    check_state,
)
from jtransfer.train.saving.orbax_errors import begin_quiet, end_quiet
from jtransfer.train.saving.run_progress import RunProgress
from jtransfer.train.saving.state_tree import difference_of, from_tree, to_tree, with_clipping
from jtransfer.train.state import TrainState
from jtransfer.transfer.plan import Plan, combine

DAMAGED = 'damaged'
_MOST = 300  # letters of an error of Orbax


class Checkpoints:
    """The `last` and `best` checkpoints of a run, below one directory."""

    def __init__(self, directory: str | Path) -> None:
        """Args: directory: where they live; made when missing."""
        self.directory = make_folder(Path(directory).absolute())
        with told_plainly(self.directory):
            directory, self._link = _without_wildcards(self.directory)
            self._last = _manager(directory / 'last')
            self._best = _manager(directory / 'best')
        begin_quiet()
        self._failed = False
        self._digests: DigestsSave | None = None

    def save_last(self, state: TrainState, progress: RunProgress) -> None:
        """Starts writing the state; training may go on (and donate it) at once.

        Raises:
            WritingError: this checkpoint, or one before it, cannot be written; those that are whole stay.
        """
        # Whoever finds this checkpoint must also find the best one that it speaks of.
        with self._told():
            self._best.wait_until_finished()
        self._save(self._last, state, progress)

    def save_best(self, state: TrainState, progress: RunProgress) -> None:
        """Starts writing the state as the best one; see `save_last`."""
        self._save(self._best, state, progress)

    def wait(self) -> None:
        """Returns when everything is on disk.

        Raises:
            WritingError: something could not be written.
        """
        with self._told():
            self._last.wait_until_finished()
            self._best.wait_until_finished()

    def close(self) -> None:
        """Waits, and frees the background threads.

        Raises:
            WritingError: something could not be written.
        """
        with contextlib.ExitStack() as closing:
            # What is still to come of a failed write comes when it likes.
            closing.callback(lambda: None if self._failed else end_quiet())
            closing.callback(self._link.close)
            closing.callback(self._best.close)
            closing.callback(self._last.close)
            self.wait()

    @property
    def last_step(self) -> int | None:
        """The step of the last complete checkpoint."""
        return self._last.latest_step()

    @property
    def best_step(self) -> int | None:
        """The step of the best complete checkpoint."""
        return self._best.latest_step()

    def last_progress(self) -> RunProgress:
        """What the last complete checkpoint remembers."""
        return _read_progress(self._last)

    def best_progress(self) -> RunProgress:
        """What the checkpoint with the best validation score remembers."""
        return _read_progress(self._best)

    def restore_last(self, like: TrainState, plan: Plan) -> TrainState:
        """The last complete checkpoint, in the shape of a freshly made state of its phase."""
        return _restore(self._last, like, plan)

    def restore_best(self, like: TrainState, plan: Plan) -> TrainState:
        """The checkpoint with the best validation score, likewise."""
        return _restore(self._best, like, plan)

    def set_aside_last(self) -> Path:
        """Moves the last checkpoint, which is damaged, out of the way of those to come; says where it is now."""
        return self._set_aside(self._last)

    def set_aside_best(self) -> Path:
        """Moves the best checkpoint out of the way, likewise."""
        return self._set_aside(self._best)

    def _set_aside(self, manager: ocp.CheckpointManager) -> Path:
        step, folder = str(_latest(manager)), make_folder(self.directory / DAMAGED)
        name = f'{_place(manager).name}-{step}'
        taken = sum(path.name.startswith(name) for path in folder.iterdir())
        aside = folder / (f'{name}-{taken + 1}' if taken else name)
        with told_plainly(aside):
            (_place(manager) / step).rename(aside)
        manager.reload()
        return aside

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            with told_plainly(self.directory):
                yield
        except WritingError:
            self._failed = True
            if self._digests is not None:
                self._digests.settle()
            raise

    def _save(self, manager: ocp.CheckpointManager, state: TrainState, progress: RunProgress) -> None:
        # A run killed between its best checkpoint and its last one comes by that step again, with the same state.
        if int(state.step) in manager.all_steps():
            return
        # Copies: the next step donates these buffers, and on a CPU NumPy would otherwise look into them.
        tree, values = jax.tree.map(np.array, to_tree(state)), {**dataclasses.asdict(progress), DIGESTED: True}
        self._digests = DigestsSave(tree, values)
        with self._told():
            manager.save(
                int(state.step),
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(tree),
                    progress=ocp.args.JsonSave(values),
                    **{ITEM: self._digests},
                ),
                force=True,
            )


def _manager(directory: Path) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(max_to_keep=1, cleanup_tmp_directories=True)
    return ocp.CheckpointManager(directory, options=options)


def _without_wildcards(directory: Path) -> tuple[Path, contextlib.ExitStack]:
    """The directory by a name that Orbax does not take for a pattern, and what removes the link that this needs.

    Under `runs/a[b]` it would not find the files that it has written, and leave a checkpoint without values.
    """
    if glob.escape(str(directory)) == str(directory):
        return directory, contextlib.ExitStack()
    folder = contextlib.ExitStack()
    link = folder.enter_context(temporary_folder()) / 'checkpoints'
    link.symlink_to(directory, target_is_directory=True)
    return link, folder


def read_variables(directory: str | Path) -> tuple[dict[str, Any], int]:
    """The variables of the last checkpoint below a directory, without knowing the plan, and their step.

    The moving average takes the place of what it averages, as in evaluation.
    """
    directory, link = _without_wildcards(Path(directory).absolute())
    manager = ocp.CheckpointManager(directory / 'last', options=ocp.CheckpointManagerOptions(read_only=True))
    tree, step = _read(manager)
    manager.close()
    link.close()
    params = combine(tree['params'], tree.get('ema') or {})
    return {'params': params, **(tree.get('model_state') or {})}, step


def _restore(manager: ocp.CheckpointManager, like: TrainState, plan: Plan) -> TrainState:
    tree, step = _read(manager)
    tree = with_clipping(tree)
    if difference := difference_of(tree, to_tree(like)):
        raise UserError(f'the checkpoint {_place(manager)}/{step} does not fit this configuration: {difference}')
    return from_tree(tree, like, plan)


def _read(manager: ocp.CheckpointManager) -> tuple[dict[str, Any], int]:
    step = _latest(manager)
    if not (_place(manager) / str(step) / ITEM).exists():
        _recorded(manager, step)  # says whether they are lost, or never were there
    tree = _item(manager, step, state=ocp.args.StandardRestore())
    check_state(_place(manager) / str(step), tree)
    return tree, step


def _read_progress(manager: ocp.CheckpointManager) -> RunProgress:
    step = _latest(manager)
    found = _recorded(manager, step)
    try:
        # Of runs before a signal could stop them, nothing is pending.
        tuples = {'starts': tuple(found['starts']), 'pending': tuple(found.get('pending', ()))}
        return RunProgress(**{name: value for name, value in found.items() if name != DIGESTED} | tuples)
    except (KeyError, TypeError) as error:
        raise _damaged(manager, step, error) from None


def _recorded(manager: ocp.CheckpointManager, step: int) -> dict[str, Any]:
    """What a checkpoint remembers beside the state, as it was saved."""
    found: dict[str, Any] = _item(manager, step, progress=ocp.args.JsonRestore())
    check_progress(_place(manager) / str(step), found)
    return found


def _item(manager: ocp.CheckpointManager, step: int, **item: Any) -> Any:
    """An item of a checkpoint; whatever Orbax and what it is made of say of a damaged one is one line."""
    try:
        found = manager.restore(step, args=ocp.args.Composite(**item))[next(iter(item))]
    except (MemoryError, PermissionError):
        raise  # says nothing about what is on the disk
    except Exception as error:
        raise _damaged(manager, step, error) from None
    if not isinstance(found, dict):
        raise _damaged(manager, step, TypeError('it holds no names'))
    return found


def _damaged(manager: ocp.CheckpointManager, step: int, error: Exception) -> DamagedCheckpointError:
    # Of tensorstore's errors, the last words say which file and what; the first are many.
    said = ' '.join(str(error).split()) or type(error).__name__
    said = said if len(said) <= _MOST else f'{said[: _MOST // 2]} … {said[-_MOST // 2 :]}'
    return DamagedCheckpointError(f'the checkpoint {_place(manager)}/{step} is damaged: {said}')


def _latest(manager: ocp.CheckpointManager) -> int:
    step = manager.latest_step()
    if step is None:
        raise UserError(f'{_place(manager)} holds no complete checkpoint')
    return step


def _place(manager: ocp.CheckpointManager) -> Path:
    return Path(manager.directory).resolve()
