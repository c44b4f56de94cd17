"""The training loop: steps, and on their way metrics, validation and checkpoints.

Order within a step: the update; the metrics; the validation, which may name a new best; the beginning of a new phase;
the checkpoint. A checkpoint at step n therefore always knows what the validation at step n found and which phase comes
next, and a resumed run repeats nothing but computation.

A run that a signal ends saves a checkpoint wherever it is, with the metrics that no line has yet; where it was at
validation, the checkpoint says so, and whoever resumes begins with that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jtransfer import stopping
from jtransfer.config import Config
from jtransfer.errors import TrainingDivergedError, UserError
from jtransfer.train.checkpoints import Checkpoints
from jtransfer.train.feed import FeedMaker, close_feed
from jtransfer.train.log import MetricLog, line_before, read_log
from jtransfer.train.log_values import in_float32, log_values
from jtransfer.train.placement import Placement
from jtransfer.train.progress import progress_bar
from jtransfer.train.resuming import find_resumed
from jtransfer.train.run_progress import RunProgress
from jtransfer.train.sizes import step_size, steps_by_size
from jtransfer.train.state import TrainState, next_phase
from jtransfer.train.step_parts import StepParts

# They are counted in 32 bits on the devices.
MOST_STEPS = 2**31 - 1

Validate = Callable[[Mapping[str, Any]], dict[str, float]]
Observe = Callable[[int, Mapping[str, float]], None]


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What a training run leaves in memory.

    Attributes:
        state: the last state.
        variables: what to evaluate and save: of the best validation score where there was validation (of equal scores
            the lower loss, of equal losses the latest), else the last; averaged parameters where there is a moving
            average.
        chosen_step: the step they come from.
        best_score: the best validation score, see `deciding`, or None.
        history: the lines of the metrics, in order; of a resumed run all of them.
        seconds: training time of this process, validation and checkpoints included.
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


def total_steps(config: Config, examples: int) -> int:
    """Optimiser updates that the configuration asks for on a training part of that size."""
    updates = config.train.epochs * examples / config.data.batch_size
    # Rounded first: 1.1 epochs of 100 images are 11 batches of 10, not the 12 that 11.000000000000002 would give.
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
    config, total = parts.config, parts.total_steps
    placement.check_batch_size(config.data.batch_size, config.optim.accumulate_steps)
    timetable = parts.timetable
    with contextlib.ExitStack() as closing:
        checkpoints, log = None, None
        if run_dir:
            closing.enter_context(stopping.finishing())
            checkpoints = Checkpoints(Path(run_dir) / 'checkpoints')
            # Also when training is interrupted: what is being written is then complete, and whoever resumes finds it.
            closing.callback(checkpoints.close)
        progress = RunProgress()
        best: TrainState | None = None
        state: TrainState | None = None
        if checkpoints:
            resumed = find_resumed(
                checkpoints, parts, lambda starts: dataclasses.replace(parts, starts=starts).start(variables)
            )
            state, progress, best = resumed.state, resumed.progress, resumed.best
        if state is not None:
            parts = dataclasses.replace(parts, starts=progress.starts)
        state = state or parts.start(variables)
        start = int(state.step)
        due = progress.due  # the validation of the step that was the last one
        if run_dir:
            due_step = line_before(start - len(progress.pending), config)
            log = MetricLog(run_dir, tensorboard=config.train.tensorboard, start_step=start - due, due_step=due_step)
            closing.callback(log.close)

        train_step = steps_by_size(placement, parts, state.trainable)
        state = placement.put_state(state)
        end = config.train.stop_step or total
        evaluate_every = config.train.evaluate_every or max(1, total // 10)
        checkpoint_every = config.train.checkpoint_every or max(1, total // 10)
        feed = make_feed(start)
        closing.callback(close_feed, feed)
        history = read_log(log.path) if log else []
        pending: list[Mapping[str, Any]] = list(progress.pending)
        began = time.perf_counter()
        logged = began - progress.seconds
        progress = progress.on_time()
        done = start  # the step that all of this is after

        def save(*, due: bool = False) -> str:
            """Saves whatever was done last, and says what; for a signal that ends the run."""
            assert state is not None
            if checkpoints and log and done > start:
                rows = _rows(pending)
                if not all(row['finite'] for row in rows):
                    raise _diverged(placement.get_state(state), checkpoints, progress, config)
                now = progress.stopped(rows, time.perf_counter() - logged, due=due)
                checkpoints.save_last(placement.get_state(state), now)
                checkpoints.wait()
                log.flush()
            return f'step {done} of {end}' if done else ''

        def when(save: stopping.Save) -> contextlib.AbstractContextManager[None]:
            return stopping.interruptible(save) if checkpoints else contextlib.nullcontext()

        bar = closing.enter_context(progress_bar(title or config.name, end, start=start, show=config.train.progress))
        for step in range(start + (not due), end + 1):
            size = step_size(config.augment, config.seed, step - 1, total)
            if step > start:
                with when(save):
                    batch, make_step = next(feed), train_step(size)
                    make_step.prepare(state, batch)
                state, metrics = make_step(state, batch)
                pending.append(metrics)
            done = step
            last = step == end
            evaluates = validate is not None and (last or step % evaluate_every == 0)
            saves = checkpoints is not None and (last or step % checkpoint_every == 0)
            changes = step in timetable.planned
            if not (last or evaluates or saves or changes or step % config.train.log_every == 0):
                bar(step)
                if checkpoints and stopping.asked():
                    stopping.stop(save())
                continue

            values = _collect(pending, parts.config.data.batch_size, logged)
            if size:
                values['train/image_size'] = size
            if not values.pop('finite'):
                raise _diverged(placement.get_state(state), checkpoints, progress, config)
            text = f'loss {values["train/loss"]:.3f}'
            if 'train/accuracy' in values:
                text += f'  accuracy {values["train/accuracy"]:.1%}'
            if evaluates and validate is not None:
                single = placement.get_state(state)
                with when(functools.partial(save, due=True)):
                    scores = validate(single.variables())
                values |= {f'validation/{name}': score for name, score in scores.items()}
                score, loss = deciding(scores), scores.get('loss')
                text += f'  validation {score:.1%}' if 'top1' in scores else f'  validation {score:.3f}'
                better = progress.better(score, step, loss)
                progress = progress.after(score, step, loss)
                if better:
                    best = jax.tree.map(np.array, single)
                    if checkpoints:
                        checkpoints.save_best(best, progress)
                if observe:
                    observe(step, scores)
            pending = []
            history.append({'step': step, **values})
            if log:
                log.write(step, values)
            if timetable.begins(progress.starts, step, progress.stalled):
                progress = progress.next_phase(step)
                parts = dataclasses.replace(parts, starts=progress.starts)
                single = next_phase(placement.get_state(state), parts.start(variables))
                train_step = steps_by_size(placement, parts, single.trainable)
                state = placement.put_state(single)
                text += f'  now training {parts.current.trained()}'
            if saves and checkpoints:
                checkpoints.save_last(placement.get_state(state), progress)
            logged = time.perf_counter()
            bar(step, text)
            if checkpoints and stopping.asked():
                stopping.stop(save())
    final = placement.get_state(state)
    chosen = final if validate is None or best is None else best
    return FitResult(
        state=final,
        variables=in_float32(chosen.variables()),
        chosen_step=int(chosen.step),
        best_score=progress.best_score,
        history=history,
        seconds=time.perf_counter() - began,
        starts=progress.starts,
        best_loss=progress.best_loss,
    )


def deciding(scores: Mapping[str, float]) -> float:
    """The score that chooses the best checkpoint: top-1 of one label an image, else whatever the task is scored by."""
    return scores['top1'] if 'top1' in scores else scores['score']


def _rows(pending: list[Mapping[str, Any]]) -> tuple[dict[str, float], ...]:
    """The metrics of steps, on the host; those of a run that is resumed are there already."""
    return tuple({name: float(np.ravel(v)[0]) for name, v in row.items()} for row in jax.device_get(pending))


def _collect(pending: list[Mapping[str, Any]], batch_size: int, since: float) -> dict[str, Any]:
    """What is to be said about the steps since the last line, see `log_values`."""
    rows = _rows(pending)
    # Read after the results have arrived: dispatching a step takes no time.
    return log_values(rows, batch_size, time.perf_counter() - since)


def _diverged(
    state: TrainState, checkpoints: Checkpoints | None, progress: RunProgress, config: Config
) -> TrainingDivergedError:
    """Saves the last good state, to which the step kept, and says what happened."""
    step = int(state.step)
    where = ''
    if checkpoints:
        if checkpoints.last_step != step:
            checkpoints.save_last(state, progress)
        where = f' The state before it is saved in {checkpoints.directory / "last" / str(step)}.'
    return TrainingDivergedError(
        f'the loss, a gradient or a parameter stopped being finite at step {step + 1}.{where} '
        f'A lower optim.learning_rate (now {config.optim.learning_rate:g}), a longer optim.warmup or '
        'optim.clip_norm=1 helps most often.'
    )
