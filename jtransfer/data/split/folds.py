"""Folds for cross-validation, by scikit-learn's splitters where it has them.

Pure functions of labels, groups and seed.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float32, Int32, Int64

from jtransfer import checks
from jtransfer.config.crossval import SPLITTERS
from jtransfer.data.split.group_numbers import group_numbers
from jtransfer.data.split.multi_label_folds import multi_label_folds
from jtransfer.errors import UserError

_GROUPED = ('grouped', 'stratified_grouped', 'leave_one_group_out')


@dataclasses.dataclass(frozen=True, eq=False)
class Fold:
    """One division of examples.

    Attributes:
        repeat: number of the repeat that it belongs to, from 0.
        number: among the folds of the repeat, from 0.
        train: positions to train on, ascending.
        test: positions to test on, ascending.
    """

    repeat: int
    number: int
    train: Int64[np.ndarray, ' train']
    test: Int64[np.ndarray, ' test']


def choose_splitter(
    splitter: str,
    labels: Int32[np.ndarray, ' n'] | Float32[np.ndarray, 'n classes'],
    groups: Sequence[str] | None = None,
) -> str:
    """The splitter that `auto` stands for; any other as it is.

    Several labels an example: `multi_label`, which keeps groups whole too. Several strata: `stratified`, or
    `stratified_grouped` where a group has two examples or more. One stratum: `k_fold` or `grouped`.
    """
    checks.one_of('crossval.splitter', splitter, SPLITTERS)
    if splitter != 'auto':
        return splitter
    if labels.ndim > 1:
        return 'multi_label'
    grouped = group_numbers(groups) is not None
    if len(np.unique(labels)) > 1:
        return 'stratified_grouped' if grouped else 'stratified'
    return 'grouped' if grouped else 'k_fold'


def make_folds(
    labels: Int32[np.ndarray, ' n'] | Float32[np.ndarray, 'n classes'],
    *,
    splitter: str,
    folds: int,
    repeats: int,
    seed: int,
    groups: Sequence[str] | None = None,
    class_names: Sequence[str] = (),
    field: str = 'crossval.folds',
) -> tuple[Fold, ...]:
    """Divides examples into folds, each tested once a repeat.

    `k_fold` and `stratified` are scikit-learn's `RepeatedKFold` and `RepeatedStratifiedKFold`, whose first repeat is
    its `KFold` or `StratifiedKFold` with `shuffle=True` and the same seed. `grouped` and `stratified_grouped` are its
    `GroupKFold` and `StratifiedGroupKFold` with `shuffle=True`, and `multi_label` is
    `jtransfer.data.split.multi_label_folds`; of these a repeat has the seed `seed + repeat`. `leave_one_group_out` is
    `LeaveOneGroupOut`: as many folds as groups, in the order of their names, whatever `folds` and `seed` say.

    Args:
        labels: what `jtransfer.tasks.labels.strata` gives: class numbers, or 0 and 1 for each of several labels. A
            number that has no name in `class_names` stands for examples without a label.
        splitter: one of `SPLITTERS`, `auto` excepted; see `choose_splitter`.
        folds: how many, ≥ 2.
        repeats: of the whole division, each by another draw, ≥ 1.
        seed: of the draws, 0 to 2³² - 1.
        groups: a name an example; what has the same one is not divided. None: every example on its own.
        class_names: in label order, for errors. Empty: every number is a class.
        field: that says how many, for errors.

    Returns:
        The folds of the first repeat, then those of the next.

    Raises:
        UserError: fewer examples or groups than folds; a class with fewer examples than folds where they are
            stratified, or that only one example or group has; groups that the splitter would divide; a splitter for
            groups where there are none, or for another form of labels; repeats that would all be the same.
    """
    _check_form(labels, splitter, groups)
    folds = _check_numbers(len(labels), splitter, folds, groups, field)
    if splitter in ('stratified', 'stratified_grouped', 'multi_label'):
        _check_classes(labels, splitter, folds, groups, class_names, field)
    with warnings.catch_warnings():
        # Only of examples without a label can there be fewer than folds here, and that is no concern.
        warnings.filterwarnings('ignore', message='The least populated class', category=UserWarning)
        divisions = list(_divisions(labels, splitter, folds, repeats, seed, groups))
    made = tuple(
        Fold(index // folds, index % folds, np.asarray(train, np.int64), np.asarray(test, np.int64))
        for index, (train, test) in enumerate(divisions)
    )
    ways = {frozenset(fold.test.tobytes() for fold in made if fold.repeat == repeat) for repeat in range(repeats)}
    if repeats > 1 and len(ways) == 1 and splitter not in ('k_fold', 'stratified'):
        raise UserError(
            f'crossval.repeats={repeats}, but crossval.splitter={splitter} divides these examples the same way every '
            'time: leave crossval.repeats at 1'
        )
    return made


def _divisions(
    labels: np.ndarray, splitter: str, folds: int, repeats: int, seed: int, groups: Sequence[str] | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from sklearn import model_selection

    names = None if groups is None else np.asarray(tuple(groups))
    blank = np.zeros(len(labels))
    if splitter == 'k_fold':
        yield from model_selection.RepeatedKFold(n_splits=folds, n_repeats=repeats, random_state=seed).split(blank)
        return
    if splitter == 'stratified':
        repeated = model_selection.RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
        yield from repeated.split(blank, labels)
        return
    for repeat in range(repeats):
        state = (seed + repeat) % 2**32
        if splitter == 'multi_label':
            number = multi_label_folds(labels, folds, state, groups)
            yield from ((np.flatnonzero(number != fold), np.flatnonzero(number == fold)) for fold in range(folds))
        elif splitter == 'leave_one_group_out':
            yield from model_selection.LeaveOneGroupOut().split(blank, groups=names)
        elif splitter == 'grouped':
            grouped = model_selection.GroupKFold(folds, shuffle=True, random_state=state)
            yield from grouped.split(blank, groups=names)
        else:
            both = model_selection.StratifiedGroupKFold(folds, shuffle=True, random_state=state)
            yield from both.split(blank, labels, names)


def _check_form(labels: np.ndarray, splitter: str, groups: Sequence[str] | None) -> None:
    """Raises `UserError` where the splitter is for another form of labels, or of groups."""
    checks.one_of('crossval.splitter', splitter, [name for name in SPLITTERS if name != 'auto'])
    said = f'crossval.splitter={splitter}'
    if splitter in ('stratified', 'stratified_grouped') and labels.ndim > 1:
        raise UserError(f'{said} is for one class an example, and these have several labels: use multi_label')
    if splitter == 'multi_label' and labels.ndim == 1:
        raise UserError(f'{said} is for several labels an example, and these have one class each: use stratified')
    if splitter in _GROUPED and groups is None:
        other = 'stratified' if splitter == 'stratified_grouped' else 'k_fold'
        raise UserError(
            f'{said} needs groups, and there are none: name their column in data.group_column, or use {other}'
        )
    numbers = group_numbers(groups)
    if splitter in ('k_fold', 'stratified') and groups is not None and numbers is not None:
        counts = np.bincount(numbers)
        largest = int(np.argmax(counts[numbers]))
        other = 'stratified_grouped' if splitter == 'stratified' else 'grouped'
        raise UserError(
            f"{said} would divide groups, such as '{groups[largest]}' of {counts.max()} examples: use {other}, or "
            'data.duplicates=report where the groups are duplicates that may be divided'
        )


def _check_numbers(examples: int, splitter: str, folds: int, groups: Sequence[str] | None, field: str) -> int:
    """The number of folds, or `UserError` where there are fewer examples or groups."""
    number = examples if groups is None else len(set(groups))
    if splitter == 'leave_one_group_out':
        if number < 2:
            raise UserError('crossval.splitter=leave_one_group_out needs two groups or more, and there is one')
        return number
    if examples < folds:
        raise UserError(f'{field}={folds} needs as many examples, and there are {examples}')
    if number < folds and (splitter in _GROUPED or splitter == 'multi_label'):
        what = f'use at most {number} folds' if number > 1 else 'there is nothing to divide'
        raise UserError(
            f'{field}={folds}, but the {examples} examples are of {number} groups, which are kept whole: {what}'
        )
    return folds


def _check_classes(
    labels: np.ndarray,
    splitter: str,
    folds: int,
    groups: Sequence[str] | None,
    class_names: Sequence[str],
    field: str,
) -> None:
    """Raises `UserError` for the first class that cannot be in the training part of every fold, or is too small."""
    member = group_numbers(groups)
    width = labels.shape[1] if labels.ndim > 1 else int(labels.max()) + 1
    of, label = (np.arange(len(labels)), labels) if labels.ndim == 1 else np.nonzero(labels > 0)
    examples = np.bincount(label, minlength=width)
    items = examples
    if member is not None:
        pairs = np.unique(np.stack([member[of], label]), axis=1)
        items = np.bincount(pairs[1], minlength=width)
    least = 2 if splitter == 'multi_label' else folds
    for number in np.flatnonzero((examples > 0) & ((items < 2) | (examples < least))).tolist():
        if class_names and number >= len(class_names):
            continue
        name, count = class_names[number] if class_names else number, examples[number]
        if count == 1:
            raise UserError(
                f"class '{name}' has 1 example, so that no fold can both train on it and test it: add examples, or "
                'leave the class out (data.classes)'
            )
        if items[number] < 2:
            raise UserError(
                f"all {count} examples of class '{name}' are of one group, so that the fold that tests them has none "
                'to train on: add groups, or leave the class out (data.classes)'
            )
        raise UserError(
            f"class '{name}' has {count} examples, too few for {field}={folds}: use at most {count} folds, add "
            f'examples, or set crossval.splitter={"grouped" if splitter == "stratified_grouped" else "k_fold"}'
        )
