"""Tests of jtransfer/data/split/folds.py."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import model_selection as sk

from jtransfer.config.crossval import SPLITTERS
from jtransfer.data.split.folds import choose_splitter, make_folds
from jtransfer.errors import UserError

NAMES = ('a', 'b', 'c')
KINDS = [splitter for splitter in SPLITTERS if splitter != 'auto']
GROUPED = ('grouped', 'stratified_grouped', 'leave_one_group_out')


def _inputs(splitter, seed=0, folds=2):
    """Labels and groups that every splitter can divide: classes of at least `folds` images, in two groups or more."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(3), generator.integers(2 * folds, 20, 3))).astype(np.int32)
    if splitter == 'multi_label':
        labels = (generator.random((len(labels), 3)) < 0.4).astype(np.float32)
        labels[:2] = 1
    groups = [f'group {number}' for number in generator.integers(0, 4 + folds, len(labels))]
    first = labels if labels.ndim == 1 else labels.argmax(axis=1)
    for label in range(3):  # The first two of a class are of two groups, and all groups exist.
        for index, position in enumerate(np.flatnonzero(first == label)[: 4 + folds]):
            groups[position] = f'group {(index + label) % (4 + folds)}'
    return labels, groups if splitter in GROUPED else None


def _make(splitter, labels, groups, **changes):
    options = {'folds': 3, 'repeats': 1, 'seed': 0, 'class_names': NAMES, **changes}
    return make_folds(labels, splitter=splitter, groups=groups, **options)


def _same(ours, theirs):
    theirs = list(theirs)
    assert len(ours) == len(theirs)
    for fold, (train, test) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(fold.train, train)
        np.testing.assert_array_equal(fold.test, test)


def _plain(folds):
    return [(fold.repeat, fold.number, fold.train.tolist(), fold.test.tolist()) for fold in folds]


@pytest.mark.parametrize('splitter', KINDS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), folds=st.integers(2, 5), repeats=st.integers(1, 3))
def test_folds_are_disjoint_and_cover_everything_once_a_repeat(splitter, seed, folds, repeats):
    labels, groups = _inputs(splitter, seed, folds)
    if splitter in ('leave_one_group_out', 'stratified_grouped'):  # Repeats may be the same.
        repeats = 1
    made = _make(splitter, labels, groups, folds=folds, repeats=repeats, seed=seed)
    number = len(set(groups)) if splitter == 'leave_one_group_out' else folds
    assert [(f.repeat, f.number) for f in made] == [(r, n) for r in range(repeats) for n in range(number)]
    for fold in made:
        assert fold.train.dtype == fold.test.dtype == np.int64
        assert len(fold.test)
        np.testing.assert_array_equal(np.sort(np.concatenate([fold.train, fold.test])), np.arange(len(labels)))
        if groups is not None:
            assert not {groups[i] for i in fold.train} & {groups[i] for i in fold.test}
    for repeat in range(repeats):
        tested = np.concatenate([fold.test for fold in made if fold.repeat == repeat])
        np.testing.assert_array_equal(np.sort(tested), np.arange(len(labels)))
    assert _plain(_make(splitter, labels, groups, folds=folds, repeats=repeats, seed=seed)) == _plain(made)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(2, 6), st.lists(st.integers(0, 30), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_class_shares_are_within_one_example_of_ideal(folds, more, seed):
    counts = np.array(more) + folds
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)
    for fold in make_folds(labels, splitter='stratified', folds=folds, repeats=2, seed=seed):
        tested = np.bincount(labels[fold.test], minlength=len(counts))
        assert ((tested == counts // folds) | (tested == -(-counts // folds))).all()


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 3), st.integers(2, 4))
def test_folds_are_those_of_scikit_learn(seed, folds):
    labels, _ = _inputs('stratified', seed, folds)
    groups = _inputs('grouped', seed, folds)[1]
    blank = np.zeros(len(labels))
    options = {'folds': folds, 'seed': seed}
    plain = {'shuffle': True, 'random_state': seed}
    repeated = {'n_splits': folds, 'n_repeats': 3, 'random_state': seed}
    _same(_make('k_fold', labels, None, **options), sk.KFold(folds, **plain).split(blank))
    _same(_make('k_fold', labels, None, **options, repeats=3), sk.RepeatedKFold(**repeated).split(blank))
    _same(_make('stratified', labels, None, **options), sk.StratifiedKFold(folds, **plain).split(blank, labels))
    _same(
        _make('stratified', labels, None, **options, repeats=3),
        sk.RepeatedStratifiedKFold(**repeated).split(blank, labels),
    )
    for splitter, cls in (('grouped', sk.GroupKFold), ('stratified_grouped', sk.StratifiedGroupKFold)):
        pairs = [f'group {index // 2}' for index in range(len(labels))]
        made = _make(splitter, labels, pairs, **options, repeats=2)
        for repeat in range(2):
            theirs = cls(folds, shuffle=True, random_state=seed + repeat).split(blank, labels, pairs)
            _same([fold for fold in made if fold.repeat == repeat], theirs)
        theirs = cls(folds, shuffle=True, random_state=seed).split(blank, labels, groups)
        _same(_make(splitter, labels, groups, **options), theirs)
    _same(_make('leave_one_group_out', labels, groups, **options), sk.LeaveOneGroupOut().split(blank, labels, groups))


