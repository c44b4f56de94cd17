"""A hold-out of whole groups, with the classes in proportion."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Int64

# Keeps the draw independent of other generators that start from the same seed.
_STREAM = 3

# Searches, each from a random beginning: fewer where there are so many groups that any comes near.
_DRAWS, _MANY_GROUPS = 16, 4000
_TINY = 1e-9


def hold_groups(
    labels: Int32[np.ndarray, ' n'] | Float32[np.ndarray, 'n classes'],
    member: Int64[np.ndarray, ' n'],
    fraction: float,
    seed: int,
) -> Bool[np.ndarray, ' n'] | None:
    """Which examples to hold out, whole groups only.

    What is made small is the squared error of the share of all examples, plus the mean of those of the classes' shares:
    groups are looked at in a random order and held out where that helps, then moved one at a time for as long as that
    helps; the best of several such searches is taken. No class is held out whole.

    Args:
        labels: class numbers, or 0 and 1 for each of several labels.
        member: group of every example, from 0.
        fraction: share to hold out, in (0, 1).
        seed: of the draw, ≥ 0.

    Returns:
        True for what is held out; None where no group can be, for each has a class that no other has.
    """
    from scipy import sparse

    classes = np.unique(labels, return_inverse=True)[1] if labels.ndim == 1 else None
    of, label = (np.arange(len(labels)), classes) if classes is not None else np.nonzero(labels > 0)
    width = labels.shape[1] if classes is None else classes.max() + 1
    counts = sparse.csr_array((np.ones(len(of)), (member[of], label)), shape=(member.max() + 1, width))
    total = np.maximum(counts.sum(axis=0), 1)
    columns = [np.bincount(member)[:, None] / len(member), counts / (total * math.sqrt(len(total)))]
    shares = sparse.csr_array(sparse.hstack(columns, format='csr'))
    whole = np.asarray(shares.sum(axis=0))
    generator = np.random.default_rng((seed, _STREAM))
    draws = max(1, min(_DRAWS, _MANY_GROUPS // shares.shape[0]))
    found = [_search(shares, whole, fraction, generator) for _ in range(draws)]
    best = min(found, key=lambda result: result[1])
    return best[0][member] if best[0].any() else None


def _search(
    shares: Any, whole: Float[np.ndarray, ' columns'], fraction: float, generator: np.random.Generator
) -> tuple[Bool[np.ndarray, ' groups'], float]:
    """A choice of groups, better than any that differs in one of them, and its squared error.

    Args:
        shares: sparse [groups, columns], what a group adds to each of the sums that are to be `fraction * whole`.
        whole: sums over all groups. None but 0 may be reached.
        fraction: to hold out.
        generator: of the order in which groups are first looked at.
    """
    start, column, value = shares.indptr, shares.indices, shares.data
    row = np.repeat(np.arange(shares.shape[0]), np.diff(start))
    squared = np.bincount(row, value**2)
    held = np.zeros(shares.shape[0], bool)
    error, most = -fraction * whole, (1 - fraction) * whole - _TINY
    for group in generator.permutation(len(held)):
        entries = slice(start[group], start[group + 1])
        after = error[column[entries]] + value[entries]
        # The error squared becomes smaller where its middle, half-way to the change, points the other way.
        if value[entries] @ (error[column[entries]] + after) < 0 and (after < most[column[entries]]).all():
            held[group] = True
            error[column[entries]] = after
    while True:
        change = squared + np.where(held, -2, 2) * (shares @ error)
        change[~held & (np.bincount(row, error[column] + value >= most[column]) > 0)] = np.inf
        if held.sum() == 1:
            change[held] = np.inf
        group = np.argmin(change)
        if change[group] == np.inf or (change[group] > -_TINY and held.any()):
            return held, float(error @ error)
        entries = slice(start[group], start[group + 1])
        error[column[entries]] += np.where(held[group], -1, 1) * value[entries]
        held[group] = not held[group]
