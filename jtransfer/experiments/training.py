"""From a model, the parts of a data set and a plan to a trained model: feeds, devices, validation and the loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jtransfer.augment.pipeline import make_augment
from jtransfer.config import Config
from jtransfer.data.memory import ELSEWHERE, Decoded
from jtransfer.data.parts import Parts
from jtransfer.errors import UserError
from jtransfer.evaluate.forward import make_forward
from jtransfer.experiments.feeding import make_feed, read_training
from jtransfer.experiments.leak_note import leaks
from jtransfer.experiments.reading import Examples, read_examples
from jtransfer.experiments.safely import checkpoints_saved
from jtransfer.experiments.scoring import score
from jtransfer.experiments.standardise import standardise, without_scaling
from jtransfer.out_of_memory import memory_told
from jtransfer.pretrained import heads
from jtransfer.pretrained.model import Model
from jtransfer.tasks.choose_loss import task_losses
from jtransfer.tasks.criterion import make_criterion
from jtransfer.tasks.labels import Labels, tasks_of
from jtransfer.train.lane import FitResult
from jtransfer.train.loop import Observe, Validate, epoch_steps, fit, total_steps
from jtransfer.train.memory_check import check_device_room, step_remedy
from jtransfer.train.placement import make_placement
from jtransfer.train.sizes import at_size, check_sizes
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.plan import Plan


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model, and how it came about.

    Attributes:
        model: the network with the chosen variables, and the scaling of the numbers that it predicts.
        fit: what the loop returned.
        examples: how many images were trained on.
        skipped: ids of the unreadable training and validation images that were left out.
        copies: how many images of a held-out part have a copy among those, by part, where it was looked for.
    """

    model: Model
    fit: FitResult
    examples: int
    skipped: tuple[str, ...]
    copies: Mapping[str, int] = dataclasses.field(default_factory=dict)


def train_model(
    model: Model,
    parts: Parts,
    plan: Plan,
    config: Config,
    *,
    run_dir: str | Path | None = None,
    observe: Observe | None = None,
    ready: Callable[[], None] = lambda: None,
    title: str = '',
    held_out: Mapping[str, Examples] | None = None,
    say: Callable[[str], None] | None = None,
) -> Trained:
    """Trains a model on the training part, choosing the best checkpoint by the validation part if there is one.

    Args:
        model: where training starts; left untouched.
        parts: training and validation parts.
        plan: which parameters move.
        config: everything else.
        run_dir: where metrics and checkpoints go. None: nothing is written.
        observe: told the step and the scores of every validation; what it raises ends the training.
        ready: called when every image has been read and nothing stands in the way of the first step.
        title: what the progress bar is called. Empty: the configuration's name.
        held_out: what else is scored, read, by part.
        say: told of copies of held-out images in the training part. None: they are not looked for.

    Raises:
        UserError: an unreadable image, a batch size that does not share out, or data of other tasks than the model's.
        TrainingDivergedError: the loss or a gradient became NaN or infinite.
    """
    validated = parts.validation is not None
    check_tasks(model, parts)
    model, parts = standardise(model, parts)
    labels = parts.train.labels
    make_step_parts(model, plan, config, len(parts.train), labels=labels, validated=validated)
    placement = make_placement(config.train.placement)
    placement.check_batch_size(config.data.batch_size, config.optim.accumulate_steps)
    read = read_training(parts.train, model.preprocessing, config)
    if read.kept == 'device' and isinstance(read.examples, Decoded):
        check_device_room(read.examples.images.nbytes, placement.devices, 'the training images on a device', ELSEWHERE)
    count, skipped, validate = len(read.examples), read.skipped, None
    held_out = dict(held_out or {})
    if parts.validation is not None:
        validation = read_examples(parts.validation, model.preprocessing, config)
        held_out['validation'] = validation
        skipped += validation.skipped
        validate = make_validator(validation, model, config)
    # Again: unreadable images may have been left out.
    step_parts = make_step_parts(model, plan, config, count, labels=labels)
    copies: Mapping[str, int] = {}
    if say is not None:
        copies, lines = leaks(read.examples, held_out, model.preprocessing, config)
        for line in lines:
            say(line)
    ready()
    with checkpoints_saved(config), memory_told('while training', step_remedy(config)):
        result = fit(
            step_parts,
            model.variables,
            make_feed(read, model.preprocessing, config, placement),
            placement,
            validate=validate,
            observe=observe,
            run_dir=run_dir,
            title=title,
        )
    return Trained(dataclasses.replace(model, variables=result.variables), result, count, skipped, copies)


