"""The order of training examples: a pure function of the seed and the step."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Int32, Int64


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


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    permutation = np.random.default_rng((seed, epoch)).permutation(num_examples)
    permutation.flags.writeable = False
    return permutation
