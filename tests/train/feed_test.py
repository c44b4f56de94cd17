"""Feeds: the batches of the data room, on the devices, from any step on."""

import functools
import itertools

import jax
import numpy as np
import pytest

from jtransfer.augment.keys import example_keys
from jtransfer.augment.pipeline import make_augment
from jtransfer.config import Augment, Data
from jtransfer.data.decode.mapped import MappedRows
from jtransfer.data.decode.memory import decode_part
from jtransfer.data.feed.batches import training_batch
from jtransfer.data.feed.stream import host_batches, stream_batches
from jtransfer.data.part import Part
from jtransfer.data.parts import load_parts
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import TrainingImage
from jtransfer.tasks.base import Task
from jtransfer.train.feed import device_feed, stream_feed
from jtransfer.train.placement import JitPlacement, PmapPlacement
from tests.tiers import slow

BATCH, SEED = 8, 2**32 - 1
PIXELS = TrainingImage(ImagePreprocessor(8), crops=True)


@pytest.fixture(scope='module')
def part():
    images = np.random.default_rng(0).integers(0, 256, (21, 6, 9, 3), np.uint8)
    source = ArraySource(images, np.minimum(np.arange(21) % 5, 2), ('a', 'b', 'c'))
    return load_parts(Data(test_fraction=0.0, batch_size=BATCH), 0, source).train


@pytest.fixture(scope='module')
def weighted(part):
    images = [part[i]['image'] for i in range(len(part))]
    source = ArraySource(images, part.labels[''], part.class_names)
    source.weights = np.random.default_rng(0).random(len(part), np.float32)
    return Part(source, np.arange(len(part)))


def from_device(part, placement, start, repeats=1, classes=None):
    decoded = decode_part(part, PIXELS)
    return device_feed(
        decoded.inputs,
        decoded.labels,
        batch_size=BATCH,
        seed=SEED,
        start_step=start,
        placement=placement,
        repeats=repeats,
        classes=classes,
        weights=decoded.weights,
    )


def from_host(part, placement, start, repeats=1, classes=None):
    batches = host_batches(decode_part(part, PIXELS), BATCH, SEED, start, 100, repeats, classes)
    return stream_feed(batches, seed=SEED, start_step=start, placement=placement)


def from_stream(part, placement, start, repeats=1, classes=None, workers=0):
    batches = stream_batches(part, PIXELS, BATCH, SEED, start, 100, workers, repeats, classes)
    return stream_feed(batches, seed=SEED, start_step=start, placement=placement)


from_a_worker = functools.partial(from_stream, workers=1)


@pytest.mark.parametrize('make', [JitPlacement, PmapPlacement])
@pytest.mark.parametrize('balanced', [False, True])
@pytest.mark.parametrize(
    ('feed', 'start', 'repeats'),
    [
        *itertools.product([from_device, from_host, from_stream], [5], [1, 3]),
        *slow(*itertools.product([from_device, from_host, from_stream], [0], [1, 2, 3])),
        *slow(*itertools.product([from_device, from_host, from_stream], [5], [2])),
        (from_a_worker, 5, 1),
        *slow((from_a_worker, 0, 2)),
    ],
)
def test_a_feed_gives_the_training_batches_from_a_step_on(weighted, feed, make, start, repeats, balanced):
    decoded = decode_part(weighted, PIXELS)
    classes = decoded.labels[''] if balanced else None
    taken = feed(weighted, make(), start, repeats, classes)
    for step, batch in zip(range(start, start + 4), taken, strict=False):
        expected = training_batch(decoded, step, BATCH, SEED, repeats, classes)
        assert batch.keys() == expected.keys() | {'seed', 'step'}
        given = {name: batch[name] for name in expected}
        for found, values in zip(jax.tree.leaves(given), jax.tree.leaves(expected), strict=True):
            assert found.dtype == values.dtype
            assert isinstance(found, jax.Array)
            np.testing.assert_array_equal(np.reshape(found, values.shape), values)
        assert set(np.ravel(batch['seed']).tolist()) == {SEED}
        assert set(np.ravel(batch['step']).tolist()) == {step}
    taken.close()


