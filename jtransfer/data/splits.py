"""Draws of examples by class: stratified hold-out and few-shot. Pure functions of the labels and the seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32, Int64

from jtransfer.errors import UserError

# Keeps the few-shot draw independent of other generators that start from the same seed.
_FEW_SHOT_STREAM = 1


def hold_out(
    labels: Int32[np.ndarray, ' n'], fraction: float, seed: int, class_names: Sequence[str], what: str
) -> tuple[Int64[np.ndarray, ' kept'], Int64[np.ndarray, ' held']]:
    """Holds out a share of the examples, every class in proportion (scikit-learn's `StratifiedShuffleSplit`).

    Args:
        labels: class numbers.
        fraction: share to hold out, in (0, 1); the number is rounded up, as scikit-learn does.
        seed: of the draw, ≥ 0.
        class_names: in label order, for errors.
        what: what the held-out examples are for ('validation'), for errors.

    Returns:
        Positions kept and positions held out, each ascending.

    Raises:
        UserError: a class has a single example, or fewer examples than classes would be held out or kept.
    """
    from sklearn.model_selection import StratifiedShuffleSplit

    counts = np.bincount(labels, minlength=len(class_names))
    if len(single := np.flatnonzero(counts == 1)):
        raise UserError(
            f"class '{class_names[single[0]]}' has 1 example: too few to hold some out for {what}; "
            f'add examples or set data.{what}_fraction=0'
        )
    try:
        splitter = StratifiedShuffleSplit(n_splits=1, test_size=fraction, random_state=seed)
        kept, held = next(splitter.split(np.zeros(len(labels)), labels))
    except ValueError:
        raise UserError(
            f'holding out {fraction:g} of {len(labels)} examples for {what} leaves a part with fewer examples than '
            f'the {np.count_nonzero(counts)} classes; change data.{what}_fraction'
        ) from None
    return np.sort(kept), np.sort(held)


def few_shot(
    labels: Int32[np.ndarray, ' n'], per_class: int, seed: int, class_names: Sequence[str]
) -> Int64[np.ndarray, ' drawn']:
    """Draws the same number of examples of every class.

    A larger draw with the same seed contains the smaller one, so that learning curves compare like with like.

    Args:
        labels: class numbers.
        per_class: examples to draw of each class, ≥ 1.
        seed: of the draw, ≥ 0.
        class_names: in label order.

    Returns:
        Positions, ascending.

    Raises:
        UserError: a class has fewer examples.
    """
    drawn = []
    for label, class_name in enumerate(class_names):
        members = np.flatnonzero(labels == label)
        if len(members) < per_class:
            raise UserError(
                f"data.examples_per_class={per_class}, but class '{class_name}' has only {len(members)} examples "
                'to draw from'
            )
        generator = np.random.default_rng((seed, _FEW_SHOT_STREAM, label))
        drawn.append(generator.permutation(members)[:per_class])
    return np.sort(np.concatenate(drawn))
