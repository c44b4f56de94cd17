"""The training loop over several folds at once: what `loop.fit` does with each of them, in step with one another.

Each fold writes the metrics and checkpoints that it would write alone, so that it can be resumed together with the
others or alone. Folds that were left off at different steps go on from the earliest of these, and the others wait,
each until the training comes to where it stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jtransfer import stopping
from jtransfer.errors import TrainingDivergedError, UserError
from jtransfer.train.feed import FeedMaker, close_feed
from jtransfer.train.fold_placement import FoldPlacement
from jtransfer.train.fold_run import FoldRun, find_fold
from jtransfer.train.log_values import log_values
from jtransfer.train.loop import FitResult
from jtransfer.train.progress import progress_bar
from jtransfer.train.sizes import step_size, steps_by_size
from jtransfer.train.state import TrainState, next_phase
from jtransfer.train.step_parts import StepParts

FoldValidate = Callable[[int, Mapping[str, Any]], dict[str, float]]


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


def fit_folds(
    parts: StepParts,
    variables: Mapping[str, Any],
    make_feed: FeedMaker,
    placement: FoldPlacement,
    *,
    validate: FoldValidate | None = None,
    run_dirs: Sequence[str | Path] | None = None,
) -> tuple[FitResult, ...]:
    """Trains all folds, each from the same variables.

    Args:
        parts: network, preprocessing, plan and settings, of every fold alike: so is the number of steps.
        variables: where every fold starts; left untouched.
        make_feed: gives the batches of all folds from a step on, see `fold_feed`.
        placement: the devices.
        validate: scores a fold's variables, given its number from 0; see `deciding` for what chooses the fold's best
            checkpoint. None: the last states are taken.
        run_dirs: where metrics and checkpoints of each fold go; checkpoints found there are resumed. None: nothing is
            written.

    Returns:
        What each fold leaves; `seconds` is the time that all of them took together.

    Raises:
        TrainingDivergedError: the loss, a gradient or a parameter of some folds became NaN or infinite. The message
            names them; the others are saved at the step where it was noticed, these with their last good state.
        UserError: see `check_side_by_side`, or a checkpoint that does not fit.
    """
    check_side_by_side(parts)
    config, total, timetable = parts.config, parts.total_steps, parts.timetable
    end = config.train.stop_step or total
    evaluate_every = config.train.evaluate_every or max(1, total // 10)
    checkpoint_every = config.train.checkpoint_every or max(1, total // 10)
    with contextlib.ExitStack() as closing:
        if run_dirs is not None:
            closing.enter_context(stopping.finishing())
        # Also when training is interrupted: what is being written is then complete, and whoever resumes finds it.
        folds = _find_folds(parts, variables, placement.folds, run_dirs, closing)
        start, complete = min(fold.left_off for fold in folds)
        parts = _at(parts, start if complete else start - 1)
        states: Sequence[TrainState] = _going_on(folds, (start, complete), ())
        train_step = steps_by_size(placement, parts, states[0].trainable)
        state = placement.put_states(states)
        feed = make_feed(start)
        closing.callback(close_feed, feed)
        done = start
        pending: list[tuple[int, dict[str, Any]]] = []
        began = logged = time.perf_counter()
        title = f'{config.name}, {len(folds)} folds'
        bar = closing.enter_context(progress_bar(title, end, start=start, show=config.train.progress))

        def save(*, due: bool = False) -> str:
            """Saves whatever was done last, and says what; for a signal that ends the training."""
            seconds, states = time.perf_counter() - logged, placement.get_states(state)
            for fold, rows, own in _rows(pending, folds, seconds, done):
                if not all(row['finite'] for row in rows):
                    raise _diverged([(fold, states[fold.number])], parts)
                fold.save_stopped(states[fold.number], rows, own, due=due)
            return f'step {done} of {end} of {len(folds)} folds' if done else ''

        def when(save: stopping.Save) -> contextlib.AbstractContextManager[None]:
            return stopping.interruptible(save) if run_dirs is not None else contextlib.nullcontext()

        for step in range(start + complete, end + 1):
            size = step_size(config.augment, config.seed, step - 1, total)
            if step > start:
                with when(save):
                    batch, make_step = next(feed), train_step(size)
                    make_step.prepare(state, batch)
                state, metrics = make_step(state, batch)
                pending.append((step, metrics))
            done = step
            if any(fold.state is not None and fold.left_off == (step, False) for fold in folds):
                state = placement.put_states(_going_on(folds, (step, False), placement.get_states(state)))
            last = step == end
            evaluates = validate is not None and (last or step % evaluate_every == 0)
            saves = run_dirs is not None and (last or step % checkpoint_every == 0)
            changes = step in timetable.planned
            joins = any(fold.start == step for fold in folds)
            if not (last or evaluates or saves or changes or step % config.train.log_every == 0):
                if joins:
                    state = placement.put_states(_going_on(folds, (step, True), placement.get_states(state)))
                bar(step)
                if run_dirs is not None and stopping.asked():
                    stopping.stop(save())
                continue

            lines = _lines(pending, folds, config.data.batch_size, time.perf_counter() - logged, step)
            failed = {number for number, values in lines.items() if not values.pop('finite')}
            going = [fold for fold in folds if fold.number in lines.keys() - failed]
            states = placement.get_states(state) if evaluates or saves or changes or joins or failed else ()
            found = {}
            if evaluates and validate is not None:
                # All before one is taken note of: where a signal comes in between, none of them has been made.
                with when(functools.partial(save, due=True)) if not failed else contextlib.nullcontext():
                    for fold in going:
                        # On one device, the same for every fold: the caller's program is then compiled once.
                        single = jax.device_put(states[fold.number].variables(), placement.devices[0])
                        found[fold.number] = validate(fold.number, single)
            pending = []
            for fold in going:
                values = lines[fold.number]
                if size:
                    values['train/image_size'] = size
                if scores := found.get(fold.number):
                    values |= {f'validation/{name}': score for name, score in scores.items()}
                    fold.scored(scores, step, states[fold.number])
                fold.write(step, values)
            text = _text([lines[fold.number] for fold in going])
            if changes:
                parts = _at(parts, step)
                fresh = _on_host(parts.start(variables))
                states = _in_next_phase(states, going, fresh, step)
                text += f'  now training {parts.current.trained()}'
            if saves or failed:
                for fold in going:
                    fold.save(states[fold.number])
            if failed:
                raise _diverged([(fold, states[fold.number]) for fold in folds if fold.number in failed], parts)
            if changes or joins:
                states = _going_on(folds, (step, True), states)
                if changes:
                    train_step = steps_by_size(placement, parts, states[0].trainable)
                state = placement.put_states(states)
            logged = time.perf_counter()
            bar(step, text)
            if run_dirs is not None and stopping.asked():
                stopping.stop(save())
        finals = placement.get_states(state)
        seconds = time.perf_counter() - began
    return tuple(
        fold.result(final, seconds, validated=validate is not None) for fold, final in zip(folds, finals, strict=True)
    )


def _find_folds(
    parts: StepParts,
    variables: Mapping[str, Any],
    count: int,
    run_dirs: Sequence[str | Path] | None,
    closing: contextlib.ExitStack,
) -> list[FoldRun]:
    """Every fold as it was left off; nothing is written before all of them have been found to fit."""

    @functools.cache
    def fresh(starts: tuple[int, ...]) -> TrainState:
        return _on_host(dataclasses.replace(parts, starts=starts).start(variables))

    directories = [Path(run_dir) for run_dir in run_dirs] if run_dirs is not None else [None] * count
    if len(directories) != count:
        raise ValueError(f'{len(directories)} run directories for {count} folds')
    folds = []
    for number, run_dir in enumerate(directories):
        folds.append(find_fold(number, parts, fresh, run_dir))
        closing.callback(folds[-1].close)
    for fold, run_dir in zip(folds, directories, strict=True):
        if run_dir:
            fold.open_log(run_dir, parts.config)
    return folds


def _at(parts: StepParts, step: int) -> StepParts:
    """The parts of the phase that the step after that many updates belongs to."""
    return dataclasses.replace(parts, starts=tuple(start for start in parts.timetable.planned if start <= step))


def _going_on(folds: Sequence[FoldRun], moment: tuple[int, bool], states: Sequence[TrainState]) -> list[TrainState]:
    """What the folds go on with after a step: those that stopped there join in with the state they were left with.

    Folds that stopped later still wait. Something has to stand in their place on the devices, whatever becomes of it.

    Args:
        folds: all of them.
        moment: optimiser updates made, and whether what follows the last one is done, see `FoldRun.left_off`.
        states: on the devices, of the phase that begins now.
    """
    found: dict[int, TrainState] = {}
    for fold in folds:
        if fold.left_off <= moment:
            found[fold.number] = states[fold.number] if fold.state is None else fold.state
            fold.state = None
    stand_in = next(iter(found.values()))
    return [found.get(fold.number, stand_in) for fold in folds]


def _in_next_phase(
    states: Sequence[TrainState], going: Sequence[FoldRun], fresh: TrainState, step: int
) -> tuple[TrainState, ...]:
    after = list(states)
    for fold in going:
        after[fold.number] = _on_host(next_phase(states[fold.number], fresh))
        fold.progress = fold.progress.next_phase(step)
    return tuple(after)


def _on_host(state: TrainState) -> TrainState:
    """So that no device holds what is only the beginning of a fold or of a phase."""
    return jax.tree.map(np.asarray, state)


def _rows(
    pending: Sequence[tuple[int, Mapping[str, Any]]], folds: Sequence[FoldRun], seconds: float, step: int
) -> Iterator[tuple[FoldRun, list[Mapping[str, float]], float]]:
    """The folds that are trained at a step, with their metrics that no line has yet, and how long these steps took."""
    rows = jax.device_get(list(pending))
    for fold in folds:
        own = [{k: float(v[fold.number]) for k, v in row.items()} for at, row in rows if at > fold.start]
        if fold.state is None and fold.left_off < (step, True):
            yield fold, [*fold.pending, *own], fold.seconds + seconds * len(own) / max(1, len(rows))


def _lines(
    pending: Sequence[tuple[int, Mapping[str, Any]]],
    folds: Sequence[FoldRun],
    batch_size: int,
    seconds: float,
    step: int,
) -> dict[int, dict[str, Any]]:
    """By number, what `log_values` has to say about the folds that were trained in these steps."""
    lines = {}
    for fold, rows, own in _rows(pending, folds, seconds, step):
        lines[fold.number] = log_values(rows, batch_size, own)
    return lines


def _text(lines: Sequence[Mapping[str, float]]) -> str:
    """Behind the progress bar: means over the folds."""
    texts = []
    for name, title, form in (
        ('train/loss', 'loss', '.3f'),
        ('train/accuracy', 'accuracy', '.1%'),
        ('validation/top1', 'validation', '.1%'),
        ('validation/score', 'validation', '.3f'),
    ):
        values = [line[name] for line in lines if name in line]
        if values:
            texts.append(f'{title} {np.mean(values):{form}}')
    return '  '.join(texts)


def _diverged(failed: Sequence[tuple[FoldRun, TrainState]], parts: StepParts) -> TrainingDivergedError:
    """Saves the last good states, to which the steps kept, and says what happened."""
    told = []
    for fold, state in failed:
        where = fold.save(state)
        saved = f' (the state before it is saved in {where})' if where else ''
        told.append(f'in fold {fold.number} at step {int(state.step) + 1}{saved}')
    return TrainingDivergedError(
        f'the loss, a gradient or a parameter stopped being finite {" and ".join(told)}. A lower optim.learning_rate '
        f'(now {parts.config.optim.learning_rate:g}), a longer optim.warmup or optim.clip_norm=1 helps most often.'
    )
