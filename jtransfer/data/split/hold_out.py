"""Draws of examples: hold-out in proportion, by whole groups if there are any, and few-shot.

Pure functions of the labels, the groups and the seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int32, Int64

from jtransfer.data.split.group_hold_out import hold_groups
from jtransfer.data.split.group_numbers import group_numbers
from jtransfer.data.split.multi_label_folds import iterative_stratification
from jtransfer.errors import UserError

# Keeps the few-shot draw independent of other generators that start from the same seed.
_FEW_SHOT_STREAM = 1


def hold_out(
    labels: Int32[np.ndarray, ' n'] | Float32[np.ndarray, 'n classes'],
    fraction: float,
    seed: int,
    class_names: Sequence[str],
    what: str,
    groups: Sequence[str] | None = None,
    settings: str = 'data',
) -> tuple[Int64[np.ndarray, ' kept'], Int64[np.ndarray, ' held']]:
    """Holds out a share of the examples, every class in proportion.

    One class an example: scikit-learn's `StratifiedShuffleSplit`, or its `ShuffleSplit` where all are of one stratum.
    Several labels: iterative stratification (Sechidis et al., 2011). The number held out is rounded up, as scikit-learn
    does. With groups: whole groups, so chosen that the share of all examples and those of the classes are as near to
    the fraction as a search from several random beginnings finds; no class is held out whole, so that one that is in
    one group only is kept.

    Args:
        labels: what `jtransfer.tasks.labels.strata` gives: class numbers, or 0 and 1 for each of several labels.
        fraction: share to hold out, in (0, 1).
        seed: of the draw, 0 to 2³² - 1.
        class_names: in label order, for errors.
        what: what the held-out examples are for ('validation'), for errors.
        groups: a name an example; what has the same one is not divided. None: every example on its own.
        settings: the part of the configuration whose `WHAT_fraction` is the share, for errors.

    Returns:
        Positions kept and positions held out, each ascending.

    Raises:
        UserError: a class has a single example, fewer examples than classes would be held out or kept, or no group can
            be held out.
    """
    field = f'{settings}.{what}_fraction'
    member = group_numbers(groups)
    if groups is not None and member is not None:
        held = hold_groups(labels, member, fraction, seed)
        if held is None:
            reason = 'have a class that no other group has' if member.any() else f"are one group ('{groups[0]}')"
            which = 'all groups' if member.any() else f'all {len(member)} examples'
            raise UserError(f'{which} {reason}: none can be held out for {what}; set {field}=0')
        return np.flatnonzero(~held), np.flatnonzero(held)
    if labels.ndim == 1 and len(np.unique(labels)) > 1:
        return _hold_stratified(labels, fraction, seed, class_names, what, field)
    number = math.ceil(fraction * len(labels))
    if not 0 < number < len(labels):
        raise UserError(
            f'holding out {fraction:g} of {len(labels)} examples for {what} leaves none to train on; change {field}'
        )
    if labels.ndim > 1:
        part = iterative_stratification(labels, (len(labels) - number, number), seed)
        return np.flatnonzero(part == 0), np.flatnonzero(part == 1)
    from sklearn.model_selection import ShuffleSplit

    kept, held = next(ShuffleSplit(n_splits=1, test_size=fraction, random_state=seed).split(labels))
    return np.sort(kept), np.sort(held)


def _hold_stratified(
    labels: Int32[np.ndarray, ' n'], fraction: float, seed: int, class_names: Sequence[str], what: str, field: str
) -> tuple[Int64[np.ndarray, ' kept'], Int64[np.ndarray, ' held']]:
    from sklearn.model_selection import StratifiedShuffleSplit

    counts = np.bincount(labels, minlength=len(class_names))
    single = np.flatnonzero(counts == 1)
    if len(single) and single[0] < len(class_names):
        raise UserError(
            f"class '{class_names[single[0]]}' has 1 example: too few to hold some out for {what}; "
            f'add examples or set {field}=0'
        )
    if len(single):  # The only example without a label is no stratum: it goes with those of the largest class.
        labels = np.where(labels == single[0], np.argmax(counts), labels)
    try:
        splitter = StratifiedShuffleSplit(n_splits=1, test_size=fraction, random_state=seed)
        kept, held = next(splitter.split(np.zeros(len(labels)), labels))
    except ValueError:
        raise UserError(
            f'holding out {fraction:g} of {len(labels)} examples for {what} leaves a part with fewer examples than '
            f'the {np.count_nonzero(counts)} classes; change {field}'
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
        UserError: a class has fewer examples, or an example several labels.
    """
    if labels.ndim != 1:
        raise UserError(
            f'data.examples_per_class={per_class} draws examples of one class each, and these have several labels: '
            'set it to 0'
        )
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
