"""Reading: where the pictures of a part are kept, and what becomes of a cache that cannot be used."""

import os

import numpy as np
import pytest

from jtransfer.data.decode.mapped import MappedRows
from jtransfer.data.decode.memory import Decoded
from jtransfer.data.part import Part
from jtransfer.data.parts import load_parts
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.experiments.data.read import cache_of, placement_of, read_examples
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import ImageViews, TrainingImage

SETTINGS = ImagePreprocessor(16)
PIXELS = TrainingImage(SETTINGS, crops=True)


@pytest.fixture
def train(tiny_config):
    return load_parts(tiny_config().data, 0).train


def many(part, count):
    return Part(part.source, np.zeros(count, np.int64))


@pytest.mark.parametrize(
    ('count', 'settings', 'expected'),
    [
        (10, {}, 'device'),
        (1200, {}, 'host'),  # 1200 × 18 × 18 × 3 bytes
        (1200, {'data.device_budget_mib': 2}, 'device'),
        (1200, {'data.cache': False}, 'stream'),
        (1200, {'data.cache_budget_mib': 1}, 'stream'),
        (1200, {'data.placement': 'device'}, 'device'),
        (10, {'data.placement': 'host'}, 'host'),
        (1200, {'data.placement': 'host', 'data.cache_budget_mib': 1}, 'host'),
        (10, {'data.placement': 'stream'}, 'stream'),
    ],
)
def test_auto_keeps_what_fits_a_budget(tiny_config, train, count, settings, expected):
    config = tiny_config(**{'data.device_budget_mib': 1, 'data.cache_budget_mib': 2, **settings})
    assert placement_of(many(train, count), PIXELS, config) == expected


def test_what_is_in_memory_anyway_is_not_written_to_a_file(tiny_config):
    source = ArraySource(np.zeros((1200, 8, 8, 3), np.uint8), np.arange(1200) % 2, ('a', 'b'))
    part, config = Part(source, np.arange(1200)), tiny_config(**{'data.device_budget_mib': 1})
    assert placement_of(part, PIXELS, config) == 'stream'
    assert cache_of(part, PIXELS, config) is None


def test_all_views_count_towards_the_budget(tiny_config, train):
    config = tiny_config(**{'data.device_budget_mib': 1})
    part = many(train, 1000)  # 1000 × 16 × 16 × 3 bytes
    assert placement_of(part, ImageViews(SETTINGS), config) == 'device'
    assert placement_of(part, ImageViews(SETTINGS, flips=True), config) == 'device'
    for views in (ImageViews(SETTINGS, crops=5), ImageViews(SETTINGS, scales=(1.0, 1.5))):
        assert placement_of(part, views, config) == 'host'
    assert placement_of(part, ImageViews(SETTINGS, crops=5), tiny_config(**{'data.device_budget_mib': 5})) == 'device'


def test_the_cache_is_where_the_configuration_says(tiny_config, train, decoded_elsewhere, tmp_path):
    assert cache_of(train, PIXELS, tiny_config()) == decoded_elsewhere
    assert cache_of(train, PIXELS, tiny_config(**{'data.cache_dir': str(tmp_path)})) == tmp_path
    assert cache_of(train, PIXELS, tiny_config(**{'data.cache': False})) is None
    large = {'data.cache_budget_mib': 1, 'data.device_budget_mib': 9}
    assert cache_of(many(train, 1200), PIXELS, tiny_config(**large)) is None
    assert cache_of(many(train, 1200), PIXELS, tiny_config(**large, **{'data.placement': 'device'})) is not None


def test_host_and_device_read_from_the_file_and_stream_does_not(tiny_config, train, tmp_path):
    where = {'data.cache_dir': str(tmp_path / 'new')}
    streamed = read_examples(train, SETTINGS, tiny_config(**{'data.placement': 'stream', **where}))
    assert isinstance(streamed.held, Part)
    assert not (tmp_path / 'new').exists()
    pixels = np.stack([streamed.views(train[i])['image'] for i in range(len(train))])
    for placement in ('host', 'device', 'auto'):
        held = read_examples(train, SETTINGS, tiny_config(**{'data.placement': placement, **where})).held
        assert isinstance(held, Decoded)
        assert isinstance(held.inputs['image'], np.memmap | MappedRows)
        np.testing.assert_array_equal(held.inputs['image'], pixels)
    without = read_examples(train, SETTINGS, tiny_config(**{'data.cache': False})).held.inputs['image']
    assert not isinstance(without, np.memmap)
    np.testing.assert_array_equal(without, pixels)


@pytest.mark.skipif(os.name != 'posix', reason='other messages of the system')
def test_a_cache_that_cannot_be_written_is_one_line(tiny_config, train, tmp_path):
    (tmp_path / 'file').write_text('')
    config = tiny_config(**{'data.cache_dir': str(tmp_path / 'file')})
    with pytest.raises(UserError, match=r'^data\.cache_dir: .* cannot be used \(Not a directory\): name another .*$'):
        read_examples(train, SETTINGS, config)
