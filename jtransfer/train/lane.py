"""A lane of a training: its files, its best state, and where it was left off.

A plain run is one lane. Folds that are trained side by side are a lane each, and write what they would write alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jtransfer import rules
from jtransfer.config import Config
from jtransfer.errors import UserError
from jtransfer.tasks.better import deciding
from jtransfer.train.logs.log import MetricLog, line_before, read_log
from jtransfer.train.logs.log_values import in_float32
from jtransfer.train.saving.checkpoints import Checkpoints
from jtransfer.train.saving.resuming import Fresh, find_resumed
from jtransfer.train.saving.run_progress import RunProgress
from jtransfer.train.state import TrainState
from jtransfer.train.step_parts import StepParts


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What a training leaves in memory.

    Attributes:
        state: the last state.
        variables: what to evaluate and save: of the best validation score where there was validation (of equal scores
            the lower loss, of equal losses the latest), else the last; averaged parameters where there is a moving
            average.
        chosen_step: the step they come from.
        best_score: the best validation score, see `deciding`, or None.
        history: the lines of the metrics, in order; of a resumed run all of them.
        seconds: training time of this process, validation and checkpoints included, of all lanes together.
        starts: the steps after which the phases began.
        best_loss: the validation loss at the chosen step, or None.
    """

    state: TrainState
    variables: dict[str, Any]
    chosen_step: int
    best_score: float | None
    history: list[dict[str, Any]]
    seconds: float
    starts: tuple[int, ...] = (0,)
    best_loss: float | None = None


@dataclasses.dataclass(eq=False)
class Lane:
    """What the loop keeps of one lane on the host.

    Attributes:
        number: of the lane, from 0.
        state: where the lane was left off; None once it is on the devices.
        start: the step of that.
        progress: what a checkpoint remembers beside its state.
        best: the state of the best validation score so far.
        checkpoints: None: nothing is written.
        log: likewise; opened when every lane has been looked at.
        history: the lines of the metrics.
        pending: the metrics of the steps before `start` that no line has yet.
        seconds: that these took.
        due: the validation of step `start` is still to be made.
    """

    number: int
    state: TrainState | None = None
    start: int = 0
    progress: RunProgress = dataclasses.field(default_factory=RunProgress)
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

    def waits_for(self, moment: tuple[int, bool]) -> bool:
        """Whether the lane is not on the devices yet and goes on from that moment, see `left_off`."""
        return self.state is not None and self.left_off == moment

    def open_log(self, run_dir: Path, config: Config) -> None:
        """Begins, or goes on with, the metrics; drops the lines after the step the lane goes on from."""
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

    def scored(self, scores: Mapping[str, float], step: int, copied: Callable[[], TrainState]) -> None:
        """Takes note of a validation, and of the state if it is the best so far.

        Args:
            scores: of the validation.
            step: after which it was made.
            copied: gives the state as it can be kept while training goes on.
        """
        score, loss = deciding(scores), scores.get('loss')
        better = self.progress.better(score, step, loss)
        self.progress = self.progress.after(score, step, loss)
        if better:
            self.best = copied()
            if self.checkpoints:
                self.checkpoints.save_best(self.best, self.progress)

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
        """Saves the state of a lane that a signal stops, and waits until it is on disk.

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
        """What the lane leaves in memory."""
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


def find_lane(
    number: int, parts: StepParts, fresh: Fresh, run_dir: str | Path | None, *, side_by_side: bool = False
) -> Lane:
    """A lane as it was left off, or at its beginning.

    Args:
        number: of the lane.
        parts: what the first step is made of.
        fresh: gives the state with which the last of the phases that began after these steps would begin, had nothing
            happened before.
        run_dir: where its checkpoints are, whether it was trained alone or with others. None: nowhere.
        side_by_side: whether it shares with other lanes what does not move, and the steps at which phases begin.

    Raises:
        UserError: a checkpoint of another configuration, or, side by side, of other weights to start from.
    """
    lane = Lane(number)
    if not run_dir:
        lane.state = fresh(parts.starts)
        return lane
    with contextlib.ExitStack() as failing:
        lane.checkpoints = checkpoints = Checkpoints(Path(run_dir) / 'checkpoints')
        failing.callback(checkpoints.close)
        resumed = find_resumed(checkpoints, parts, fresh)
        found = resumed.progress
        lane.progress, lane.state, lane.best = found.on_time(), resumed.state, resumed.best
        if resumed.state is not None:
            lane.start = int(resumed.state.step)
            lane.pending, lane.seconds, lane.due = found.pending, found.seconds, found.due
        if side_by_side and lane.state is not None:
            _check_starts(parts, lane, checkpoints)
            lane.state = _shared(lane.state, fresh(lane.progress.starts), checkpoints)
        if side_by_side and lane.best is not None:
            lane.best = _shared(lane.best, fresh(resumed.best_starts), checkpoints)
        if lane.state is None:
            lane.state = fresh(parts.starts)
        failing.pop_all()
    return lane


def _check_starts(parts: StepParts, lane: Lane, checkpoints: Checkpoints) -> None:
    planned = tuple(start for start in parts.timetable.planned if start <= lane.start - lane.due)
    if lane.progress.starts != planned:
        raise UserError(
            f'the checkpoint {checkpoints.directory}/last/{lane.start} has phases that began after the steps '
            f'{lane.progress.starts}, and this configuration begins them after {planned}'
        )


def _shared(state: TrainState, like: TrainState, checkpoints: Checkpoints) -> TrainState:
    """A checkpoint, on the host, with the frozen parameters that all lanes share and that must be its own too."""
    theirs = rules.flatten(state.frozen)
    for path, leaf in rules.flatten(like.frozen).items():
        if not np.array_equal(leaf, np.asarray(theirs[path])):
            raise UserError(f'{checkpoints.directory} is of a training from other weights: the frozen {path} differs')
    moving = jax.tree.map(np.asarray, dataclasses.replace(state, frozen=None, source=None))
    return dataclasses.replace(moving, frozen=like.frozen, source=like.source)
