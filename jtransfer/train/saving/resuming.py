"""Where a training goes on: its last whole checkpoint and the best one, or one line about what is lost.

What is damaged is found by its digests (`digests.py`) and moved aside, so that what is saved from now on is not
compared with it. A training is deterministic: what is computed again is what was lost.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable

import jax
import numpy as np

from jtransfer.errors import RunWarning, UserError
from jtransfer.train.saving.checkpoints import Checkpoints
from jtransfer.train.saving.digests import DamagedCheckpointError
from jtransfer.train.saving.run_progress import RunProgress
from jtransfer.train.state import TrainState, next_phase
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.plan import Plan

Fresh = Callable[[tuple[int, ...]], TrainState]


@dataclasses.dataclass(frozen=True)
class Resumed:
    """What the checkpoints of a training hold.

    Attributes:
        state: to go on from; None: from the beginning.
        progress: what is remembered beside it, of the best checkpoint too.
        best: the state of the best validation score so far.
        best_starts: the steps after which the phases up to it began.
    """

    state: TrainState | None = None
    progress: RunProgress = dataclasses.field(default_factory=RunProgress)
    best: TrainState | None = None
    best_starts: tuple[int, ...] = (0,)


@dataclasses.dataclass(frozen=True)
class _Read:
    state: TrainState
    progress: RunProgress


def find_resumed(checkpoints: Checkpoints, parts: StepParts, fresh: Fresh) -> Resumed:
    """Reads the checkpoints of a training, if there are any.

    A damaged last one gives way to the best one, with a warning. Without whole weights of the best score that the last
    one speaks of, nothing could be reported truly, and the training is refused.

    Args:
        checkpoints: of the training.
        parts: of its first step.
        fresh: gives the state with which the last of the phases that began after these steps would begin, had nothing
            happened before.

    Raises:
        UserError: a checkpoint of another configuration; no whole one, or the best one is lost.
    """
    last, best = (_read(checkpoints, which, parts, fresh) for which in ('last', 'best'))
    if isinstance(last, DamagedCheckpointError):
        if not isinstance(best, _Read):
            raise UserError(
                f'{last}, and there is no whole one beside it: delete {checkpoints.directory} to train from the '
                'beginning'
            )
        aside = checkpoints.set_aside_last()
        warnings.warn(
            f'{last}; it is set aside as {aside}, and training goes on from the best one, of step '
            f'{int(best.state.step)}',
            RunWarning,
            stacklevel=2,
        )
        last = _after(best, parts, fresh)
    progress = RunProgress() if last is None else last.progress
    state = None if last is None else last.state
    if isinstance(best, _Read) and _speaks_of(best.progress) >= _speaks_of(progress):
        # It may be newer than the last one: a run killed between the two will come by it again.
        return Resumed(state, progress.with_best(best.progress), best.state, best.progress.starts)
    if best is None and progress.best_step is None:
        return Resumed(state, progress)
    return _without_best(checkpoints, best, state, progress)


def _read(
    checkpoints: Checkpoints, which: str, parts: StepParts, fresh: Fresh
) -> _Read | DamagedCheckpointError | None:
    step, remembered, restore = {
        'last': (checkpoints.last_step, checkpoints.last_progress, checkpoints.restore_last),
        'best': (checkpoints.best_step, checkpoints.best_progress, checkpoints.restore_best),
    }[which]
    if step is None:
        return None
    try:
        progress = remembered()
        plan: Plan = dataclasses.replace(parts, starts=progress.starts).current
        return _Read(restore(fresh(progress.starts), plan), progress)
    except DamagedCheckpointError as error:
        return error


def _after(best: _Read, parts: StepParts, fresh: Fresh) -> _Read:
    """The best checkpoint as the last one: it was saved before the phase began that its step may have ended."""
    progress, step = best.progress, int(best.state.step)
    best = _Read(_copied(best.state), progress)
    if not parts.timetable.begins(progress.starts, step, progress.stalled):
        return best
    progress = progress.next_phase(step)
    return _Read(next_phase(best.state, fresh(progress.starts)), progress)


def _without_best(
    checkpoints: Checkpoints,
    best: _Read | DamagedCheckpointError | None,
    state: TrainState | None,
    progress: RunProgress,
) -> Resumed:
    """Goes on where the best checkpoint is lost, if its weights are, or will be, there all the same."""
    if isinstance(best, _Read):
        lost = f'the checkpoint {checkpoints.directory}/best/{progress.best_step} is gone'
    else:
        lost = str(best or f'{checkpoints.directory}/best holds no checkpoint any more')
    step, newest = (0 if state is None else int(state.step)), checkpoints.best_step or 0
    if state is not None and step == progress.best_step and progress.starts[-1] != step:
        said = 'the last one is of the same step and has its weights'
        found = Resumed(state, progress, _copied(state), progress.starts)
    elif newest > step or progress.best_step is None:
        # A run killed between the two: the one before was deleted when this one was complete.
        said = f'training goes on from step {step} and comes by step {newest} again'
        found = Resumed(state, dataclasses.replace(progress, best_score=None, best_step=None, best_loss=None))
    else:
        raise UserError(
            f'{lost}: the weights of the best validation score, {progress.best_score:g} after step '
            f'{progress.best_step}, are lost, and the last ones are others; delete {checkpoints.directory} to train '
            'from the beginning, which finds them again'
        )
    if checkpoints.best_step is not None:
        lost += f'; it is set aside as {checkpoints.set_aside_best()}'
    warnings.warn(f'{lost}; {said}', RunWarning, stacklevel=3)
    return found


def _copied(state: TrainState) -> TrainState:
    """Training gives its buffers away, and the best state is kept."""
    return jax.tree.map(np.array, state)


def _speaks_of(progress: RunProgress) -> int:
    return -1 if progress.best_step is None else progress.best_step