def check_tasks(model: Model, parts: Parts) -> None:
    """Raises `UserError` for a model without a head, or with heads for something else than the data are about."""
    if not model.tasks:
        raise UserError('the network has no head to train: load_model(…, class_names=data.class_names) makes one')
    own, theirs = model.tasks, tasks_of(parts.train)
    if heads.plain(own) and heads.plain(theirs):
        return
    if not heads.matches(own, theirs):
        raise UserError(
            f'the data are for {heads.in_words(theirs)}, and the network has heads for {heads.in_words(own)}: '
            'load_model(…, tasks=data.tasks) makes the right ones'
        )


def make_step_parts(
    model: Model,
    plan: Plan,
    config: Config,
    examples: int,
    *,
    labels: Labels | None = None,
    validated: bool = True,
) -> StepParts:
    """What the training step is made of.

    Args:
        model: the network, and where training starts.
        plan: which parameters move.
        config: everything else.
        examples: how many images there are to train on.
        labels: of the training part, by which `loss.class_balance` weighs the classes. None: they weigh alike, which
            changes no shape and no cost.
        validated: whether there is a validation part.

    Raises:
        UserError: phases that do not fit the length of the training or wait for a missing validation, a loss that does
            not fit the network, sizes that it does not take, augmentation that does not fit its input, or a batch of a
            single value for batch normalisation.
    """
    check_sizes(model.network, model.variables, model.preprocessing, config.augment.sizes)
    _check_statistics(model, config, plan)
    length = total_steps(config, examples), epoch_steps(config, examples)
    if config.train.stop_step > length[0]:
        raise UserError(f'train.stop_step={config.train.stop_step} is beyond the {length[0]} steps of the training')
    sizes = config.augment.sizes
    if config.augment.size_schedule == 'progressive' and length[0] < len(sizes):
        raise UserError(f'augment.sizes: {len(sizes)} sizes one after another need as many steps, not {length[0]}')
    losses = task_losses(config.loss, model.tasks, labels)
    criterion = make_criterion(model.tasks, losses, config.optim.label_smoothing)
    parts = StepParts(model.network, model.preprocessing, plan, config, criterion, *length)
    for preprocessing in (model.preprocessing, *(at_size(model.preprocessing, size) for size in sizes)):
        make_augment(config.augment, preprocessing, parts.outputs)
    if parts.timetable.waits and not validated:
        raise UserError(
            'the strategy unfreezes when validation stalls, and there is no validation part: set '
            'data.validation_fraction, or transfer.unfreeze_every, a number of steps'
        )
    return parts


def _check_statistics(model: Model, config: Config, plan: Plan) -> None:
    """Raises `UserError` where batch normalisation would see a single value, before anything is written."""
    if config.data.batch_size > config.optim.accumulate_steps:
        return  # two images or more have statistics, however small they are by the last stage
    own = model.preprocessing
    for preprocessing in [at_size(own, size) for size in config.augment.sizes] or [own]:
        jax.eval_shape(
            lambda variables, images, key: model.network.apply(
                variables,
                images,
                train=True,
                frozen=plan.frozen_modules,
                mutable=['batch_stats'],
                rngs={'dropout': key},
            ),
            model.variables,
            jax.ShapeDtypeStruct((1, *preprocessing.shape, preprocessing.channels), jnp.float32),
            jax.random.key(0),
        )


def make_validator(examples: Examples, model: Model, config: Config) -> Validate:
    """What scores variables on the validation part while training.

    Args:
        examples: of the part as `standardise` gave it, read.
        model: the network; numbers are compared as it is trained on them, so that the losses of both parts compare.
        config: of the run.
    """
    forward, bare = make_forward(model.network, model.preprocessing), without_scaling(model)

    def validate(variables: Mapping[str, Any]) -> dict[str, float]:
        found: dict[str, float] = score(
            bare, examples, config, variables=variables, forward=forward
        ).metrics.validation()
        return found

    return validate
