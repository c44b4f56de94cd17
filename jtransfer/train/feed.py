"""Training batches on the devices: from examples held there, or streamed from the host."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jtransfer.data.decode.mapped import Rows
from jtransfer.data.feed.batches import about
from jtransfer.data.feed.order import make_order
from jtransfer.tasks.labels import Labels
from jtransfer.train.placement import Placement

Feed = Iterator[dict[str, Any]]


def device_feed(
    inputs: Mapping[str, Rows],
    labels: Labels,
    *,
    batch_size: int,
    seed: int,
    start_step: int,
    placement: Placement,
    repeats: int = 1,
    classes: Int[np.ndarray, ' examples'] | None = None,
    weights: Float[np.ndarray, ' examples'] | None = None,
) -> Feed:
    """Endless training batches from decoded examples, which are copied to every device once.

    Args:
        inputs: all training examples as they are held, by field.
        labels: by task, their class numbers or whatever the task has.
        batch_size: global batch size.
        seed: of the order and the augmentation.
        start_step: the first step to give a batch for.
        placement: where batches go.
        repeats: how often every image comes, see `make_order`.
        classes: of every example, to sample them in turn. None: every image once an epoch.
        weights: how much every example counts in the loss. None: batches say nothing of it.
    """
    resident = held_everywhere(inputs, placement)
    order = make_order(len(next(iter(inputs.values()))), batch_size, seed, repeats, classes)
    for step in itertools.count(start_step):
        index, epoch = order(step)
        yield placement.gather(
            resident,
            {
                'index': index,
                **about(labels, weights, index, epoch),
                **_scalars(seed, step),
            },
        )


def held_everywhere(inputs: Mapping[str, Rows], placement: Placement) -> dict[str, Any]:
    """What is held, by field, as a copy on every device."""
    return {name: placement.put_everywhere(np.asarray(rows)) for name, rows in inputs.items()}


def stream_feed(
    batches: Iterator[Mapping[str, Any]], *, seed: int, start_step: int, placement: Placement, ahead: int = 2
) -> Feed:
    """Training batches from a host iterator, `ahead` of them on their way to the devices while one is in use.

    Args:
        batches: this process's rows of each, such as `stream_batches` and `host_batches` give.
        seed: of the augmentation.
        start_step: the step of the first batch.
        placement: where batches go.
        ahead: how many batches.
    """
    queue: list[dict[str, Any]] = []
    for step, batch in zip(itertools.count(start_step), batches, strict=False):
        queue.append(placement.put_batch({**batch, **_scalars(seed, step)}))
        if len(queue) > ahead:
            yield queue.pop(0)
    yield from queue


def _scalars(seed: int, step: int) -> dict[str, Any]:
    return {'seed': np.uint32(seed), 'step': np.int32(step)}


def close_feed(feed: Feed) -> None:
    """Ends what a feed has at work, decoding processes for instance; iterators that have nothing pass."""
    if close := getattr(feed, 'close', None):
        close()


FeedMaker = Callable[[int], Feed]
