"""The order of training examples: a pure function of the seed and the step; and which of them a process reads."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Int, Int32, Int64

from jtransfer.data.feed.balanced_order import BalancedOrder
from jtransfer.errors import UserError

# From a step to the positions of its examples in the training part, int64 [batch], and their epochs, int32 [batch].
Order: TypeAlias = Callable[[int], tuple[np.ndarray, np.ndarray]]


def make_order(
    num_examples: int, batch_size: int, seed: int, repeats: int = 1, labels: Int[np.ndarray, ' n'] | None = None
) -> Order:
    """The order of a training part, to be asked for one step after another; picklable.

    Args:
        num_examples: in the training part.
        batch_size: examples a step, of all processes together.
        seed: of the order, ≥ 0.
        repeats: how often every example comes, ≥ 1.
        labels: class number of every example, for the classes to take turns: see `balanced_order`. None: every example
            once an epoch, see `example_order`.

    Raises:
        UserError: the labels are not one class an example.
        ValueError: labels of another number of examples.
    """
    if labels is None:
        return functools.partial(
            example_order, batch_size=batch_size, num_examples=num_examples, seed=seed, repeats=repeats
        )
    order = BalancedOrder.of(batch_size, labels, seed, repeats)
    if len(labels) != num_examples:
        raise ValueError(f'{len(labels)} labels for {num_examples} examples')
    return order


def process_rows(batch_size: int, process: int, processes: int) -> slice:
    """Which rows of the global batch a process reads: a block each, in the order of the processes.

    Args:
        batch_size: examples a step, of all processes together.
        process: which one, from 0.
        processes: how many there are, ≥ 1.

    Raises:
        UserError: the batch cannot be shared out evenly.
    """
    rows, left = divmod(batch_size, processes)
    if left:
        raise UserError(
            f'data.batch_size={batch_size} must be a multiple of the {processes} processes; '
            f'{(rows + 1) * processes} would do'
        )
    return slice(process * rows, (process + 1) * rows)


def example_order(
    step: int, batch_size: int, num_examples: int, seed: int, repeats: int = 1
) -> tuple[Int64[np.ndarray, ' batch'], Int32[np.ndarray, ' batch']]:
    """Which examples make up the batch of a step, in an endless sequence of shuffled epochs.

    Batches straddle epochs, so that every example is seen exactly once an epoch and no step has a smaller batch.

    With repeats, every example of that sequence comes several times in a row (repeated augmentation: Hoffer et al.,
    2020, "Augment your batch"; Berman et al., 2019, "MultiGrain"). As many steps then see a `repeats`-th of the
    examples. The copies may straddle batches too.

    Args:
        step: number of the optimiser update, from 0.
        batch_size: examples a step.
        num_examples: in the training part.
        seed: of the order; epoch e is shuffled by a generator seeded with (seed, e).
        repeats: how often every example comes, ≥ 1.

    Returns:
        Position of every example in the training part, and the epoch (from 0) it is seen in. With repeats, copy r of
        an example in epoch e counts as seen in epoch e * `repeats` + r, so that each is augmented in its own way.
    """
    position = step * batch_size + np.arange(batch_size, dtype=np.int64)
    visit, copy = np.divmod(position, repeats)
    epoch, within = np.divmod(visit, num_examples)
    index = np.empty(batch_size, np.int64)
    for e in np.unique(epoch):
        index[epoch == e] = _permutation(seed, int(e), num_examples)[within[epoch == e]]
    return index, (epoch * repeats + copy).astype(np.int32)


@functools.lru_cache(maxsize=16)
def _permutation(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    permutation = np.random.default_rng((seed, epoch)).permutation(num_examples)
    permutation.flags.writeable = False
    return permutation
