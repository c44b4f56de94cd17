"""Folds of examples with several labels each: iterative stratification, or whole groups in proportion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64

from jtransfer.data.split.group_numbers import group_numbers

# Keeps the draw independent of other generators that start from the same seed.
_STREAM = 2


def multi_label_folds(
    labels: Float[np.ndarray, 'n classes'], folds: int, seed: int, groups: Sequence[str] | None = None
) -> Int64[np.ndarray, ' n']:
    """Number of the fold in which every example is tested; sizes of folds differ by one at most, without groups.

    Args:
        labels: 1 where an example has a label, else 0.
        folds: how many, 2 to the number of examples (of groups, with groups).
        seed: of the draw, ≥ 0.
        groups: a name an example; what has the same one comes into the same fold. None: every example on its own.

    Returns:
        Numbers from 0 to `folds` - 1, each at least once.
    """
    member = group_numbers(groups)
    if member is not None:
        return _group_folds(labels, folds, seed, member)
    share, rest = divmod(len(labels), folds)
    return iterative_stratification(labels, [share + (fold < rest) for fold in range(folds)], seed)


def iterative_stratification(
    labels: Float[np.ndarray, 'n classes'], sizes: Sequence[int], seed: int
) -> Int64[np.ndarray, ' n']:
    """Divides examples into parts that each have nearly the same share of every label.

    The label with the fewest examples left is dealt out first, each of its examples to the part that lacks it most,
    then to the one that lacks examples most, then by lot (Sechidis, Tsoumakas and Vlahavas, 2011, 'On the
    stratification of multi-label data'). Other than there, a part that is full takes no more, so that the sizes are as
    asked for.

    Args:
        labels: 1 where an example has a label, else 0.
        sizes: how many examples each part is to have; their sum is the number of examples.
        seed: of the draw, ≥ 0.

    Returns:
        Number of the part of every example.
    """
    generator = np.random.default_rng((seed, _STREAM))
    has = labels > 0
    room = np.array(sizes)
    lacking = np.outer(room / room.sum(), has.sum(axis=0))
    order = generator.permutation(len(has))
    part = np.full(len(has), -1)
    while (part < 0).any():
        remaining = has[part < 0].sum(axis=0)
        needs, dealt = [room], order[part[order] < 0]
        if remaining.any():
            rarest = np.flatnonzero(remaining == remaining[remaining > 0].min())
            label = rarest[generator.integers(len(rarest))]
            needs, dealt = [lacking[:, label], room], dealt[has[dealt, label]]
        for example in dealt:
            best = np.flatnonzero(room > 0)
            for need in needs:
                best = best[need[best] == need[best].max()]
            chosen = best[generator.integers(len(best))]
            part[example] = chosen
            room[chosen] -= 1
            lacking[chosen] -= has[example]
    return part


def _group_folds(
    labels: Float[np.ndarray, 'n classes'], folds: int, seed: int, member: Int64[np.ndarray, ' n']
) -> Int64[np.ndarray, ' n']:
    """Deals out groups, those with the most of rare labels first, each to the fold that lacks most of what it has.

    Lacking is measured by the shares of all labels and of all examples together: so the sum of their squared errors
    becomes as small as one group can make it. A fold without any group lacks most, whatever a group has.
    """
    generator = np.random.default_rng((seed, _STREAM))
    weight = np.bincount(member)
    counts = np.zeros((len(weight), labels.shape[1]))
    np.add.at(counts, member, labels > 0)
    total = np.maximum(counts.sum(axis=0), 1) * np.sqrt(labels.shape[1])
    shares = np.concatenate([weight[:, None] / len(member), counts / total], axis=1)
    order = generator.permutation(len(weight))
    order = order[np.argsort(-np.square(shares[order]).sum(axis=1), kind='stable')]
    lacking = np.tile(shares.sum(axis=0) / folds, (folds, 1))
    part = np.full(len(weight), -1)
    for group in order:
        need = lacking @ shares[group]
        # Below what one example makes: equal but for rounding.
        best = np.flatnonzero(need > need.max() - 0.5 / len(member) ** 2)
        part[group] = best[generator.integers(len(best))]
        lacking[part[group]] -= shares[group]
    return part[member]
