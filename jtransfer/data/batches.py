"""Batches as NumPy arrays: shuffled and endless for training, in order and padded for evaluation."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from jtransfer.data.memory import Decoded
from jtransfer.data.order import example_order
from jtransfer.data.part import Part
from jtransfer.data.targets import map_labels, stack, take
from jtransfer.preprocessing import Pixels

Batch = dict[str, Any]


def training_batch(decoded: Decoded, step: int, batch_size: int, seed: int, repeats: int = 1) -> Batch:
    """The batch of one step: a pure function of the step and the seed.

    Args:
        decoded: the training part.
        step: number of the optimiser update, from 0.
        batch_size: images a step.
        seed: of the order.
        repeats: how often every image comes, see `example_order`.

    Returns:
        `image` uint8 [batch, s, s, 3], `label` int32, `id` int32 (position in the training part), `epoch` int32 and
        `aspect` float32 (original width / height), each [batch].
    """
    index, epoch = example_order(step, batch_size, len(decoded), seed, repeats)
    return {
        'image': decoded.images[index],
        'label': take(decoded.labels, index),
        'id': index.astype(np.int32),
        'epoch': epoch,
        'aspect': decoded.aspects[index],
    }


def evaluation_batches(examples: Decoded | Part, batch_size: int, pixels: Pixels | None = None) -> Iterator[Batch]:
    """Every example exactly once, in order; the last batch is padded.

    Args:
        examples: a decoded part, or a part that is decoded on the way.
        batch_size: images a batch.
        pixels: from a picture to the network's square, or to the pixels of several views; needed for a part that is not
            decoded.

    Yields:
        `image` uint8 [batch, s, s, 3] (or what `pixels` made of each picture), `label` int32 [batch] and `mask` bool
        [batch], False for padding.
    """
    for start in range(0, len(examples), batch_size):
        chosen = range(start, min(start + batch_size, len(examples)))
        if isinstance(examples, Decoded):
            images, labels = (
                examples.images[chosen.start : chosen.stop],
                take(examples.labels, slice(chosen.start, chosen.stop)),
            )
        else:
            if pixels is None:
                raise TypeError('a part that is not decoded needs the pixels function')
            decoded = [examples[i] for i in chosen]
            images = np.stack([pixels(example['image']) for example in decoded])
            labels = stack([example['label'] for example in decoded])
        padding = batch_size - len(chosen)
        yield {
            'image': _padded(images, padding),
            'label': map_labels(functools.partial(_padded, padding=padding), labels),
            'mask': np.arange(batch_size) < len(chosen),
        }


def _padded(values: np.ndarray, padding: int) -> np.ndarray:
    return np.pad(values, ((0, padding), *[(0, 0)] * (values.ndim - 1)))