@pytest.mark.parametrize('splitter', [kind for kind in KINDS if kind != 'leave_one_group_out'])
def test_seeds_and_repeats_differ_and_zero_is_a_seed(splitter):
    labels, groups = _inputs(splitter)
    if groups is not None:  # Of groups that all differ in size scikit-learn stratifies in one way only.
        groups = [f'group {index // 2}' for index in range(len(labels))]
    draws = [_plain(_make(splitter, labels, groups, seed=seed)) for seed in (0, 1, 2, 0)]
    assert draws[0] == draws[3]
    assert len({str(draw) for draw in draws}) == 3
    first, second = (
        [fold.test.tolist() for fold in _make(splitter, labels, groups, repeats=2) if fold.repeat == repeat]
        for repeat in range(2)
    )
    assert first == [test for *_, test in draws[0]]
    assert first != second
    _make(splitter, labels, groups, repeats=2, seed=2**32 - 1)


def test_another_process_makes_the_same_folds():
    script = """
import numpy as np
from jtransfer.data.split.folds import make_folds
from jtransfer.data.split.hold_out import hold_out
generator = np.random.default_rng(3)
labels = (np.arange(60) % 3).astype(np.int32)
several = (generator.random((60, 3)) < 0.4).astype(np.float32)
groups = [f'group {number}' for number in generator.permutation(60) // 4]
for splitter in ('k_fold', 'stratified', 'grouped', 'stratified_grouped', 'leave_one_group_out', 'multi_label'):
    own = None if splitter in ('k_fold', 'stratified') else groups
    made = make_folds(several if splitter == 'multi_label' else labels, splitter=splitter, folds=3, repeats=1, seed=0,
                      groups=own)
    print(splitter, [fold.test.tolist() for fold in made])
for own in (None, groups):
    print([hold_out(of, 0.3, 0, ('a', 'b', 'c'), 'test', own)[1].tolist() for of in (labels, several)])
"""
    said = [
        subprocess.run(
            [sys.executable, '-c', script],
            env={**os.environ, 'PYTHONHASHSEED': seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ('1', '2')
    ]
    assert said[0] == said[1]
    assert said[0].count('\n') == 8


@pytest.mark.parametrize(
    ('labels', 'groups', 'expected'),
    [
        (np.array([0, 1, 0, 1], np.int32), None, 'stratified'),
        (np.array([0, 1, 0, 1], np.int32), 'abcd', 'stratified'),
        (np.array([0, 1, 0, 1], np.int32), 'aabc', 'stratified_grouped'),
        (np.zeros(4, np.int32), None, 'k_fold'),
        (np.zeros(4, np.int32), 'abcd', 'k_fold'),
        (np.zeros(4, np.int32), 'aabc', 'grouped'),
        (np.zeros((4, 2), np.float32), None, 'multi_label'),
        (np.zeros((4, 2), np.float32), 'aabc', 'multi_label'),
    ],
)
def test_auto_depends_on_labels_and_groups(labels, groups, expected):
    assert choose_splitter('auto', labels, groups) == expected
    assert choose_splitter('leave_one_group_out', labels, groups) == 'leave_one_group_out'


def test_multi_label_folds_keep_groups_whole():
    labels, _ = _inputs('multi_label')
    groups = [f'g{index // 3}' for index in range(len(labels))]
    for fold in _make('multi_label', labels, groups):
        assert not {groups[i] for i in fold.train} & {groups[i] for i in fold.test}


@pytest.mark.parametrize('splitter', ['k_fold', 'stratified', 'multi_label'])
def test_groups_of_one_example_are_no_groups(splitter):
    labels, _ = _inputs(splitter)
    singletons = [f'g{index}' for index in range(len(labels))]
    assert _plain(_make(splitter, labels, singletons)) == _plain(_make(splitter, labels, None))


def test_few_examples_without_a_label_are_no_class(recwarn):
    labels = np.array([0, 1, 2] * 5 + [3], np.int32)
    made = _make('stratified', labels, None, folds=5)
    assert sum(15 in fold.test for fold in made) == 1
    assert not len(recwarn)
    with pytest.raises(UserError, match="class '3' has 1 example"):
        _make('stratified', labels, None, folds=5, class_names=())


ODD = np.array([0] * 9 + [1] * 4 + [2], np.int32)
SMALL = np.array([0] * 9 + [1] * 4, np.int32)
SEVERAL = np.eye(2, dtype=np.float32)[[0, 0, 0, 0, 1]]


@pytest.mark.parametrize(
    ('splitter', 'labels', 'groups', 'changes', 'message'),
    [
        ('k_fold', SMALL[:3], None, {'folds': 5}, r'crossval.folds=5 needs as many examples, and there are 3'),
        (
            'stratified',
            ODD,
            None,
            {'folds': 5},
            r"class 'b' has 4 examples, too few for crossval.folds=5: use at most 4",
        ),
        (
            'stratified',
            ODD,
            None,
            {'folds': 5, 'field': 'search.folds'},
            r"class 'b' has 4 examples, too few for search.folds=5: use at most 4",
        ),
        ('stratified', SMALL, None, {'folds': 5}, r'add examples, or set crossval.splitter=k_fold'),
        ('stratified', ODD, None, {'folds': 4}, r"class 'c' has 1 example, so that no fold can both train on it and"),
        ('stratified_grouped', SMALL, 'abcdefaaabcde', {'folds': 5}, r"class 'b' has 4 .* crossval.splitter=grouped"),
        ('stratified_grouped', SMALL, 'abcdefabczzzz', {}, r"all 4 examples of class 'b' are of one group, so that"),
        ('multi_label', SEVERAL, None, {}, r"class 'b' has 1 example, so that no fold"),
        ('multi_label', SEVERAL[[0, 1, 2, 4, 4]], 'abczz', {}, r"all 2 examples of class 'b' are of one group"),
        (
            'multi_label',
            SEVERAL[:4],
            'aabb',
            {},
            r'crossval.folds=3, but the 4 examples are of 2 groups, which are kept',
        ),
        (
            'grouped',
            SMALL,
            'aaaaaaabbbbbb',
            {},
            r'the 13 examples are of 2 groups, which are kept whole: use at most 2',
        ),
        ('grouped', SMALL, 'a' * 13, {}, r'are of 1 groups, which are kept whole: there is nothing to divide'),
        (
            'grouped',
            SMALL,
            None,
            {},
            r'splitter=grouped needs groups, and there are none: .*data.group_column, or use k',
        ),
        ('stratified_grouped', SMALL, None, {}, r'needs groups, and there are none: .* or use stratified$'),
        ('leave_one_group_out', SMALL, None, {}, r'leave_one_group_out needs groups, and there are none'),
        ('leave_one_group_out', SMALL, 'a' * 13, {}, r'needs two groups or more, and there is one'),
        (
            'leave_one_group_out',
            SMALL,
            'abcdefaaabcde',
            {'repeats': 2},
            r'the same way every time: leave crossval.repeats',
        ),
        (
            'stratified',
            SMALL,
            'abbbcdefghijk',
            {},
            r"would divide groups, such as 'b' of 3 examples: use stratified_gro",
        ),
        (
            'k_fold',
            SMALL,
            'abbbcdefghijk',
            {},
            r"would divide groups, such as 'b' of 3 examples: use grouped, or data.d",
        ),
        ('stratified', SEVERAL, None, {}, r'is for one class an example, and these have several labels: use multi_lab'),
        (
            'multi_label',
            SMALL,
            None,
            {},
            r'is for several labels an example, and these have one class each: use stratifi',
        ),
        ('stratified_grouped', SMALL, 'aaaaaabbbbccc', {'folds': 2, 'repeats': 3}, r'the same way every time: leave'),
        ('auto', SMALL, None, {}, r"crossval.splitter='auto' is not one of k_fold"),
        ('kfold', SMALL, None, {}, r"Did you mean 'k_fold'"),
    ],
)
def test_what_cannot_be_divided_is_one_clear_line(splitter, labels, groups, changes, message):
    with pytest.raises(UserError, match=message) as error:
        _make(splitter, labels, groups, **changes)
    assert '\n' not in str(error.value)
