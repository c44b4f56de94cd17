"""A training under way: its lanes on the devices, and what is done to them step by step; `loop.py` has the order."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax

from jtransfer import stopping
from jtransfer.errors import TrainingDivergedError
from jtransfer.train.calendar import make_calendar
from jtransfer.train.feed import Feed, FeedMaker
from jtransfer.train.lane import FitResult, Lane
from jtransfer.train.lanes import diverged, going_on, in_next_phase, in_words, lines_of_lanes, rows_of_lanes
from jtransfer.train.memory_check import CheckedStep
from jtransfer.train.placement import Placement
from jtransfer.train.sizes import step_size, steps_by_size
from jtransfer.train.state import TrainState
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.settings import Settings

Observe: TypeAlias = Callable[[int, Mapping[str, float]], None]
LaneValidate: TypeAlias = Callable[[int, Mapping[str, Any]], dict[str, float]]


class Training:
    """Lanes on the devices, and what is done to them.

    Attributes:
        parts: what the steps of this phase are made of.
        calendar: what is done after which step.
        feed: the batches to come.
        start: optimiser updates made before.
        first: the first step with something to do: `start` itself where its validation is still due.
    """

    feed: Feed
    start: int
    first: int
    _state: TrainState
    _steps: Callable[[int], CheckedStep]

    def __init__(
        self,
        parts: StepParts,
        variables: Mapping[str, Any],
        placement: Placement,
        lanes: Sequence[Lane],
        validate: LaneValidate | None,
        observe: Observe | None,
        *,
        settings: Sequence[Settings],
        written: bool,
    ) -> None:
        """Takes them as they were left off.

        Args:
            parts: of the first step.
            variables: where training starts.
            placement: the devices.
            lanes: as many as the placement has.
            validate: see `fit_lanes`.
            observe: see `fit`.
            settings: the numbers of each lane.
            written: whether there is somewhere to write to.
        """
        self.parts, self._variables, self._placement, self._lanes = parts, variables, placement, lanes
        self._validate, self._observe, self._written = validate, observe, written
        self.calendar = make_calendar(parts, validated=validate is not None, written=written)
        self._timetable = parts.timetable
        self._settings = settings
        self._pending: list[tuple[int, Mapping[str, Any]]] = []  # the metrics of steps that no line has yet

    def begin(self, make_feed: FeedMaker) -> None:
        """Puts the lanes that were left off first on the devices."""
        earliest = min(self._lanes, key=lambda lane: lane.left_off)
        self.start, complete = earliest.left_off
        self.first = self.start + complete
        self._enter(earliest.progress.starts, going_on(self._lanes, earliest.left_off, ()))
        self.feed = make_feed(self.start)
        self._done = self.start  # the step that everything is after
        self._began = self._logged = time.perf_counter()

    def update(self, step: int) -> None:
        """Makes an optimiser update, the `step`-th."""
        with self._interruptible(self.save):
            batch, make_step = next(self.feed), self._steps(self._size(step))
            make_step.prepare(self._state, batch)
        self._state, metrics = make_step(self._state, batch)
        self._pending.append((step, metrics))
        self._done = step

    def join(self, moment: tuple[int, bool]) -> None:
        """Puts the lanes that were left off at that moment on the devices, see `Lane.left_off`."""
        if self._waiting(moment):
            self._put(going_on(self._lanes, moment, self._states()))

    def look(self, step: int) -> str:
        """Reads the metrics of the steps since the last line, and does what follows; says how it goes."""
        lines = self._lines(step)
        failed = [lane for lane in self._lanes if lane.number in lines and not lines[lane.number].pop('finite')]
        going = [lane for lane in self._lanes if lane.number in lines and lane not in failed]
        states = self._states() if failed or self._reads_states(step) else ()
        scores = self._scores(step, going, states, whole=not failed)
        self._pending = []
        for lane in going:
            self._write(lane, step, lines[lane.number], scores.get(lane.number), states)
        text = in_words([lines[lane.number] for lane in going])
        starts = self.parts.starts
        changes = self._timetable.begins(starts, step, self._lanes[0].progress.stalled)
        if changes:
            starts = (*starts, step)
            states = self._in_next_phase(starts, going, states)
            text += f'  now training {self._at(starts).current.trained()}'
        if failed or self.calendar.saves(step):
            for lane in going:
                lane.save(states[lane.number])
        if failed:
            raise self._diverged(failed, states)
        if changes:
            self._enter(starts, going_on(self._lanes, (step, True), states))
        elif self._waiting((step, True)):
            self._put(going_on(self._lanes, (step, True), states))
        self._logged = time.perf_counter()
        return text

    def save(self, *, due: bool = False) -> str:
        """Saves whatever was done last, and says what; for a signal that ends the training."""
        seconds, states = time.perf_counter() - self._logged, self._states()
        for lane, rows, own in rows_of_lanes(self._pending, self._lanes, seconds, self._done):
            if not all(row['finite'] for row in rows):
                raise self._diverged([lane], states)
            lane.save_stopped(states[lane.number], rows, own, due=due)
        several = f' of {len(self._lanes)} folds' if self._placement.side_by_side else ''
        return f'step {self._done} of {self.calendar.end}{several}' if self._done else ''

    def results(self) -> tuple[FitResult, ...]:
        """What the lanes leave in memory, in order."""
        finals, seconds = self._states(), time.perf_counter() - self._began
        validated = self._validate is not None
        return tuple(
            lane.result(final, seconds, validated=validated) for lane, final in zip(self._lanes, finals, strict=True)
        )

    def _lines(self, step: int) -> dict[int, dict[str, Any]]:
        """The line of each lane that is trained, without its validation, and with `finite`."""
        # Read before it is asked how long they took: dispatching a step takes no time.
        self._pending = jax.device_get(self._pending)
        seconds, batch_size = time.perf_counter() - self._logged, self.parts.config.data.batch_size
        lines = lines_of_lanes(self._pending, self._lanes, batch_size, seconds, step)
        if size := self._size(step):
            for values in lines.values():
                values['train/image_size'] = size
        return lines

    def _scores(
        self, step: int, going: Sequence[Lane], states: Sequence[TrainState], *, whole: bool
    ) -> dict[int, dict[str, float]]:
        """The scores of each lane, where there is a validation; a signal does not wait for it where all is well."""
        validate = self._validate
        if validate is None or not self.calendar.evaluates(step):
            return {}
        # All before one is taken note of: where a signal comes in between, none of them has been made.
        with self._interruptible(functools.partial(self.save, due=True)) if whole else contextlib.nullcontext():
            return {
                lane.number: validate(lane.number, self._placement.evaluated(states[lane.number])) for lane in going
            }

    def _write(
        self,
        lane: Lane,
        step: int,
        values: dict[str, Any],
        scores: Mapping[str, float] | None,
        states: Sequence[TrainState],
    ) -> None:
        """Takes note of what was found, and writes a line."""
        if scores is not None:
            values |= {f'validation/{name}': score for name, score in scores.items()}
            lane.scored(scores, step, lambda: self._placement.copied(states[lane.number]))
            if self._observe:
                self._observe(step, scores)
        lane.write(step, values)

    def _in_next_phase(
        self, starts: tuple[int, ...], going: Sequence[Lane], states: Sequence[TrainState]
    ) -> Sequence[TrainState]:
        fresh = self._at(starts).start(self._variables)
        return in_next_phase(states, going, fresh, starts[-1], self._placement)

    def _at(self, starts: tuple[int, ...]) -> StepParts:
        return dataclasses.replace(self.parts, starts=starts)

    def _enter(self, starts: tuple[int, ...], states: Sequence[TrainState]) -> None:
        """Begins a phase, or goes on with it."""
        self.parts = self._at(starts)
        self._steps = steps_by_size(self._placement, self.parts, states[0].trainable, self._settings)
        self._put(states)

    def _put(self, states: Sequence[TrainState]) -> None:
        self._state = self._placement.put_states(states)

    def _states(self) -> Sequence[TrainState]:
        return self._placement.get_states(self._state)

    def _reads_states(self, step: int) -> bool:
        calendar = self.calendar
        follows = calendar.evaluates(step) or calendar.saves(step) or calendar.changes(step)
        return follows or self._waiting((step, True))

    def _waiting(self, moment: tuple[int, bool]) -> bool:
        return any(lane.waits_for(moment) for lane in self._lanes)

    def _size(self, step: int) -> int:
        config = self.parts.config
        return step_size(config.augment, config.seed, step - 1, self.parts.total_steps)

    def _interruptible(self, save: stopping.Save) -> contextlib.AbstractContextManager[None]:
        return stopping.interruptible(save) if self._written else contextlib.nullcontext()

    def _diverged(self, failed: Sequence[Lane], states: Sequence[TrainState]) -> TrainingDivergedError:
        told = [(lane, states[lane.number]) for lane in failed]
        rates = [self._settings[lane.number]['optim']['learning_rate'] for lane in failed]
        return diverged(told, rates, side_by_side=self._placement.side_by_side)
