"""The lanes of a training together: where they go on from, who waits for whom, and what is said about all of them.

Lanes that were left off at different steps go on from the earliest of these, and the others wait, each until the
training comes to where it stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jtransfer.errors import TrainingDivergedError, UserError
from jtransfer.tasks.better import VALIDATED
from jtransfer.train.lane import Lane, find_lane
from jtransfer.train.logs.log_values import log_values
from jtransfer.train.placement import Placement
from jtransfer.train.state import TrainState, next_phase
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.settings import Settings

# A line has one of the validation's two.
_FIGURES = (
    ('train/loss', 'loss', '.3f'),
    ('train/accuracy', 'accuracy', '.1%'),
    *((f'validation/{name}', 'validation', form) for name, form in VALIDATED.items()),
)


def check_side_by_side(parts: StepParts) -> None:
    """Raises `UserError` for what would make the training steps of one fold other than those of another."""
    if parts.config.loss.class_balance != 'none':
        raise UserError(
            f'loss.class_balance={parts.config.loss.class_balance} weighs the classes of each fold by its own training '
            'part, and folds side by side share one loss: set loss.class_weights, or crossval.side_by_side=false'
        )
    if parts.timetable.waits:
        raise UserError(
            'the strategy unfreezes when validation stalls, and folds side by side do so at the same steps: set '
            'transfer.unfreeze_every, a number of steps, or crossval.side_by_side=false'
        )


def check_settings(parts: StepParts, settings: Sequence[Settings], lanes: int) -> None:
    """Raises `ValueError` unless there are numbers for every lane, of the terms that the step has."""
    if len(settings) != lanes:
        raise ValueError(f'{len(settings)} settings for {lanes} lanes')
    terms = {jax.tree.structure(parts.settings)}
    for number, numbers in enumerate(settings):
        if jax.tree.structure(numbers) not in terms:
            raise ValueError(
                f'the settings of lane {number} are of other terms than the step has: a number that is zero in one '
                'lane must be zero in all of them'
            )


def find_lanes(
    parts: StepParts,
    variables: Mapping[str, Any],
    placement: Placement,
    run_dirs: Sequence[str | Path] | None,
    closing: contextlib.ExitStack,
) -> list[Lane]:
    """Every lane as it was left off; nothing is written before all of them have been found to fit.

    Args:
        parts: of the first step.
        variables: where training starts.
        placement: says how many lanes there are.
        run_dirs: where each of them is written. None: nowhere.
        closing: what the lanes open is closed with it.

    Raises:
        UserError: a checkpoint that does not fit.
    """

    def fresh(starts: tuple[int, ...]) -> TrainState:
        return dataclasses.replace(parts, starts=starts).start(variables)

    side_by_side = placement.side_by_side
    if side_by_side:  # what all of them begin with is made once, and no step takes it over
        fresh = functools.cache(lambda starts, made=fresh: on_host(made(starts)))
    directories = run_dirs if run_dirs is not None else [None] * placement.lanes
    if len(directories) != placement.lanes:
        raise ValueError(f'{len(directories)} run directories for {placement.lanes} lanes')
    lanes = []
    for number, run_dir in enumerate(directories):
        lanes.append(find_lane(number, parts, fresh, run_dir, side_by_side=side_by_side))
        # Also when training is interrupted: what is being written is then complete, and whoever resumes finds it.
        closing.callback(lanes[-1].close)
    for lane, run_dir in zip(lanes, directories, strict=True):
        if run_dir:
            lane.open_log(Path(run_dir), parts.config)
    return lanes


def going_on(lanes: Sequence[Lane], moment: tuple[int, bool], states: Sequence[TrainState]) -> list[TrainState]:
    """What the lanes go on with after a step: those that stopped there join in with the state they were left with.

    Lanes that stopped later still wait. Something has to stand in their place on the devices, whatever becomes of it.

    Args:
        lanes: all of them.
        moment: optimiser updates made, and whether what follows the last one is done, see `Lane.left_off`.
        states: on the devices, of the phase that begins now.
    """
    found: dict[int, TrainState] = {}
    for lane in lanes:
        if lane.left_off <= moment:
            found[lane.number] = states[lane.number] if lane.state is None else lane.state
            lane.state = None
    stand_in = next(iter(found.values()))
    return [found.get(lane.number, stand_in) for lane in lanes]


def in_next_phase(
    states: Sequence[TrainState], going: Sequence[Lane], fresh: TrainState, step: int, placement: Placement
) -> tuple[TrainState, ...]:
    """The states with which the lanes that are trained begin a phase, of which they take note.

    Args:
        states: of all lanes.
        going: those that are trained.
        fresh: what the phase would begin with if nothing had happened before.
        step: after which it begins.
        placement: where they have been trained, and will be.
    """
    after = list(states)
    for lane in going:
        state = next_phase(states[lane.number], fresh)
        after[lane.number] = on_host(state) if placement.side_by_side else state
        lane.progress = lane.progress.next_phase(step)
    return tuple(after)


def on_host(state: TrainState) -> TrainState:
    """So that no device holds what is only the beginning of a lane or of a phase."""
    return jax.tree.map(np.asarray, state)


def rows_of_lanes(
    pending: Sequence[tuple[int, Mapping[str, Any]]], lanes: Sequence[Lane], seconds: float, step: int
) -> Iterator[tuple[Lane, list[Mapping[str, float]], float]]:
    """The lanes that are trained at a step, with their metrics that no line has yet, and how long these steps took."""
    rows = jax.device_get(list(pending))
    for lane in lanes:
        # One of each lane; of a plain run one, or one a replica, which are the same.
        own = [{k: float(np.ravel(v)[lane.number]) for k, v in row.items()} for at, row in rows if at > lane.start]
        if lane.state is None and lane.left_off < (step, True):
            yield lane, [*lane.pending, *own], lane.seconds + seconds * len(own) / max(1, len(rows))


def lines_of_lanes(
    pending: Sequence[tuple[int, Mapping[str, Any]]],
    lanes: Sequence[Lane],
    batch_size: int,
    seconds: float,
    step: int,
) -> dict[int, dict[str, Any]]:
    """By number, what `log_values` has to say about the lanes that were trained in these steps."""
    lines = {}
    for lane, rows, own in rows_of_lanes(pending, lanes, seconds, step):
        lines[lane.number] = log_values(rows, batch_size, own)
    return lines


def in_words(lines: Sequence[Mapping[str, float]]) -> str:
    """What stands behind the progress bar: means over the lanes."""
    texts = []
    for name, title, form in _FIGURES:
        values = [line[name] for line in lines if name in line]
        if values:
            texts.append(f'{title} {np.mean(values):{form}}')
    return '  '.join(texts)


def diverged(
    failed: Sequence[tuple[Lane, TrainState]], rates: Sequence[float], *, side_by_side: bool
) -> TrainingDivergedError:
    """Saves the last good states, to which the steps kept, and says what happened.

    Args:
        failed: the lanes in which something is not finite, with their states.
        rates: what the learning rate of each of them is set to.
        side_by_side: whether they are told apart.
    """
    told = []
    for lane, state in failed:
        where, step = lane.save(state), int(state.step) + 1
        if side_by_side:
            saved = f' (the state before it is saved in {where})' if where else ''
            told.append(f'in fold {lane.number} at step {step}{saved}')
        else:
            saved = f'. The state before it is saved in {where}' if where else ''
            told.append(f'at step {step}{saved}')
    now = ' and '.join(dict.fromkeys(f'{rate:g}' for rate in rates))
    return TrainingDivergedError(
        f'the loss, a gradient or a parameter stopped being finite {" and ".join(told)}. A lower optim.learning_rate '
        f'(now {now}), a longer optim.warmup or optim.clip_norm=1 helps most often.'
    )
