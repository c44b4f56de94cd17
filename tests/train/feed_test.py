"""Feeds: the batches of the data room, on the devices, from any step on."""

import itertools

import jax
import numpy as np
import pytest

from jtransfer.augment.keys import example_keys
from jtransfer.augment.pipeline import make_augment
from jtransfer.config import Augment, Data
from jtransfer.data.arrays import ArraySource
from jtransfer.data.batches import training_batch
from jtransfer.data.memory import decode_part
from jtransfer.data.parts import load_parts
from jtransfer.data.stream import stream_batches
from jtransfer.preprocessing import Preprocessing, training_pixels
from jtransfer.train.feed import device_feed, stream_feed
from jtransfer.train.placement import JitPlacement, PmapPlacement

BATCH, SEED = 8, 2**32 - 1
PIXELS = training_pixels(Preprocessing(8), crops=True)


@pytest.fixture(scope='module')
def part():
    images = np.random.default_rng(0).integers(0, 256, (21, 6, 9, 3), np.uint8)
    source = ArraySource(images, np.arange(21) % 3, ('a', 'b', 'c'))
    return load_parts(Data(test_fraction=0.0, batch_size=BATCH), 0, source).train


def from_device(part, placement, start, repeats):
    decoded = decode_part(part, PIXELS)
    return device_feed(
        decoded.images,
        decoded.labels,
        decoded.aspects,
        batch_size=BATCH,
        seed=SEED,
        start_step=start,
        placement=placement,
        repeats=repeats,
    )


def from_stream(part, placement, start, repeats):
    batches = stream_batches(part, PIXELS, BATCH, SEED, start, 100, repeats=repeats)
    return stream_feed(batches, seed=SEED, start_step=start, placement=placement)


@pytest.mark.parametrize('feed', [from_device, from_stream])
@pytest.mark.parametrize('make', [JitPlacement, PmapPlacement])
@pytest.mark.parametrize(('start', 'repeats'), [(0, 1), (5, 1), (5, 3)])
def test_a_feed_gives_the_training_batches_from_a_step_on(part, feed, make, start, repeats):
    decoded = decode_part(part, PIXELS)
    for step, batch in zip(range(start, start + 4), feed(part, make(), start, repeats), strict=False):
        expected = training_batch(decoded, step, BATCH, SEED, repeats)
        assert batch.keys() == expected.keys() | {'seed', 'step'}
        for name, values in expected.items():
            assert batch[name].dtype == values.dtype, name
            assert isinstance(batch[name], jax.Array)
            np.testing.assert_array_equal(np.reshape(batch[name], values.shape), values)
        assert set(np.ravel(batch['seed']).tolist()) == {SEED}
        assert set(np.ravel(batch['step']).tolist()) == {step}


@pytest.mark.parametrize('feed', [from_device, from_stream])
def test_the_copies_of_an_image_are_augmented_differently(part, feed):
    augment = make_augment(Augment(crop_scale=(0.1, 0.9), repeats=4), Preprocessing(8))
    batch = next(feed(part, JitPlacement(jax.devices()[:1]), 3, 4))
    assert len(set(np.asarray(batch['id']).tolist())) == BATCH // 4
    keys = example_keys(batch['seed'], batch['epoch'], batch['id'])
    assert len(np.unique(jax.random.key_data(keys), axis=0)) == BATCH
    images = np.asarray(augment(keys, batch['image'], aspects=batch['aspect']).images)
    assert len(np.unique(images.reshape(BATCH, -1), axis=0)) == BATCH


def numbered(count):
    for number in range(count):
        yield {'label': np.full(BATCH, number, np.int32)}


@pytest.mark.parametrize('count', [0, 1, 2, 3, 7])
@pytest.mark.parametrize('ahead', [0, 1, 2])
def test_a_stream_keeps_order_and_length(count, ahead):
    feed = stream_feed(numbered(count), seed=0, start_step=3, placement=JitPlacement(), ahead=ahead)
    seen = [(int(batch['label'][0]), int(batch['step'])) for batch in feed]
    assert seen == [(number, 3 + number) for number in range(count)]


def test_a_stream_reads_only_as_far_ahead_as_it_may():
    asked = []

    def batches():
        for number in itertools.count():
            asked.append(number)
            yield {'label': np.zeros(BATCH, np.int32)}

    feed = stream_feed(batches(), seed=0, start_step=0, placement=JitPlacement(), ahead=2)
    for taken in range(1, 5):
        next(feed)
        assert len(asked) == taken + 2
