"""One of several folds that are trained side by side: its files, its best state, and where it was left off."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jtransfer import rules
from jtransfer.config import Config
from jtransfer.errors import UserError
from jtransfer.train.checkpoints import Checkpoints
from jtransfer.train.log import MetricLog, line_before, read_log
from jtransfer.train.log_values import in_float32
from jtransfer.train.loop import FitResult, deciding
from jtransfer.train.resuming import Fresh, find_resumed
from jtransfer.train.run_progress import RunProgress
from jtransfer.train.state import TrainState
from jtransfer.train.step_parts import StepParts


@dataclasses.dataclass
class FoldRun:
    """What the loop keeps of one fold on the host.

    Attributes:
        number: of the fold, from 0.
        state: where the fold was left off; None once it is on the devices.
        start: the step of that.
        progress: what a checkpoint remembers beside its state.
        best: the state of the best validation score so far.
        checkpoints: None: nothing is written.
        log: likewise; opened when every fold has been looked at.
        history: the lines of the metrics.
        pending: the metrics of the steps before `start` that no line has yet.
        seconds: that these took.
        due: the validation of step `start` is still to be made.
    """

    number: int
    state: TrainState | None
    start: int
    progress: RunProgress
    best: TrainState | None = None
    checkpoints: Checkpoints | None = None
    log: MetricLog | None = None
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    pending: tuple[Mapping[str, float], ...] = ()
    seconds: float = 0.0
    due: bool = False

    @property
    def left_off(self) -> tuple[int, bool]:
        """The step, and whether what follows the update was done, too: validation, a new phase."""
        return self.start, not self.due

    def open_log(self, run_dir: Path, config: Config) -> None:
        """Begins, or goes on with, the metrics; drops the lines after the step the fold goes on from."""
        due_step = line_before(self.start - len(self.pending), config)
        own, start_step = config.train.tensorboard, self.start - self.due
        self.log = MetricLog(run_dir, tensorboard=own, start_step=start_step, due_step=due_step)
        self.history = read_log(self.log.path)

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Adds a line to the metrics; it is of all steps that had none."""
        self.pending, self.seconds, self.due = (), 0.0, False
        self.history.append({'step': step, **values})
        if self.log:
            self.log.write(step, values)

    def scored(self, scores: Mapping[str, float], step: int, state: TrainState) -> None:
        """Takes note of a validation, and of the state if it is the best so far."""
        score, loss = deciding(scores), scores.get('loss')
        better = self.progress.better(score, step, loss)
        self.progress = self.progress.after(score, step, loss)
        if better:
            self.best = state
            if self.checkpoints:
                self.checkpoints.save_best(state, self.progress)

    def save(self, state: TrainState) -> str:
        """Saves the state unless that is the last checkpoint already; says where, if anything is written at all."""
        if not self.checkpoints:
            return ''
        step = int(state.step)
        if self.checkpoints.last_step != step:
            self.checkpoints.save_last(state, self.progress)
        return str(self.checkpoints.directory / 'last' / str(step))

    def save_stopped(
        self, state: TrainState, rows: Sequence[Mapping[str, float]], seconds: float, *, due: bool
    ) -> None:
        """Saves the state of a fold that a signal stops, and waits until it is on disk.

        Args:
            state: of now.
            rows: the metrics of all steps that no line has yet.
            seconds: that they took.
            due: whether these are of a validation that was to be made at this step, and is not.
        """
        if not self.checkpoints or int(state.step) <= self.start:
            return
        self.checkpoints.save_last(state, self.progress.stopped(rows, seconds, due=due))
        self.checkpoints.wait()
        if self.log:
            self.log.flush()

    def result(self, final: TrainState, seconds: float, *, validated: bool) -> FitResult:
        """What the fold leaves in memory."""
        chosen = self.best if validated and self.best is not None else final
        return FitResult(
            state=final,
            variables=in_float32(chosen.variables()),
            chosen_step=int(chosen.step),
            best_score=self.progress.best_score,
            history=self.history,
            seconds=seconds,
            starts=self.progress.starts,
            best_loss=self.progress.best_loss,
        )

    def close(self) -> None:
        """Waits until everything is written."""
        with contextlib.ExitStack() as closing:
            for opened in (self.checkpoints, self.log):
                if opened:
                    closing.callback(opened.close)


def find_fold(number: int, parts: StepParts, fresh: Fresh, run_dir: Path | None) -> FoldRun:
    """A fold as it was left off, or at its beginning.

    Args:
        number: of the fold.
        parts: what the first step is made of.
        fresh: gives the state with which the last of the phases that began after these steps would begin, had nothing
            happened before.
        run_dir: where its checkpoints are, whether it was trained alone or with others. None: nowhere.

    Raises:
        UserError: a checkpoint of another configuration, or of other weights to start from.
    """
    fold = FoldRun(number, fresh(parts.starts), 0, RunProgress())
    if not run_dir:
        return fold
    with contextlib.ExitStack() as failing:
        fold.checkpoints = checkpoints = Checkpoints(run_dir / 'checkpoints')
        failing.callback(checkpoints.close)
        resumed = find_resumed(checkpoints, parts, fresh)
        found = resumed.progress
        fold.progress = found.on_time()
        if resumed.state is not None:
            fold.start = int(resumed.state.step)
            fold.pending, fold.seconds, fold.due = found.pending, found.seconds, found.due
            _check_starts(parts, fold.progress.starts, fold.start, checkpoints, due=fold.due)
            fold.state = _shared(resumed.state, fresh(fold.progress.starts), checkpoints)
        if resumed.best is not None:
            fold.best = _shared(resumed.best, fresh(resumed.best_starts), checkpoints)
        failing.pop_all()
    return fold


def _check_starts(parts: StepParts, starts: tuple[int, ...], step: int, checkpoints: Checkpoints, *, due: bool) -> None:
    planned = tuple(start for start in parts.timetable.planned if start <= step - due)
    if starts != planned:
        raise UserError(
            f'the checkpoint {checkpoints.directory}/last/{step} has phases that began after the steps {starts}, and '
            f'this configuration begins them after {planned}'
        )


def _shared(state: TrainState, like: TrainState, checkpoints: Checkpoints) -> TrainState:
    """A checkpoint, on the host, with the frozen parameters that all folds share and that must be its own too."""
    theirs = rules.flatten(state.frozen)
    for path, leaf in rules.flatten(like.frozen).items():
        if not np.array_equal(leaf, np.asarray(theirs[path])):
            raise UserError(f'{checkpoints.directory} is of a training from other weights: the frozen {path} differs')
    moving = jax.tree.map(np.asarray, dataclasses.replace(state, frozen=None, source=None))
    return dataclasses.replace(moving, frozen=like.frozen, source=like.source)
