"""Tests of jtransfer/data/feed/batches.py."""

import numpy as np
import pytest

from jtransfer import config
from jtransfer.data.decode.memory import decode_part
from jtransfer.data.feed.batches import evaluation_batches, training_batch
from jtransfer.data.feed.order import example_order
from jtransfer.data.parts import load_parts
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import TrainingImage

PIXELS = TrainingImage(ImagePreprocessor(6))


@pytest.fixture
def part():
    images = np.random.default_rng(0).integers(0, 256, (11, 6, 9, 3), np.uint8)
    source = ArraySource(images, np.arange(11) % 3, ('a', 'b', 'c'))
    return load_parts(config.Data(test_fraction=0.0, batch_size=4), 0, source).train


def test_training_batch(part):
    decoded = decode_part(part, PIXELS)
    batch = training_batch(decoded, 2, 4, seed=7)
    index, epoch = example_order(2, 4, 11, 7)
    assert batch['labels'].keys() == {''}
    flat = {**batch, **batch['inputs'], 'labels': batch['labels']['']}
    del flat['inputs']
    assert {name: (values.dtype.name, values.shape) for name, values in flat.items()} == {
        'image': ('uint8', (4, 6, 6, 3)),
        'labels': ('int32', (4,)),
        'id': ('int32', (4,)),
        'epoch': ('int32', (4,)),
        'aspect': ('float32', (4,)),
    }
    np.testing.assert_array_equal(batch['inputs']['image'], np.stack([PIXELS(part[i])['image'] for i in index]))
    np.testing.assert_array_equal(batch['labels'][''], part.labels[''][index])
    np.testing.assert_array_equal(batch['id'], index)
    np.testing.assert_array_equal(batch['epoch'], epoch)
    np.testing.assert_array_equal(batch['inputs']['aspect'], np.full(4, 1.5))


def test_training_batch_of_repeats(part):
    decoded = decode_part(part, PIXELS)
    batch = training_batch(decoded, 3, 4, seed=7, repeats=3)
    # Positions 12 to 15: all of visit 4, one of visit 5.
    visits = example_order(0, 6, 11, 7)[0]
    np.testing.assert_array_equal(batch['id'], visits[[4, 4, 4, 5]])
    np.testing.assert_array_equal(batch['epoch'], [0, 1, 2, 0])
    np.testing.assert_array_equal(batch['inputs']['image'], decoded.inputs['image'][batch['id']])
    np.testing.assert_array_equal(batch['labels'][''], decoded.labels[''][batch['id']])


@pytest.mark.parametrize('batch_size', [1, 4, 11, 64])
@pytest.mark.parametrize('decoded', [True, False])
def test_evaluation_sees_every_example_once(part, batch_size, decoded):
    whole = decode_part(part, PIXELS)
    batches = list(evaluation_batches(whole, batch_size) if decoded else evaluation_batches(part, batch_size, PIXELS))
    assert len(batches) == -(-11 // batch_size)
    assert all(batch['inputs']['image'].shape == (batch_size, 6, 6, 3) for batch in batches)
    assert all(
        batch['inputs']['image'].dtype == np.uint8 and batch['labels'][''].dtype == np.int32 for batch in batches
    )
    mask = np.concatenate([batch['mask'] for batch in batches])
    np.testing.assert_array_equal(np.concatenate([b['inputs']['image'] for b in batches])[mask], whole.inputs['image'])
    np.testing.assert_array_equal(np.concatenate([b['labels'][''] for b in batches])[mask], whole.labels[''])
