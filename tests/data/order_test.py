"""Tests of jtransfer/data/order.py."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jtransfer.data.order import example_order


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


def test_what_a_caller_does_to_a_batch_does_not_change_the_next():
    first = example_order(0, 10, 10, 0)[0]
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(example_order(0, 10, 10, 0)[0], kept)
