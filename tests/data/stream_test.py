"""Tests of jtransfer/data/stream.py: streaming gives exactly the batches of the decoded part."""

import functools
import warnings

import numpy as np
import pytest
from PIL import Image

from jtransfer import config
from jtransfer.data.batches import training_batch
from jtransfer.data.images import UnreadableImageError
from jtransfer.data.memory import decode_part
from jtransfer.data.parts import load_parts
from jtransfer.data.stream import stream_batches
from jtransfer.preprocessing import Preprocessing, whole_picture

PIXELS = functools.partial(whole_picture, side=9)


@pytest.fixture
def part(tmp_path):
    rng = np.random.default_rng(0)
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        for i in range(7):
            Image.fromarray(rng.integers(0, 256, (12, 10 + i, 3), np.uint8)).save(tmp_path / name / f'{i}.jpg')
    return load_parts(config.Data(source=f'folder:{tmp_path}', test_fraction=0.0, batch_size=4), 0).train


def assert_same_batches(streamed, decoded, start, count, seed, repeats=1):
    streamed = list(streamed)
    assert len(streamed) == count
    for step, batch in enumerate(streamed, start):
        expected = training_batch(decoded, step, 4, seed, repeats)
        assert batch.keys() == expected.keys()
        for name in expected:
            assert batch[name].dtype == expected[name].dtype
            np.testing.assert_array_equal(batch[name], expected[name])


@pytest.mark.parametrize(('start', 'count'), [(0, 9), (5, 4), (1000, 3)])
@pytest.mark.parametrize('repeats', [1, 2, 3])
def test_stream_equals_memory_from_any_step(part, start, count, repeats):
    decoded = decode_part(part, PIXELS)
    streamed = stream_batches(part, PIXELS, 4, 3, start, count, repeats=repeats)
    assert_same_batches(streamed, decoded, start, count, seed=3, repeats=repeats)


def test_the_copies_of_an_image_in_a_batch_are_decoded_once(part):
    decoded = []

    def pixels(image):
        decoded.append(image.shape)
        return PIXELS(image)

    assert len(list(stream_batches(part, pixels, 8, 3, 0, 3, repeats=4))) == 3
    assert len(decoded) == 3 * 8 / 4


def test_worker_processes_give_the_same_and_start_no_accelerator(part):
    decoded = decode_part(part, PIXELS)
    settings = Preprocessing(9)

    def pixels(image):
        from jax._src import xla_bridge

        assert not xla_bridge.backends_are_initialized()
        return whole_picture(image, settings.image_size)

    with warnings.catch_warnings():
        warnings.simplefilter('error', ResourceWarning)
        streamed = stream_batches(part, pixels, 4, 0, 2, 5, workers=2, repeats=3)
        assert_same_batches(streamed, decoded, 2, 5, seed=0, repeats=3)


def test_stopping_early_leaves_no_process(part):
    import multiprocessing

    batches = stream_batches(part, PIXELS, 4, 0, 0, 1000, workers=1)
    assert next(batches)['image'].shape == (4, 9, 9, 3)
    batches.close()
    assert not multiprocessing.active_children()


def test_an_image_that_goes_bad_is_named(part, tmp_path):
    (tmp_path / 'a/2.jpg').write_bytes(b'no image')
    with pytest.raises(UnreadableImageError, match=r'a/2.jpg is truncated'):
        list(stream_batches(part, PIXELS, 4, 0, 0, 4))
