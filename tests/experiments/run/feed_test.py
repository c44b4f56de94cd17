"""Feeding: whatever the pictures are kept in, a run sees the same batches, and a resumed one those that follow."""

import itertools

import jax
import numpy as np
import pytest

from jtransfer.data.decode.memory import decode_part
from jtransfer.data.part import Part
from jtransfer.data.parts import load_parts
from jtransfer.errors import UserError
from jtransfer.experiments.run.feed import feeds
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import TrainingImage
from jtransfer.tasks.base import Task
from jtransfer.train.placement import JitPlacement
from tests.tiers import slow

SETTINGS = ImagePreprocessor(16)


def batches_of(config, part, start=0, count=4):
    _, make_feed, _ = feeds(part, SETTINGS, config, JitPlacement())
    feed = make_feed(start)
    batches = [jax.tree.map(np.asarray, batch) for batch in itertools.islice(feed, count)]
    feed.close()
    return batches


@pytest.mark.parametrize(
    ('sampling', 'repeats'), [('uniform', 1), ('balanced', 2), *slow(('uniform', 2), ('balanced', 1))]
)
def test_every_placement_gives_the_same_batches_from_any_step_on(tiny_config, tmp_path, sampling, repeats):
    settings = {'data.sampling': sampling, 'augment.repeats': repeats, 'data.cache_dir': str(tmp_path)}
    part = load_parts(tiny_config().data, 0).train
    part = Part(part.source, part.indices[:17])  # classes of unequal sizes
    expected = batches_of(tiny_config(**settings, **{'data.placement': 'device'}), part)
    for placement, workers, start in (
        ('host', 0, 0),
        ('host', 2, 2),
        ('stream', 0, 0),
        ('stream', 1, 1),
        ('auto', 1, 3),
    ):
        config = tiny_config(**settings, **{'data.placement': placement, 'data.workers': workers})
        batches = batches_of(config, part, start)[: 4 - start]
        assert len(batches) == 4 - start
        for batch, other in zip(batches, expected[start:], strict=True):
            assert batch.keys() == other.keys()
            np.testing.assert_equal(batch, other)
            assert jax.tree.map(lambda leaf: leaf.dtype, batch) == jax.tree.map(lambda leaf: leaf.dtype, other)


def test_balanced_sampling_takes_the_classes_in_turn(tiny_config):
    part = load_parts(tiny_config().data, 0).train
    labels = part.labels['']
    part = Part(part.source, part.indices[np.flatnonzero((labels > 0) | (np.cumsum(labels == 0) <= 2))])
    assert np.bincount(part.labels[''])[0] == 2
    count = len(part.class_names)
    for sampling, even in (('balanced', True), ('uniform', False)):
        batches = batches_of(tiny_config(**{'data.sampling': sampling}), part)
        seen = np.bincount(np.concatenate([batch['labels'][''] for batch in batches]), minlength=count)
        assert (np.ptp(seen) <= 1) == even, seen


class Marked:
    """A source of another task."""

    def __init__(self, source, kind):
        self.source, self.class_names, self.ids = source, ('x', 'y'), source.ids
        self.tasks = (Task('', kind, ('x', 'y')),)
        self.labels = (np.arange(2 * len(source)).reshape(-1, 2) % 3 == 0).astype(np.float32)
        self.weights = np.linspace(0, 1, len(source), dtype=np.float32)

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        return {**self.source[index], 'label': self.labels[index]}


@pytest.mark.parametrize('kind', ['multi_label', 'regression'])
def test_balanced_sampling_needs_one_class_an_image(tiny_config, kind):
    part = load_parts(tiny_config().data, 0).train
    part = Part(Marked(part.source, kind), part.indices)
    with pytest.raises(UserError, match=rf'^data\.sampling=balanced takes turns among classes.*{kind} has not: use'):
        feeds(part, SETTINGS, tiny_config(**{'data.sampling': 'balanced'}), JitPlacement())


@pytest.mark.parametrize('placement', ['device', 'host', 'stream'])
def test_weights_come_with_the_batches(tiny_config, placement):
    part = load_parts(tiny_config().data, 0).train
    assert 'weight' not in batches_of(tiny_config(**{'data.placement': placement}), part, count=1)[0]
    part = Part(Marked(part.source, 'multi_label'), part.indices)
    for batch in batches_of(tiny_config(**{'data.placement': placement}), part):
        np.testing.assert_array_equal(batch['weight'], part.weights[batch['id']])
        np.testing.assert_array_equal(batch['labels'][''], part.labels[''][batch['id']])


@pytest.mark.filterwarnings('ignore:.*unreadable images? left out:jtransfer.errors.DataWarning')
@pytest.mark.parametrize('placement', ['device', 'host', 'stream'])
def test_unreadable_images_are_counted(tiny_config, tmp_path, photos, placement):
    import shutil

    folder = shutil.copytree(photos, tmp_path / 'photos')
    (folder / 'ant' / '03.png').write_bytes(b'no picture')
    config = tiny_config(
        **{'data.source': f'folder:{folder}', 'data.placement': placement, 'data.skip_unreadable': True}
    )
    source = load_parts(config.data, 0).train.source
    part = Part(source, np.arange(len(source)))
    count, make_feed, skipped = feeds(part, SETTINGS, config, JitPlacement())
    assert (count, skipped) == (35, ('ant/03.png',))
    feed = make_feed(0)
    batch = next(feed)
    feed.close()
    decoded = decode_part(part, TrainingImage(SETTINGS, config.augment.crops), skip_unreadable=True)
    np.testing.assert_array_equal(batch['inputs']['image'], decoded.inputs['image'][np.asarray(batch['id'])])
