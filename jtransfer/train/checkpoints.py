"""Checkpoints through Orbax: written in the background, the last and the best kept, under canonical names.

A checkpoint holds the whole `params` tree under the names of the network, whatever the plan, so that changing the
rules never changes the format; the moving average and the optimiser's state cover what trains.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jtransfer.errors import UserError
from jtransfer.train.state import TrainState
from jtransfer.transfer.plan import Plan, combine


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a run has to remember beside its state.

    Attributes:
        best_score: the best validation score so far; None before the first evaluation, or without a validation part.
        best_step: the step it was reached at.
    """

    best_score: float | None = None
    best_step: int | None = None

    def better(self, score: float) -> bool:
        """Whether a score beats the best so far."""
        return self.best_score is None or score > self.best_score


class Checkpoints:
    """The `last` and `best` checkpoints of a run, below one directory."""

    def __init__(self, directory: str | Path) -> None:
        """Args: directory: where they live; made when missing."""
        self.directory = Path(directory).absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=1, cleanup_tmp_directories=True)
        self._last = ocp.CheckpointManager(self.directory / 'last', options=options)
        self._best = ocp.CheckpointManager(self.directory / 'best', options=options)

    def save_last(self, state: TrainState, progress: Progress) -> None:
        """Starts writing the state; training may go on (and donate it) at once."""
        self._save(self._last, state, progress)

    def save_best(self, state: TrainState, progress: Progress) -> None:
        """Starts writing the state as the best one."""
        self._save(self._best, state, progress)

    def wait(self) -> None:
        """Returns when everything is on disk."""
        self._last.wait_until_finished()
        self._best.wait_until_finished()

    def close(self) -> None:
        """Waits, and frees the background threads."""
        self.wait()
        self._last.close()
        self._best.close()

    @property
    def last_step(self) -> int | None:
        """The step of the last complete checkpoint."""
        return self._last.latest_step()

    def restore_last(self, like: TrainState, plan: Plan) -> tuple[TrainState, Progress]:
        """The last complete checkpoint, in the shape of a freshly made state."""
        return self._restore(self._last, like, plan)

    def restore_best(self, like: TrainState, plan: Plan) -> tuple[TrainState, Progress]:
        """The checkpoint with the best validation score."""
        return self._restore(self._best, like, plan)

    def _save(self, manager: ocp.CheckpointManager, state: TrainState, progress: Progress) -> None:
        # Copies: the next step donates these buffers, and on a CPU NumPy would otherwise look into them.
        tree = jax.tree.map(np.array, _to_tree(state))
        manager.save(
            int(state.step),
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(tree), progress=ocp.args.JsonSave(dataclasses.asdict(progress))
            ),
            force=True,
        )

    def _restore(self, manager: ocp.CheckpointManager, like: TrainState, plan: Plan) -> tuple[TrainState, Progress]:
        step = manager.latest_step()
        if step is None:
            raise UserError(f'{manager.directory} holds no complete checkpoint')
        target = jax.tree.map(np.asarray, _to_tree(like))
        try:
            restored = manager.restore(
                step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target), progress=ocp.args.JsonRestore())
            )
        except (ValueError, KeyError) as error:
            line = str(error).strip().splitlines()[0]
            raise UserError(
                f'the checkpoint {manager.directory}/{step} does not fit this configuration: {line}'
            ) from None
        return _from_tree(restored.state, like, plan), Progress(**restored.progress)


def read_variables(directory: str | Path) -> tuple[dict[str, Any], int]:
    """The variables of the last checkpoint below a directory, without knowing the plan, and their step.

    The moving average takes the place of what it averages, as in evaluation.
    """
    directory = Path(directory).absolute() / 'last'
    manager = ocp.CheckpointManager(directory, options=ocp.CheckpointManagerOptions(read_only=True))
    step = manager.latest_step()
    if step is None:
        raise UserError(f'{directory} holds no complete checkpoint')
    tree = manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore())).state
    params = combine(tree['params'], {})
    if tree.get('ema'):
        params = combine(params, tree['ema'])
    return {'params': params, **(tree.get('model_state') or {})}, step


def _to_tree(state: TrainState) -> dict[str, Any]:
    tree = {
        'step': state.step,
        'params': combine(state.trainable, state.frozen),
        'opt_state': {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(state.opt_state)},
    }
    if state.model_state:
        tree['model_state'] = state.model_state
    if state.ema is not None:
        tree['ema'] = state.ema
    return tree


def _from_tree(tree: Mapping[str, Any], like: TrainState, plan: Plan) -> TrainState:
    trainable, frozen = plan.split(tree['params'])
    structure = jax.tree.structure(like.opt_state)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(like.opt_state)]
    return TrainState(
        step=tree['step'],
        trainable=trainable,
        frozen=frozen,
        model_state=tree.get('model_state', {}),
        opt_state=jax.tree.unflatten(structure, [tree['opt_state'][name] for name in names]),
        ema=tree.get('ema'),
    )
