"""Training batches on the devices: from pictures kept there, or streamed from the host."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8

from jtransfer.data.order import example_order
from jtransfer.data.targets import Labels, take
from jtransfer.train.placement import Placement

Feed = Iterator[dict[str, Array]]


def device_feed(
    images: UInt8[np.ndarray, 'examples h w 3'],
    labels: Labels,
    aspects: Float[np.ndarray, ' examples'],
    *,
    batch_size: int,
    seed: int,
    start_step: int,
    placement: Placement,
    repeats: int = 1,
) -> Feed:
    """Endless training batches from decoded pictures, which are copied to every device once.

    Args:
        images: all training pictures.
        labels: their class numbers, or whatever the tasks have.
        aspects: width / height of the originals.
        batch_size: global batch size.
        seed: of the order and the augmentation.
        start_step: the first step to give a batch for.
        placement: where batches go.
        repeats: how often every image comes, see `example_order`.
    """
    resident = jax.device_put(images, placement.replicated)
    for step in itertools.count(start_step):
        index, epoch = example_order(step, batch_size, len(images), seed, repeats)
        yield placement.gather(
            resident,
            {
                'index': index,
                'label': take(labels, index),
                'aspect': aspects[index].astype(np.float32),
                'id': index.astype(np.int32),
                'epoch': epoch.astype(np.int32),
                **_scalars(seed, step),
            },
        )


def stream_feed(
    batches: Iterator[Mapping[str, Any]], *, seed: int, start_step: int, placement: Placement, ahead: int = 2
) -> Feed:
    """Training batches from a host iterator, `ahead` of them on their way to the devices while one is in use."""
    queue: list[dict[str, Array]] = []
    for step, batch in zip(itertools.count(start_step), batches, strict=False):
        queue.append(placement.put_batch({**batch, **_scalars(seed, step)}))
        if len(queue) > ahead:
            yield queue.pop(0)
    yield from queue


def _scalars(seed: int, step: int) -> dict[str, Any]:
    return {'seed': np.uint32(seed), 'step': np.int32(step)}


FeedMaker = Callable[[int], Feed]
