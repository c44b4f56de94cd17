"""A model on a part of a data set: every example once, its metrics and its logits."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jtransfer.config import Config
from jtransfer.data.batches import evaluation_batches
from jtransfer.data.memory import Decoded, decode_part, readable_part
from jtransfer.data.parts import Part
from jtransfer.evaluate.evaluator import predict_logits
from jtransfer.evaluate.forward import Forward, make_forward
from jtransfer.evaluate.metrics import Metrics, classification_metrics
from jtransfer.evaluate.views import Views, average_views
from jtransfer.preprocessing import Pixels, Preprocessing
from jtransfer.pretrained.model import Model
from jtransfer.train.progress import progress_bar

MIB = 2**20
MANY = 2000  # images: a second or two


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """The readable images of a part, framed for evaluation.

    Attributes:
        held: decoded in memory where they fit the budget, else a part to decode on the way.
        pixels: from a picture to the network's square, or to those of all its views.
        ids: names of the examples.
        skipped: ids of unreadable images that were left out.
    """

    held: Decoded | Part
    pixels: Views
    ids: tuple[str, ...]
    skipped: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """What a model did on a part: metrics, and logits, labels and ids in the part's order."""

    metrics: Metrics
    logits: Float[np.ndarray, 'example classes']
    labels: Int[np.ndarray, ' example']
    ids: tuple[str, ...]


def fits_budget(part: Part, pixels: Pixels, config: Config) -> bool:
    """Whether the images of a part are to be decoded once and kept, by `data.placement` and its budget.

    What `pixels` makes of each picture counts, with all its views where there are several.
    """
    if config.data.placement != 'auto':
        return config.data.placement == 'device'
    return pixels(np.zeros((8, 8, 3), np.uint8)).nbytes * len(part) <= config.data.device_budget_mib * MIB


def read_examples(part: Part, preprocessing: Preprocessing, config: Config, views: Views | None = None) -> Examples:
    """Reads every image of a part once, so that whatever is wrong with one shows before anything expensive starts.

    Args:
        part: the labelled images.
        preprocessing: of the network.
        config: how images are read, and how much memory they may take.
        views: of each picture, of `make_views`. None: the plain one, as for validation while training.

    Raises:
        UserError: an unreadable image, unless `data.skip_unreadable` leaves them out, or crops that are alike in every
            picture.
    """
    pixels = views or Views(preprocessing)
    data = config.data
    skipped: tuple[str, ...]
    held: Decoded | Part
    with reading_bar(part, config) as bar:
        if fits_budget(part, pixels, config):
            held = decode_part(part, pixels, data.workers, data.skip_unreadable, bar)
            skipped = held.skipped
        else:
            held, skipped = readable_part(part, data.workers, data.skip_unreadable, bar)
    if pixels.crops > 1 and not pixels.room and all(map(pixels.all_alike, _each_pixels(held, pixels))):
        raise pixels.needless_crops()
    return Examples(held, pixels, held.ids, skipped)


def _each_pixels(held: Decoded | Part, pixels: Pixels) -> Iterator[np.ndarray]:
    if isinstance(held, Decoded):
        yield from held.images
    else:
        yield from (pixels(held[index]['image']) for index in range(len(held)))


@contextlib.contextmanager
def reading_bar(part: Part, config: Config) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for reading a part's images, where there are enough of them to wait for."""
    show = config.train.progress and len(part) >= MANY
    with progress_bar('reading images', len(part), show=show) as bar:
        yield lambda done, total: bar(done, f'{done:,} of {total:,}')


def logits_of(
    model: Model,
    examples: Examples,
    config: Config,
    *,
    variables: Mapping[str, Any] | None = None,
    forward: Forward | None = None,
) -> tuple[Float[np.ndarray, 'example classes'], Int[np.ndarray, ' example']]:
    """The logits and labels of every example; see `score`.

    Of several views of each picture, the logits are the logarithm of their mean probability.
    """
    views = examples.pixels
    run = forward or make_forward(model.network, model.preprocessing, views.flips)
    current = model.variables if variables is None else variables

    def apply(images: np.ndarray) -> Any:
        logits = [run(current, view) for view in views.split(images)]
        return logits[0] if len(logits) == 1 else average_views(*logits)

    return predict_logits(
        apply,
        evaluation_batches(examples.held, config.evaluate.batch_size, examples.pixels),
    )


def score(
    model: Model,
    examples: Examples,
    config: Config,
    *,
    variables: Mapping[str, Any] | None = None,
    forward: Forward | None = None,
) -> Scores:
    """Scores a model.

    Args:
        model: the network.
        examples: what `read_examples` read.
        config: batch size, confidence and calibration bins.
        variables: instead of the model's own.
        forward: the compiled forward pass, where there is one already; of `make_forward`, with `examples.pixels.flips`.
    """
    logits, labels = logits_of(model, examples, config, variables=variables, forward=forward)
    metrics = classification_metrics(
        logits,
        labels,
        model.class_names,
        confidence=config.evaluate.confidence,
        bins=config.evaluate.calibration_bins,
    )
    metrics = dataclasses.replace(metrics, test_time_augmentation=examples.pixels.name)
    return Scores(metrics, logits, labels, examples.ids)
