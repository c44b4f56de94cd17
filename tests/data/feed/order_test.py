"""Tests of jtransfer/data/feed/order.py."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jtransfer.data.feed.balanced_order import balanced_order
from jtransfer.data.feed.order import example_order, make_order, process_rows
from jtransfer.errors import UserError


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 5))
def test_every_example_once_an_epoch(num_examples, batch_size, seed):
    epochs = 3
    steps = -(-epochs * num_examples // batch_size)
    index, epoch = map(
        np.concatenate, zip(*(example_order(s, batch_size, num_examples, seed) for s in range(steps)), strict=True)
    )
    assert index.dtype == np.int64
    assert epoch.dtype == np.int32
    np.testing.assert_array_equal(epoch, np.arange(steps * batch_size) // num_examples)
    for e in range(epochs):
        np.testing.assert_array_equal(np.sort(index[epoch == e]), np.arange(num_examples))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6))
def test_batches_of_other_sizes_are_the_same_sequence(parts, step):
    whole = example_order(step, 12 * parts, 97, 0)
    pieces = [example_order(step * parts + i, 12, 97, 0) for i in range(parts)]
    for ours, expected in zip(zip(*pieces, strict=True), whole, strict=True):
        np.testing.assert_array_equal(np.concatenate(ours), expected)


def test_seed_and_epoch_change_the_order():
    orders = [tuple(example_order(step, 50, 50, seed)[0]) for step in range(3) for seed in range(3)]
    assert len(set(orders)) == 9


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 4), st.integers(0, 5))
def test_repeats_are_the_same_sequence_with_every_visit_so_often(num_examples, batch_size, repeats, seed):
    steps = -(-2 * repeats * num_examples // batch_size)
    index, epoch = map(
        np.concatenate,
        zip(*(example_order(s, batch_size, num_examples, seed, repeats) for s in range(steps)), strict=True),
    )
    assert index.dtype == np.int64
    assert epoch.dtype == np.int32
    visits, epochs = example_order(0, -(-steps * batch_size // repeats), num_examples, seed)
    np.testing.assert_array_equal(index, np.repeat(visits, repeats)[: len(index)])
    np.testing.assert_array_equal(epoch // repeats, np.repeat(epochs, repeats)[: len(index)])
    np.testing.assert_array_equal(epoch % repeats, np.arange(len(index)) % repeats)
    # No two copies of an example are augmented alike, and all examples come equally often.
    assert len(set(zip(index.tolist(), epoch.tolist(), strict=True))) == len(index)
    np.testing.assert_array_equal(np.bincount(index[: 2 * repeats * num_examples]), np.full(num_examples, 2 * repeats))


def test_one_repeat_is_none():
    for ours, expected in zip(example_order(5, 12, 7, 3, repeats=1), example_order(5, 12, 7, 3), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_what_a_caller_does_to_a_batch_does_not_change_the_next():
    first = example_order(0, 10, 10, 0)[0]
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(example_order(0, 10, 10, 0)[0], kept)


def test_an_order_is_uniform_or_balanced_and_survives_pickling():
    labels = np.array([0, 0, 0, 0, 1, 2, 2], np.int32)
    uniform, balanced = make_order(7, 5, 3, 2), make_order(7, 5, 3, 2, labels)
    for step in (0, 9, 4):
        for order, expected in (
            (uniform, example_order(step, 5, 7, 3, 2)),
            (balanced, balanced_order(step, 5, labels, 3, 2)),
        ):
            for ours in (order, pickle.loads(pickle.dumps(order))):
                for values, wanted in zip(ours(step), expected, strict=True):
                    np.testing.assert_array_equal(values, wanted)
    with pytest.raises(ValueError, match='7 labels for 8 examples'):
        make_order(8, 5, 3, labels=labels)
    with pytest.raises(UserError, match='balanced is for one label an example'):
        make_order(7, 5, 3, labels=np.eye(7, dtype=np.float32))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(1, 6), st.integers(1, 8))
def test_the_processes_read_every_row_once(processes, rows):
    batch = np.arange(processes * rows)
    pieces = [batch[process_rows(len(batch), process, processes)] for process in range(processes)]
    assert {len(piece) for piece in pieces} == {rows}
    np.testing.assert_array_equal(np.concatenate(pieces), batch)


def test_a_batch_that_processes_cannot_share_is_refused():
    with pytest.raises(UserError, match=r'data.batch_size=30 must be a multiple of the 4 processes; 32 would do'):
        process_rows(30, 0, 4)
