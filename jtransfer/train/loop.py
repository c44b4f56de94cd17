"""The training loop: steps, and on their way metrics, validation and checkpoints.

A training has lanes. A plain run is one lane of it (`fit`); the folds of a cross-validation may be trained side by
side, in step with one another, a lane each (`fit_lanes`). Each lane writes the metrics and checkpoints that it would
write alone, so that it can be resumed together with the others or alone.

Order within a step: the update; the metrics; the validation, which may name a new best; the beginning of a new phase;
the checkpoint. A checkpoint at step n therefore always knows what the validation at step n found and which phase comes
next, and a resumed run repeats nothing but computation.

A run that a signal ends saves a checkpoint wherever it is, with the metrics that no line has yet; where it was at
validation, the checkpoint says so, and whoever resumes begins with that.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jtransfer import stopping
from jtransfer.config import Config
from jtransfer.errors import UserError
from jtransfer.train.feed import FeedMaker, close_feed
from jtransfer.train.lane import FitResult
from jtransfer.train.lane_placement import LanePlacement
from jtransfer.train.lanes import check_settings, check_side_by_side, find_lanes
from jtransfer.train.logs.progress import progress_bar
from jtransfer.train.placement import Placement
from jtransfer.train.step_parts import StepParts
from jtransfer.train.training import LaneValidate, Observe, Training
from jtransfer.transfer.settings import Settings

# They are counted in 32 bits on the devices.
MOST_STEPS = 2**31 - 1

Validate = Callable[[Mapping[str, Any]], dict[str, float]]


def total_steps(config: Config, examples: int) -> int:
    """Optimiser updates that the configuration asks for on a training part of that size."""
    updates = config.train.epochs * examples / config.data.batch_size
    # Rounded first: 1.1 epochs of 100 examples are 11 batches of 10, not the 12 that 11.000000000000002 would give.
    steps = config.train.steps or max(1, math.ceil(round(updates, 6)))
    if steps > MOST_STEPS:
        raise UserError(
            f'{steps:,} steps are more than the {MOST_STEPS:,} there can be; lower train.epochs or train.steps'
        )
    return steps


def epoch_steps(config: Config, examples: int) -> int:
    """Optimiser updates in one pass over a training part of that size."""
    return math.ceil(examples / config.data.batch_size)


def fit(
    parts: StepParts,
    variables: Mapping[str, Any],
    make_feed: FeedMaker,
    placement: Placement,
    *,
    validate: Validate | None = None,
    observe: Observe | None = None,
    run_dir: str | Path | None = None,
    title: str = '',
) -> FitResult:
    """Trains.

    Args:
        parts: network, preprocessing, plan and settings.
        variables: where training starts; left untouched.
        make_feed: gives the batches from a step on.
        placement: the devices.
        validate: scores variables; see `deciding` for what chooses the best checkpoint. None: the last state is taken.
        observe: told the step and the scores of every validation; what it raises ends the training.
        run_dir: where metrics and checkpoints go; a checkpoint found there is resumed. None: nothing is written.
        title: what the progress bar is called. Empty: the configuration's name.

    Raises:
        TrainingDivergedError: the loss, a gradient or a parameter became NaN or infinite.
        UserError: a checkpoint that does not fit, or a batch that does not share out over the devices.
        Stopped: a signal arrived; the step was finished, and is saved. Without `run_dir` a signal is not waited for.
    """
    placement.check_batch_size(parts.config.data.batch_size, parts.config.optim.accumulate_steps)
    scores = None if validate is None else lambda lane, variables: validate(variables)
    run_dirs = [run_dir] if run_dir else None
    title = title or parts.config.name
    (result,) = _train(
        parts, variables, make_feed, placement, scores, observe, run_dirs, title=title, settings=[parts.settings]
    )
    return result


def fit_lanes(
    parts: StepParts,
    variables: Mapping[str, Any],
    make_feed: FeedMaker,
    placement: LanePlacement,
    *,
    validate: LaneValidate | None = None,
    run_dirs: Sequence[str | Path] | None = None,
    settings: Sequence[Settings] | None = None,
) -> tuple[FitResult, ...]:
    """Trains several lanes side by side, each from the same variables.

    Args:
        parts: network, preprocessing, plan and settings, of every lane alike: so is the number of steps.
        variables: where every lane starts; left untouched.
        make_feed: gives the batches of all lanes from a step on, see `fold_feed`.
        placement: the devices, and how many lanes there are.
        validate: scores a lane's variables, given its number from 0; see `deciding` for what chooses the lane's best
            checkpoint. None: the last states are taken.
        run_dirs: where metrics and checkpoints of each lane go; checkpoints found there are resumed. None: nothing is
            written.
        settings: the numbers of each lane, in order: `StepParts.settings` of parts that differ from `parts` in numbers
            alone. None: all have those of `parts`.

    Returns:
        What each lane leaves; `seconds` is the time that all of them took together.

    Raises:
        TrainingDivergedError: the loss, a gradient or a parameter of some lanes became NaN or infinite. The message
            names them; the others are saved at the step where it was noticed, these with their last good state.
        UserError: see `check_side_by_side`, or a checkpoint that does not fit.
        ValueError: settings of another number of lanes, or with other terms.
        Stopped: see `fit`.
    """
    check_side_by_side(parts)
    title = f'{parts.config.name}, {placement.lanes} folds'
    if settings is None:
        settings = [parts.settings] * placement.lanes
    check_settings(parts, settings, placement.lanes)
    return _train(parts, variables, make_feed, placement, validate, None, run_dirs, title=title, settings=settings)


def _train(
    parts: StepParts,
    variables: Mapping[str, Any],
    make_feed: FeedMaker,
    placement: Placement,
    validate: LaneValidate | None,
    observe: Observe | None,
    run_dirs: Sequence[str | Path] | None,
    *,
    title: str,
    settings: Sequence[Settings],
) -> tuple[FitResult, ...]:
    """The loop; see `fit` and `fit_lanes`. What is told to `observe` is of the only lane."""
    with contextlib.ExitStack() as closing:
        if run_dirs is not None:
            closing.enter_context(stopping.finishing())
        lanes = find_lanes(parts, variables, placement, run_dirs, closing)
        written = run_dirs is not None
        training = Training(parts, variables, placement, lanes, validate, observe, settings=settings, written=written)
        training.begin(make_feed)
        closing.callback(close_feed, training.feed)
        show, end = parts.config.train.progress, training.calendar.end
        bar = closing.enter_context(progress_bar(title, end, start=training.start, show=show))
        for step in range(training.first, end + 1):
            if step > training.start:
                training.update(step)
            training.join((step, False))
            if training.calendar.tells(step):
                bar(step, training.look(step))
            else:
                training.join((step, True))
                bar(step)
            if run_dirs is not None and stopping.asked():
                stopping.stop(training.save())
    return training.results()
