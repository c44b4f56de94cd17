"""A run says when images it is tested on have copies among those it trains on, and is the same run otherwise."""

import numpy as np
import pytest
from PIL import Image

from jtransfer.data.parts import load_parts
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.data.sources.folder import load_folder
from jtransfer.experiments.data.leak_note import leaks
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run import train as training
from jtransfer.experiments.run.directory import read_result
from jtransfer.experiments.run.feed import read_training
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import ImageViews
from tests.data.planted import COPIES, originals

SETTINGS = ImagePreprocessor(48, crop_fraction=0.875)


def source_of(pictures, name):
    ids = [f'{name}{index}' for index in range(len(pictures))]
    return ArraySource(list(pictures), [index % 2 for index in range(len(pictures))], ('x', 'y'), ids)


@pytest.fixture(scope='module')
def sources():
    """Eight pictures to train on and four to test on, of which the first and third are copies, encoded or resized."""
    pictures = originals()
    test = [COPIES['JPEG 50'](pictures[5]), pictures[8], COPIES['half the size'](pictures[2]), pictures[9]]
    return {'train': source_of(pictures[:8], 'a'), 'test': source_of([np.ascontiguousarray(one) for one in test], 'b')}


def found(config, sources, views=None, settings=SETTINGS):
    parts = load_parts(config.data, 0, sources)
    read = read_training(parts.train, settings, config)
    return leaks(read.examples, {'test': read_examples(parts.test, settings, config, views)}, settings, config)


@pytest.mark.parametrize('operations', [(), ('random_resized_crop', 'horizontal_flip')])
@pytest.mark.parametrize('views', [None, ImageViews(SETTINGS, crops=5, scales=(1.0, 1.25))])
def test_copies_are_counted_however_images_are_kept(tiny_config, sources, operations, views):
    config = tiny_config(**{'augment.operations': operations, 'data.batch_size': 2})
    counts, lines = found(config, sources, views)
    assert counts == {'test': 2}
    assert lines == (
        '2 test images have copies in the training part (first: b0 = a5); data.duplicates=group keeps them on one '
        'side of a hold-out',
    )


@pytest.mark.parametrize('settings', [{'data.duplicates': 'ignore'}, {'data.placement': 'stream'}])
def test_it_is_not_looked_for_where_it_is_not_wanted_or_not_cheap(tiny_config, sources, settings):
    assert found(tiny_config(**{'data.batch_size': 2, **settings}), sources) == ({}, ())


def test_small_images_are_not_told_apart_by_hashes(tiny_config, sources):
    assert found(tiny_config(**{'data.batch_size': 2}), sources, settings=ImagePreprocessor(16)) == ({}, ())


def test_identical_files_are_told_at_any_size(tiny_config, sources, tmp_path):
    """By the digests that a cache knows them by, where hashes of pixels mean nothing."""
    config = tiny_config(**{'data.batch_size': 2, 'data.cache_dir': str(tmp_path / 'cache')})
    counts, lines = found(config, sources, settings=ImagePreprocessor(16))
    assert (counts, lines) == ({}, ())  # arrays have no files
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), np.uint8)
    for place, index in (('train/a/1', 0), ('train/b/1', 1), ('test/a/1', 2), ('test/b/9', 1)):
        path = tmp_path / 'photos' / f'{place}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[index]).save(path)
    counts, [line] = found(config, load_folder(str(tmp_path / 'photos')), settings=ImagePreprocessor(16))
    assert counts == {'test': 1}
    assert line.startswith('1 test image has a copy in the training part (first: test/b/9.png = train/b/1.png)')


def test_a_run_says_it_and_keeps_the_count(tiny_config, tmp_path, monkeypatch):
    asked = []

    def fake(train, held_out, preprocessing, config):
        asked.append(sorted(held_out))
        return {'test': 3}, ('3 test images have copies',)

    monkeypatch.setattr(training, 'leaks', fake)
    said = []
    config = tiny_config(run_dir=str(tmp_path / 'run'), **{'train.steps': 1, 'data.validation_fraction': 0.2})
    finetune.run(config, say=said.append)
    assert '3 test images have copies' in said
    assert asked == [['test', 'validation']]
    assert read_result(tmp_path / 'run')['copies_in_training'] == {'test': 3}
