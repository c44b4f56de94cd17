"""Tests of jtransfer/data/feed/balanced_order.py."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jtransfer.data.feed.balanced_order import BalancedOrder, balanced_order, rounds_at_once
from jtransfer.errors import UserError

LABELS = st.lists(st.sampled_from([0, 1, 2, 5]), min_size=1, max_size=25).map(lambda labels: np.array(labels, np.int32))
SMALL = settings(max_examples=40, deadline=None, derandomize=True)


def sequence(labels, batch_size, seed, visits, repeats=1):
    """The first visits, from as many steps as that takes."""
    steps = range(-(-visits // batch_size))
    index, epoch = zip(*(balanced_order(step, batch_size, labels, seed, repeats) for step in steps), strict=True)
    return np.concatenate(index)[:visits], np.concatenate(epoch)[:visits]


@SMALL
@given(LABELS, st.integers(1, 30), st.integers(0, 5))
def test_in_every_round_each_class_comes_once(labels, batch_size, seed):
    classes = np.unique(labels)
    index, epoch = sequence(labels, batch_size, seed, 6 * len(classes))
    assert index.dtype == np.int64
    assert epoch.dtype == np.int32
    for turns in labels[index].reshape(6, len(classes)):
        np.testing.assert_array_equal(np.sort(turns), classes)


@SMALL
@given(LABELS, st.integers(1, 30), st.integers(0, 5))
def test_each_image_of_a_class_comes_once_in_an_epoch_of_the_class(labels, batch_size, seed):
    rounds = 2 * int(np.bincount(labels).max())
    index, epoch = sequence(labels, batch_size, seed, rounds * len(np.unique(labels)))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        own, epochs = index[labels[index] == label], epoch[labels[index] == label]
        np.testing.assert_array_equal(epochs, np.arange(rounds) // len(members))
        for e in range(rounds // len(members)):
            np.testing.assert_array_equal(np.sort(own[epochs == e]), members)
    # So that each time an image is seen it is augmented in its own way.
    assert len(set(zip(index.tolist(), epoch.tolist(), strict=True))) == len(index)


@SMALL
@given(LABELS, st.integers(1, 20), st.integers(1, 4), st.integers(0, 5))
def test_repeats_are_the_same_sequence_with_every_visit_so_often(labels, batch_size, repeats, seed):
    index, epoch = sequence(labels, batch_size, seed, 3 * repeats * len(labels), repeats)
    visits, epochs = sequence(labels, batch_size, seed, 3 * len(labels))
    np.testing.assert_array_equal(index, np.repeat(visits, repeats))
    np.testing.assert_array_equal(epoch, np.repeat(epochs, repeats) * repeats + np.arange(len(index)) % repeats)


@SMALL
@given(LABELS, st.integers(1, 6), st.integers(0, 10**6), st.integers(0, 3))
def test_batches_of_other_sizes_are_the_same_sequence(labels, parts, step, seed):
    whole = balanced_order(step, 12 * parts, labels, seed)
    pieces = [balanced_order(step * parts + i, 12, labels, seed) for i in range(parts)]
    for ours, expected in zip(zip(*pieces, strict=True), whole, strict=True):
        np.testing.assert_array_equal(np.concatenate(ours), expected)


@SMALL
@given(LABELS, st.lists(st.integers(0, 200), min_size=1, max_size=8), st.integers(0, 3))
def test_what_was_asked_before_changes_nothing(labels, steps, seed):
    order = BalancedOrder.of(7, labels, seed)
    copy = pickle.loads(pickle.dumps(order))
    for step in steps:
        expected = balanced_order(step, 7, labels, seed)
        for ours in (order, copy, order):
            for values, wanted in zip(ours(step), expected, strict=True):
                np.testing.assert_array_equal(values, wanted)
    assert not pickle.loads(pickle.dumps(order))._latest


def test_the_seed_changes_the_order_of_classes_and_of_their_images():
    labels = np.repeat(np.arange(10), 10).astype(np.int32)
    runs = [balanced_order(0, 200, labels, seed)[0] for seed in range(3)]
    assert len({tuple(labels[run]) for run in runs}) == 3
    assert len({tuple(run[labels[run] == 4]) for run in runs}) == 3
    # The next epoch of a class, and the next round, have another order.
    assert list(runs[0][labels[runs[0]] == 4][:10]) != list(runs[0][labels[runs[0]] == 4][10:])
    assert list(labels[runs[0]][:10]) != list(labels[runs[0]][10:20])


def test_rounds_go_on_where_the_draws_of_many_end():
    labels = np.array([0, 1, 1, 2], np.int32)
    begin = 3 * rounds_at_once(3)
    index, _ = balanced_order(0, begin + 30, labels, 0)
    for turns in labels[index].reshape(-1, 3):
        np.testing.assert_array_equal(np.sort(turns), [0, 1, 2])
    first, second = labels[index][:30], labels[index][begin:]
    assert list(first) != list(second)


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (np.zeros((4, 3), np.float32), 'data.sampling=balanced is for one label an example'),
        (np.zeros(4, np.float32), 'data.sampling=balanced is for one label an example'),
        ({'kind': np.zeros(4, np.int32)}, 'data.sampling=balanced is for one label an example'),
        (np.array([0, 1, -1, -1]), r'training example 2 has no label \(2 such\)'),
        (np.zeros(0, np.int32), 'there are no training examples'),
    ],
)
def test_labels_that_are_not_a_class_an_image_are_refused(labels, message):
    with pytest.raises(UserError, match=message):
        balanced_order(0, 4, labels, 0)
