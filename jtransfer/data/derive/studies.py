"""What studies do to a training part on purpose: thin its classes out, make labels wrong, set some apart unlabelled.

Pure functions of the labels and the seed. What a larger degree changes contains what a smaller one does with the same
seed, so that the points of a curve differ in their degree alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, Int64

from jtransfer.checks import one_of
from jtransfer.data.split.multi_label_folds import iterative_stratification
from jtransfer.errors import UserError

# Keep the draws independent of each other and of others that start from the same seed.
_LONG_TAIL_STREAM = 21
_NOISE_STREAM = 22
_UNLABELLED_STREAM = 23


def long_tail(
    labels: Int[np.ndarray, ' n'], ratio: float, seed: int, class_names: Sequence[str]
) -> Int64[np.ndarray, ' kept']:
    """Thins the classes out to sizes that fall exponentially (Cui et al., 2019, "long-tailed CIFAR").

    The classes are put in order by their size, largest first, and by number where it is the same. Class c of C keeps
    n_max * ratio^(-c / (C - 1)) examples, rounded, where n_max is the size of the largest; at least 1, and never more
    than it has. The draw for a larger ratio is contained in that for a smaller one.

    Args:
        labels: class numbers; -1, without a label, is left out.
        ratio: size of the largest class over that of the smallest, ≥ 1.
        seed: of the draw, ≥ 0.
        class_names: in label order.

    Returns:
        Positions, ascending.

    Raises:
        UserError: labels that are not one class an image, a ratio below 1, or a class without examples.
    """
    _one_class(labels, 'imbalance')
    if not 1 <= ratio < float('inf'):
        raise UserError(f'data.imbalance={ratio} must be at least 1')
    sizes = np.bincount(labels[labels >= 0], minlength=len(class_names))
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        raise UserError(f"data.imbalance={ratio:g}: class '{class_names[empty[0]]}' has no examples to thin out")
    order = np.argsort(-sizes, kind='stable')
    kept = []
    for rank, label in enumerate(order.tolist()):
        # A quotient, and not a product with a power below 1, is exact for the smallest class.
        wanted = round(int(sizes.max()) / ratio ** (rank / max(len(order) - 1, 1)))
        generator = np.random.default_rng((seed, _LONG_TAIL_STREAM, label))
        kept.append(generator.permutation(np.flatnonzero(labels == label))[: max(wanted, 1)])
    return np.sort(np.concatenate(kept))


def noisy_labels(
    labels: Int[np.ndarray, ' n'], rate: float, kind: str, seed: int, num_classes: int
) -> tuple[Int32[np.ndarray, ' n'], Bool[np.ndarray, ' n']]:
    """Makes a share of the labels wrong.

    `symmetric`: round(rate * n) of the n examples, whatever their class, get another class, each with equal
    probability (never their own, unlike in some studies). `asymmetric`: of every class, round(rate * n_c) get the next
    one, and those of the last the first (the pair flips of Patrini et al., 2017, in a circle over all classes). A
    larger rate changes what a smaller one does, in the same way, and more.

    Args:
        labels: class numbers; -1, without a label, stays and does not count.
        rate: share of the labels, in [0, 1].
        kind: `symmetric` or `asymmetric`.
        seed: of the draw, ≥ 0.
        num_classes: how many classes there are, ≥ 2.

    Returns:
        The labels, and which of them are wrong.

    Raises:
        UserError: labels that are not one class an image, another kind, a rate outside the range, a single class.
    """
    _one_class(labels, 'label_noise')
    one_of('data.label_noise_kind', kind, ('symmetric', 'asymmetric'))
    if not 0 <= rate <= 1:
        raise UserError(f'data.label_noise={rate} must be between 0 and 1')
    if num_classes < 2:
        raise UserError(f'data.label_noise={rate}: with {num_classes} class there is no wrong label')
    generator = np.random.default_rng((seed, _NOISE_STREAM))
    order = generator.permutation(len(labels))
    steps = generator.integers(1, num_classes, len(labels)) if kind == 'symmetric' else np.ones(len(labels), np.int64)
    changed = np.zeros(len(labels), bool)
    drawn = labels[order]
    for of in [drawn >= 0] if kind == 'symmetric' else [drawn == label for label in range(num_classes)]:
        members = order[of]
        changed[members[: round(rate * len(members))]] = True
    return np.where(changed, (labels + steps) % num_classes, labels).astype(np.int32), changed


def unlabelled(
    labels: Int[np.ndarray, ' n'] | Float32[np.ndarray, 'n classes'], fraction: float, seed: int
) -> tuple[Int64[np.ndarray, ' labelled'], Int64[np.ndarray, ' unlabelled']]:
    """Divides examples into those that keep their labels and those that are used without, every class in proportion.

    Of each class, round(fraction * n_c) are set apart, but never all; a larger fraction sets apart what a smaller one
    does, and more. With several labels an image, round(fraction * n) of all by iterative stratification (Sechidis et
    al., 2011), which does not contain one draw in another.

    Args:
        labels: what `jtransfer.tasks.labels.strata` gives: class numbers, or 0 and 1 for each of several labels.
        fraction: share to set apart, in (0, 1).
        seed: of the draw, 0 to 2³² - 1.

    Returns:
        Positions with labels and positions without, each ascending.

    Raises:
        UserError: a fraction outside the range, or one that leaves one of the two empty.
    """
    if not 0 < fraction < 1:
        raise UserError(f'data.unlabelled_fraction={fraction} must be above 0 and below 1')
    apart = np.zeros(len(labels), bool)
    if labels.ndim > 1:
        number = round(fraction * len(labels))
        if 0 < number < len(labels):
            apart = iterative_stratification(labels, (len(labels) - number, number), seed) == 1
    else:
        for label in np.unique(labels).tolist():
            members = np.flatnonzero(labels == label)
            # The examples without a label, which number -1 would be, count as a class as well.
            generator = np.random.default_rng((seed, _UNLABELLED_STREAM, label + 1))
            apart[generator.permutation(members)[: min(round(fraction * len(members)), len(members) - 1)]] = True
    if not apart.any():
        raise UserError(f'data.unlabelled_fraction={fraction:g} of {len(labels)} training examples sets none apart')
    return np.flatnonzero(~apart), np.flatnonzero(apart)


def _one_class(labels: Any, field: str) -> None:
    if not isinstance(labels, np.ndarray) or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f'data.{field} is for one label an image, not for several labels, numbers or several heads')
