"""Finding the learning rate: training steps on a copy while the rate rises exponentially (Smith, 2017).

The steps are the very ones of the configured run: its plan, augmentation, placement, optimiser and clipping. Only the
schedule is another, and nothing is kept but the losses.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from jtransfer.checks import at_least
from jtransfer.config import Config, to_dict, validate
from jtransfer.data.measurable import check_parts
from jtransfer.data.parts import Parts, load_parts
from jtransfer.data.source import SourceLike
from jtransfer.errors import UserError
from jtransfer.evaluate.write import write_csv
from jtransfer.experiments.data.data_lines import describe_parts
from jtransfer.experiments.inspect.lr_curve import (
    DIVERGED,
    DIVERGENCE,
    END,
    OVERFLOW,
    RangeTest,
    smooth,
    suggest,
)
from jtransfer.experiments.run import feed
from jtransfer.experiments.run.directory import beside_run
from jtransfer.experiments.run.finetune import versions
from jtransfer.experiments.run.prepare import Prepared, prepare
from jtransfer.experiments.run.standardise import standardise
from jtransfer.files.paths import output_folder
from jtransfer.files.writing import atomic_text
from jtransfer.pretrained.model import Model
from jtransfer.train.logs.progress import progress_bar
from jtransfer.train.memory_check import CheckedStep
from jtransfer.train.placement import make_placement
from jtransfer.transfer.plan import Plan
from jtransfer.transfer.schedules import scaled

FEWEST_STEPS = 10
LOWEST, HIGHEST, STEPS = 1e-7, 10.0, 100


def range_test(
    model: Model,
    parts: Parts,
    plan: Plan,
    config: Config,
    *,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    steps: int = STEPS,
    phase: int = 0,
) -> RangeTest:
    """Trains a copy of a model while the learning rate rises from `lowest` to `highest`, and watches the loss.

    It stops when the smoothed loss exceeds four times its best, or when something is no longer finite. (Smith, 2017,
    "Cyclical learning rates for training neural networks"; the exponential ramp, the smoothing and the stop are those
    of fastai.) Warmup, moving average and `augment.sizes` of the configuration have no part in it: the network input
    has the network's own size. Groups and phases keep their factors
    on the learning rate, so that what is measured against is `optim.learning_rate`.

    Args:
        model: where training starts; left untouched.
        parts: their training part is trained on, in the order of the configured run.
        plan: which parameters move.
        config: everything else.
        lowest: learning rate of the first step, > 0.
        highest: learning rate of the last, above `lowest`.
        steps: how many, at least 10.
        phase: of the plan; a later one too starts from `model`, not from what the phases before would leave.

    Raises:
        UserError: a range or a phase that is none, an unreadable image, a batch size that does not share out, or a
            loss that is not finite before anything has moved; a strategy that waits for validation without a
            validation part.
    """
    check_range(lowest, highest, steps)
    check_parts(parts)
    prepared = prepare(config, parts, model=model, plan=plan, evaluated=False)
    return measure(prepared, lowest=lowest, highest=highest, steps=steps, phase=phase)


def measure(
    prepared: Prepared, *, lowest: float = LOWEST, highest: float = HIGHEST, steps: int = STEPS, phase: int = 0
) -> RangeTest:
    """As `range_test`, of a run that is prepared."""
    config, plan = prepared.config, prepared.plan
    if not 0 <= phase < plan.phases:
        raise UserError(f'phase={phase} is none of the plan, which has {plan.phases}, counted from 0')
    placement = make_placement(config.train.placement)
    model, parts = standardise(prepared.model, prepared.parts)
    # A stream of images is as long as the run that it is made for, and its pictures are those for the run's sizes.
    fed = dataclasses.replace(
        config,
        train=dataclasses.replace(config.train, epochs=0, steps=steps),
        augment=dataclasses.replace(config.augment, sizes=()),
    )
    count, make_feed, _ = feed.feeds(parts.train, model.preprocessing, fed, placement)
    step_parts = prepared.for_examples(count)
    step_parts = dataclasses.replace(
        step_parts,
        config=dataclasses.replace(config, optim=dataclasses.replace(config.optim, ema_decay=0.0)),
        starts=(0,) * (phase + 1),
        schedule=scaled(ramp(lowest, highest, steps), step_parts.timetable.factor(phase)),
    )
    state = step_parts.start(model.variables)
    train_step = CheckedStep(placement.compile(step_parts, state.trainable), placement.devices, config)
    state = placement.put_state(state)
    rates = np.geomspace(lowest, highest, steps)
    losses: list[float] = []
    ending = END
    with progress_bar('learning rates', steps, show=config.train.progress) as bar:
        for step, batch in zip(range(steps), make_feed(0), strict=False):
            state, metrics = train_step(state, batch)
            loss, finite = (float(np.ravel(value)[0]) for value in jax.device_get((metrics['loss'], metrics['finite'])))
            if np.isfinite(loss):
                losses.append(loss)
            if not finite:
                ending = OVERFLOW
                break
            smoothed = smooth(np.array(losses))
            bar(step + 1, f'learning rate {rates[step]:.1e}  loss {smoothed[-1]:.3f}')
            if smoothed[-1] > DIVERGED * smoothed.min():
                ending = DIVERGENCE
                break
    if not losses:
        raise UserError('the loss is not finite at the first step, before anything has moved: look at data and weights')
    values = np.array(losses)
    rates = rates[: len(values)]
    return RangeTest(rates, values, smooth(values), ending, suggest(rates, values))


def find(
    config: Config,
    output: str | Path = '',
    source: SourceLike | Mapping[str, SourceLike] | None = None,
    *,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    steps: int = STEPS,
    phase: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[RangeTest, Path]:
    """Makes the range test of a configuration and writes `lr_find.png`, `lr_find.json` and `lr_find.csv`.

    Args:
        config: of the run whose learning rate is sought.
        output: folder of the results, new or empty. Empty: `RUN_DIR-lr_find`, see `beside_run`.
        source: labelled images in memory, instead of `config.data.source`.
        lowest: learning rate of the first step.
        highest: learning rate of the last.
        steps: how many.
        phase: of the strategy's phases, counted from 0.
        say: told, line by line, what is going on.

    Returns:
        What was measured, and the folder.

    Raises:
        UserError: anything the person asked for that cannot be done; nothing has been written then.
    """
    check_range(lowest, highest, steps)
    config = validate(config)
    folder = output_folder(output or beside_run(config, '-lr_find'), empty=True)
    parts = load_parts(config.data, config.seed, source)
    check_parts(parts)
    for line in describe_parts(parts, config.data.source):
        say(line)
    prepared = prepare(config, parts, evaluated=False, say=say)
    found = measure(prepared, lowest=lowest, highest=highest, steps=steps, phase=phase)
    write(folder, found, config, phase)
    return found, folder


def write(folder: Path, found: RangeTest, config: Config, phase: int = 0) -> None:
    """Writes a range test: the curve as `lr_find.csv` and `lr_find.png`, what it says as `lr_find.json`."""
    from jtransfer.experiments.inspect.lr_find_plot import plot  # matplotlib takes a while, and the test does without

    rows = zip(found.learning_rates.tolist(), found.losses.tolist(), found.smoothed.tolist(), strict=True)
    write_csv(folder / 'lr_find.csv', ('learning_rate', 'loss', 'smoothed_loss'), rows)
    plot(folder / 'lr_find.png', found, title=f'{config.name}: {config.optim.name}, {config.transfer.strategy}')
    suggestions = found.suggestions
    record: dict[str, Any] = {
        'suggestion': suggestions and suggestions.valley,
        'suggestions': suggestions and {name: getattr(suggestions, name) for name in ('valley', 'steepest', 'minimum')},
        'summary': found.summary(),
        'ending': found.ending,
        'steps': len(found.losses),
        'phase': phase,
        'lowest_smoothed_loss': float(found.smoothed.min()),
        'config': to_dict(config),
        'versions': versions(),
    }
    with atomic_text(folder / 'lr_find.json') as file:
        json.dump(record, file, indent=2, allow_nan=False)
        file.write('\n')


def check_range(lowest: float, highest: float, steps: int) -> None:
    """Raises `UserError` for a range of learning rates that is none, or too few steps to see anything."""
    if not 0 < lowest < highest < np.inf:
        raise UserError(f'lowest={lowest:g} and highest={highest:g} must be two learning rates, 0 < lowest < highest')
    at_least('steps', steps, FEWEST_STEPS)


def ramp(lowest: float, highest: float, steps: int) -> optax.Schedule:
    """The learning rate by step: exponential, `lowest` at step 0 and `highest` at step `steps` - 1."""
    return optax.exponential_decay(lowest, transition_steps=steps - 1, decay_rate=highest / lowest)