@pytest.mark.parametrize('feed', [from_device, from_host, from_stream])
def test_balanced_sampling_is_another_order(part, feed):
    one, other = (next(feed(part, JitPlacement(), 0, classes=classes)) for classes in (None, part.labels['']))
    assert np.asarray(one['id']).tolist() != np.asarray(other['id']).tolist()
    assert np.bincount(other['labels'][''], minlength=3).max() <= -(-BATCH // 3)
    assert 'weight' not in one


@pytest.mark.parametrize('feed', [from_device, from_host, from_stream])
def test_labels_of_several_tasks_come_by_name(part, feed):
    part = Part(Several(part.source), part.indices)
    expected = training_batch(decode_part(part, PIXELS), 3, BATCH, SEED)
    for placement in (JitPlacement(), PmapPlacement()):
        labels = next(feed(part, placement, 3))['labels']
        assert labels.keys() == {'kind', 'marks'}
        for name, values in expected['labels'].items():
            np.testing.assert_array_equal(np.reshape(labels[name], values.shape), values)
            assert labels[name].dtype == values.dtype


class Several:
    """Two tasks over the pictures of a source."""

    def __init__(self, source):
        self.source, self.class_names, self.ids = source, source.class_names, source.ids
        self.tasks = (Task('kind', 'single_label', source.class_names), Task('marks', 'regression', ('x', 'y')))
        self.labels = {
            'kind': source.labels[''],
            'marks': np.random.default_rng(1).random((len(source), 2), np.float32),
        }

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        return {**self.source[index], 'labels': {name: values[index] for name, values in self.labels.items()}}


@pytest.mark.parametrize('make', [JitPlacement, PmapPlacement])
def test_a_mapped_file_is_as_good_as_an_array(part, tmp_path, make):
    decoded = decode_part(part, PIXELS)
    decoded.inputs['image'].tofile(tmp_path / 'pixels')
    file = np.memmap(tmp_path / 'pixels', np.uint8, 'r', shape=decoded.inputs['image'].shape)
    rows = np.arange(len(part))[::-1]
    batches = []
    for images in (MappedRows(file, rows), decoded.inputs['image'][::-1]):
        inputs = {**decoded.inputs, 'image': images}
        feed = device_feed(inputs, decoded.labels, batch_size=BATCH, seed=0, start_step=2, placement=make())
        batches.append(np.asarray(next(feed)['inputs']['image']))
    np.testing.assert_array_equal(*batches)


@pytest.mark.parametrize('feed', [from_device, from_host, from_stream])
def test_the_copies_of_an_image_are_augmented_differently(part, feed):
    augment = make_augment(Augment(crop_scale=(0.1, 0.9), repeats=4), ImagePreprocessor(8))
    batch = next(feed(part, JitPlacement(jax.devices()[:1]), 3, 4))
    assert len(set(np.asarray(batch['id']).tolist())) == BATCH // 4
    keys = example_keys(batch['seed'], batch['epoch'], batch['id'])
    assert len(np.unique(jax.random.key_data(keys), axis=0)) == BATCH
    images = np.asarray(augment(keys, batch['inputs']['image'], aspects=batch['inputs']['aspect']).images)
    assert len(np.unique(images.reshape(BATCH, -1), axis=0)) == BATCH


def numbered(count):
    for number in range(count):
        yield {'labels': {'': np.full(BATCH, number, np.int32)}}


@pytest.mark.parametrize('count', [0, 1, 2, 3, 7])
@pytest.mark.parametrize('ahead', [0, 1, 2])
def test_a_stream_keeps_order_and_length(count, ahead):
    feed = stream_feed(numbered(count), seed=0, start_step=3, placement=JitPlacement(), ahead=ahead)
    seen = [(int(batch['labels'][''][0]), int(batch['step'])) for batch in feed]
    assert seen == [(number, 3 + number) for number in range(count)]


def test_a_stream_reads_only_as_far_ahead_as_it_may():
    asked = []

    def batches():
        for number in itertools.count():
            asked.append(number)
            yield {'labels': {'': np.zeros(BATCH, np.int32)}}

    feed = stream_feed(batches(), seed=0, start_step=0, placement=JitPlacement(), ahead=2)
    for taken in range(1, 5):
        next(feed)
        assert len(asked) == taken + 2
