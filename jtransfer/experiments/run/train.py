"""From what was prepared to a trained model: feeds, devices, validation and the loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jtransfer.config import Config
from jtransfer.data.decode.memory import ELSEWHERE, Decoded
from jtransfer.evaluate.forward import make_forward
from jtransfer.experiments.data.leak_note import leaks
from jtransfer.experiments.data.read import Examples, read_examples
from jtransfer.experiments.run.feed import make_feed, read_training
from jtransfer.experiments.run.prepare import Prepared
from jtransfer.experiments.run.safely import checkpoints_saved
from jtransfer.experiments.run.score import score
from jtransfer.experiments.run.standardise import standardise, without_scaling
from jtransfer.out_of_memory import memory_told
from jtransfer.pretrained.model import Model
from jtransfer.train.lane import FitResult
from jtransfer.train.loop import Observe, Validate, fit
from jtransfer.train.memory_check import check_device_room, step_remedy
from jtransfer.train.placement import make_placement


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
    prepared: Prepared,
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
        prepared: where training starts, on what and how; left untouched.
        run_dir: where metrics and checkpoints go. None: nothing is written.
        observe: told the step and the scores of every validation; what it raises ends the training.
        ready: called when every image has been read and nothing stands in the way of the first step.
        title: what the progress bar is called. Empty: the configuration's name.
        held_out: what else is scored, read, by part.
        say: told of copies of held-out images in the training part. None: they are not looked for.

    Raises:
        UserError: an unreadable image, or so many that what is left is too little.
        TrainingDivergedError: the loss or a gradient became NaN or infinite.
    """
    config = prepared.config
    model, parts = standardise(prepared.model, prepared.parts)
    placement = make_placement(config.train.placement)
    read = read_training(parts.train, model.preprocessing, config)
    if read.kept == 'device' and isinstance(read.examples, Decoded):
        check_device_room(read.examples.nbytes, placement.devices, 'the training images on a device', ELSEWHERE)
    count, skipped, validate = len(read.examples), read.skipped, None
    held_out = dict(held_out or {})
    if parts.validation is not None:
        validation = read_examples(parts.validation, model.preprocessing, config)
        held_out['validation'] = validation
        skipped += validation.skipped
        validate = make_validator(validation, model, config)
    step_parts = prepared.for_examples(count)  # unreadable images may have been left out
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


def make_validator(examples: Examples, model: Model, config: Config) -> Validate:
    """What scores variables on the validation part while training.

    Args:
        examples: of the part as `standardise` gave it, read.
        model: the network; numbers are compared as it is trained on them, so that the losses of both parts compare.
        config: of the run.
    """
    forward, bare = make_forward(model.network, model.preprocessing), without_scaling(model)

    def validate(variables: Mapping[str, Any]) -> dict[str, float]:
        found: dict[str, float] = score(bare, examples, config, variables=variables, forward=forward).metrics.logged()
        return found

    return validate
