"""Batches as NumPy arrays: shuffled and endless for training, in order and padded for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Int64

from jtransfer.data.decode.memory import Decoded
from jtransfer.data.feed.order import make_order
from jtransfer.data.part import Part
from jtransfer.inputs.prepare import Held, Prepare
from jtransfer.tasks.labels import Labels, take

Batch = dict[str, Any]


def training_batch(
    decoded: Decoded,
    step: int,
    batch_size: int,
    seed: int,
    repeats: int = 1,
    classes: Int32[np.ndarray, ' n'] | None = None,
) -> Batch:
    """The batch of one step: a pure function of the step and the seed.

    Args:
        decoded: the training part.
        step: number of the optimiser update, from 0.
        batch_size: images a step.
        seed: of the order.
        repeats: how often every image comes, see `make_order`.
        classes: of every example, to sample them in turn. None: every image once an epoch.

    Returns:
        `inputs` by field, as `Preprocessor.prepare` gives them, `labels` by task, int32 [batch] (or what the task has),
        `id` int32 (position in the training part) and `epoch` int32, each [batch]; of a source with weights `weight`
        float32 [batch] too.
    """
    index, epoch = make_order(len(decoded), batch_size, seed, repeats, classes)(step)
    return gather_batch(decoded, index, epoch)


def gather_batch(decoded: Decoded, index: Int64[np.ndarray, ' batch'], epoch: Int32[np.ndarray, ' batch']) -> Batch:
    """The batch of the given examples, which are seen in the given epochs; see `training_batch`."""
    return {
        'inputs': {name: rows[index] for name, rows in decoded.inputs.items()},
        **about(decoded.labels, decoded.weights, index, epoch),
    }


def about(
    labels: Labels,
    weights: Float32[np.ndarray, ' n'] | None,
    index: Int64[np.ndarray, ' batch'],
    epoch: Int32[np.ndarray, ' batch'],
) -> Batch:
    """What a training batch says about its examples without decoding them: labels, number, epoch and weight."""
    weight = {} if weights is None else {'weight': weights[index]}
    return {'labels': take(labels, index), 'id': index.astype(np.int32), 'epoch': epoch.astype(np.int32), **weight}


def evaluation_batches(examples: Decoded | Part, batch_size: int, prepare: Prepare | None = None) -> Iterator[Batch]:
    """Every example exactly once, in order; the last batch is padded.

    Args:
        examples: a decoded part, or a part that is decoded on the way.
        batch_size: images a batch.
        prepare: from an example to what evaluation holds of it; needed for a part that is not decoded.

    Yields:
        `inputs` by field, `labels` by task, int32 [batch] (or what the task has), and `mask` bool [batch], False for
        padding.
    """
    labels = examples.labels
    for start in range(0, len(examples), batch_size):
        chosen = range(start, min(start + batch_size, len(examples)))
        if isinstance(examples, Decoded):
            inputs = {name: rows[chosen.start : chosen.stop] for name, rows in examples.inputs.items()}
        elif prepare is None:
            raise TypeError('a part that is not decoded needs to be told how to prepare examples')
        else:
            inputs = stacked([prepare(examples[i]) for i in chosen])
        padding = batch_size - len(chosen)
        yield {
            'inputs': {name: _padded(values, padding) for name, values in inputs.items()},
            'labels': {name: _padded(values[chosen.start : chosen.stop], padding) for name, values in labels.items()},
            'mask': np.arange(batch_size) < len(chosen),
        }


def stacked(examples: Sequence[Held]) -> Held:
    """What is held of several examples, as one batch."""
    return {name: np.stack([held[name] for held in examples]) for name in examples[0]}


def _padded(values: np.ndarray, padding: int) -> np.ndarray:
    return np.pad(values, ((0, padding), *[(0, 0)] * (values.ndim - 1)))
