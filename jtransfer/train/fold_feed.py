"""Training batches for folds side by side: each fold its own examples in its own order."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int64

from jtransfer.data.decode.mapped import Rows
from jtransfer.data.feed.batches import about
from jtransfer.data.feed.order import Order
from jtransfer.tasks.labels import Labels
from jtransfer.train.feed import Feed, held_everywhere
from jtransfer.train.lane_placement import LanePlacement


@dataclasses.dataclass(frozen=True, eq=False)
class FoldExamples:
    """The training part of a fold, its examples named by where they are among those of all folds.

    Attributes:
        positions: of the examples, in the order of the training part.
        labels: by task, class numbers or whatever the task has, in that order too.
        order: which of them make up the batch of a step, see `make_order`.
        weights: how much every example counts in the loss. None: batches say nothing of it; the same in every fold.
    """

    positions: Int64[np.ndarray, ' n']
    labels: Labels
    order: Order
    weights: Float[np.ndarray, ' n'] | None = None


def fold_feed(
    inputs: Mapping[str, Rows],
    folds: Sequence[FoldExamples],
    *,
    seed: int,
    start_step: int,
    placement: LanePlacement,
) -> Feed:
    """Endless batches from decoded examples of all folds, which are copied to every device once.

    A fold's batches are those of `device_feed` on its training part alone.

    Args:
        inputs: all examples that any fold trains on as they are held, by field.
        folds: the training part of each.
        seed: of the augmentation, the same in every fold.
        start_step: the first step to give a batch for.
        placement: where batches go.
    """
    resident = held_everywhere(inputs, placement)
    for step in itertools.count(start_step):
        batches = []
        for fold in folds:
            index, epoch = fold.order(step)
            batches.append(
                {
                    'index': fold.positions[index],
                    **about(fold.labels, fold.weights, index, epoch),
                }
            )
        yield placement.gather(resident, _stacked(batches, seed, step))


def _stacked(batches: Sequence[Mapping[str, Any]], seed: int, step: int) -> dict[str, Any]:
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *[dict(batch) for batch in batches])
    return {**stacked, 'seed': np.uint32(seed), 'step': np.int32(step)}
