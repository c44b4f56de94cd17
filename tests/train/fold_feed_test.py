"""Batches of folds: those that each fold would see alone."""

import itertools

import jax
import numpy as np
import pytest

from jtransfer.data.feed.order import make_order
from jtransfer.train.feed import device_feed
from jtransfer.train.fold_feed import FoldExamples, fold_feed
from jtransfer.train.lane_placement import LanePlacement
from jtransfer.train.placement import JitPlacement

BATCH, SEED = 8, 3
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (30, 4, 4, 3), dtype=np.uint8)
LABELS = {'kind': RANDOM.integers(0, 3, 30).astype(np.int32), 'size': RANDOM.random((30, 2)).astype(np.float32)}
HELD = {'image': IMAGES, 'aspect': RANDOM.uniform(0.5, 2, 30).astype(np.float32)}
# Of different sizes, with an example twice, and in no particular order.
PARTS = (np.arange(29, 4, -1), np.arange(0, 30, 2), np.array([3, 4, 3, 20, 1, 9, 8, 7]), np.arange(13))


@pytest.fixture(scope='module')
def placement():
    return LanePlacement(4, BATCH)


def own(part):
    return {name: values[part] for name, values in LABELS.items()}


def alone(part, start):
    feed = device_feed(
        {name: values[part] for name, values in HELD.items()},
        own(part),
        batch_size=BATCH,
        seed=SEED,
        start_step=start,
        placement=JitPlacement(jax.devices()[:1]),
    )
    return [jax.device_get(batch) for batch in itertools.islice(feed, 5)]


def one_fold(batch, number):
    return jax.tree.map(lambda leaf: leaf[number], batch)


def assert_same(together, start):
    assert len(together) == 5
    for number, part in enumerate(PARTS):
        for batch, expected in zip(together, alone(part, start), strict=True):
            assert batch.keys() == expected.keys()
            fold = one_fold({name: batch[name] for name in batch.keys() - {'seed', 'step'}}, number)
            jax.tree.map(np.testing.assert_array_equal, fold, {name: expected[name] for name in fold})
            assert (batch['seed'], batch['step']) == (expected['seed'], expected['step'])
            assert jax.tree.map(lambda leaf: leaf.dtype, batch) == jax.tree.map(lambda leaf: leaf.dtype, expected)


@pytest.mark.parametrize('start', [0, 7])
def test_each_fold_sees_what_it_would_see_alone(placement, start):
    examples = [
        FoldExamples(
            part,
            own(part),
            make_order(len(part), BATCH, SEED),
        )
        for part in PARTS
    ]
    feed = fold_feed(HELD, examples, seed=SEED, start_step=start, placement=placement)
    assert_same([jax.device_get(batch) for batch in itertools.islice(feed, 5)], start)


def test_weights_of_examples_travel_with_them(placement):
    weights = np.linspace(0, 1, 30).astype(np.float32)
    examples = [
        FoldExamples(
            part,
            own(part),
            make_order(len(part), BATCH, SEED),
            weights[part],
        )
        for part in PARTS
    ]
    batch = jax.device_get(next(fold_feed(HELD, examples, seed=SEED, start_step=2, placement=placement)))
    for number, part in enumerate(PARTS):
        np.testing.assert_array_equal(batch['weight'][number], weights[part][batch['id'][number]])
        np.testing.assert_array_equal(batch['inputs']['image'][number], IMAGES[part][batch['id'][number]])
