"""From a training part to the batches of its steps: kept on the devices, in a file of decoded pictures, or streamed."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Int32

from jtransfer.config import Config
from jtransfer.data.decode.memory import Decoded
from jtransfer.data.feed.stream import host_batches, stream_batches
from jtransfer.data.part import Part
from jtransfer.data.parts import check_batch_size
from jtransfer.errors import UserError
from jtransfer.experiments.data.read import placement_of, read_decoded, read_through
from jtransfer.inputs.base import Preprocessor
from jtransfer.tasks.labels import strata
from jtransfer.train.feed import Feed, FeedMaker, device_feed, stream_feed
from jtransfer.train.loop import total_steps
from jtransfer.train.placement import Placement


def feeds(
    part: Part, preprocessing: Preprocessor, config: Config, placement: Placement
) -> tuple[int, FeedMaker, tuple[str, ...]]:
    """How many examples there are, what makes the feed from a step on, and the ids of the unreadable images.

    Raises:
        UserError: see `read_training`.
    """
    read = read_training(part, preprocessing, config)
    return len(read.examples), make_feed(read, preprocessing, config, placement), read.skipped


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """A training part, read.

    Attributes:
        examples: its readable images, decoded, or to be decoded on the way.
        kept: where they are, see `placement_of`.
        skipped: ids of the unreadable ones.
    """

    examples: Decoded | Part
    kept: str
    skipped: tuple[str, ...]


def read_training(part: Part, preprocessing: Preprocessor, config: Config) -> Training:
    """Reads the images to train on.

    Raises:
        UserError: an unreadable image, unless `data.skip_unreadable` leaves them out, a cache that cannot be used,
            fewer images than a batch, or `data.sampling=balanced` without classes.
    """
    hold = preprocessing.prepare(config.augment)
    check_sampling(part, config)
    kept = placement_of(part, hold, config)
    examples: Decoded | Part
    if kept == 'stream':
        examples, skipped = read_through(part, config)
    else:
        examples = read_decoded(part, hold, config)
        skipped = examples.skipped
    check_batch_size(config.data.batch_size, len(examples))
    return Training(examples, kept, skipped)


def make_feed(read: Training, preprocessing: Preprocessor, config: Config, placement: Placement) -> FeedMaker:
    """What makes the feed from a step on."""
    hold = preprocessing.prepare(config.augment)
    data, seed, repeats = config.data, config.seed, config.augment.repeats
    examples, kept = read.examples, read.kept
    classes = classes_of(examples) if data.sampling == 'balanced' else None
    total = total_steps(config, len(examples))

    def feed(start: int) -> Feed:
        if kept == 'device' and isinstance(examples, Decoded):
            return device_feed(
                examples.inputs,
                examples.labels,
                batch_size=data.batch_size,
                seed=seed,
                start_step=start,
                placement=placement,
                repeats=repeats,
                classes=classes,
                weights=examples.weights,
            )
        if isinstance(examples, Decoded):
            make = functools.partial(host_batches, examples)
        else:
            make = functools.partial(stream_batches, examples, hold, workers=data.workers)
        batches = make(
            batch_size=data.batch_size,
            seed=seed,
            start_step=start,
            num_steps=total - start,
            repeats=repeats,
            classes=classes,
            process=placement.process,
            processes=placement.processes,
        )
        return stream_feed(batches, seed=seed, start_step=start, placement=placement)

    return feed


def check_sampling(part: Part, config: Config) -> None:
    """Raises `UserError` if classes are to take turns, and no task has one an image."""
    kinds = [task.kind for task in part.tasks]
    if config.data.sampling == 'balanced' and not any(task.exclusive for task in part.tasks):
        raise UserError(
            f'data.sampling=balanced takes turns among classes, of which an image must have one; {", ".join(kinds)} '
            'has not: use data.sampling=uniform'
        )


def classes_of(examples: Decoded | Part) -> Int32[np.ndarray, ' n']:
    """The classes of the first task that has one an image."""
    return strata(examples.labels, [task for task in examples.tasks if task.exclusive])
