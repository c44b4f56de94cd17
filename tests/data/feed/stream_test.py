"""Tests of jtransfer/data/feed/stream.py: whatever makes the batches, they are those of the decoded part."""

import functools
import warnings

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jtransfer import config
from jtransfer.data.decode.images import UnreadableImageError
from jtransfer.data.decode.memory import Decoded, decode_part
from jtransfer.data.feed import stream
from jtransfer.data.feed.batches import training_batch
from jtransfer.data.feed.stream import host_batches, stream_batches
from jtransfer.data.parts import load_parts
from jtransfer.errors import OutOfMemoryError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import TrainingImage

PIXELS = TrainingImage(ImagePreprocessor(8), crops=True)


@pytest.fixture
def part(tmp_path):
    rng = np.random.default_rng(0)
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        for i in range(7):
            Image.fromarray(rng.integers(0, 256, (12, 10 + i, 3), np.uint8)).save(tmp_path / name / f'{i}.jpg')
    return load_parts(config.Data(source=f'folder:{tmp_path}', test_fraction=0.0, batch_size=4), 0).train


def assert_same_batches(streamed, decoded, start, count, seed, repeats=1, classes=None):
    streamed = list(streamed)
    assert len(streamed) == count
    for step, batch in enumerate(streamed, start):
        expected = training_batch(decoded, step, 4, seed, repeats, classes)
        assert batch.keys() == expected.keys()
        np.testing.assert_equal(batch, expected)
        assert jax.tree.map(lambda leaf: leaf.dtype, batch) == jax.tree.map(lambda leaf: leaf.dtype, expected)


@pytest.mark.parametrize(('start', 'count'), [(0, 9), (5, 4), (1000, 3)])
@pytest.mark.parametrize('repeats', [1, 2, 3])
def test_stream_equals_memory_from_any_step(part, start, count, repeats):
    decoded = decode_part(part, PIXELS)
    streamed = stream_batches(part, PIXELS, 4, 3, start, count, repeats=repeats)
    assert_same_batches(streamed, decoded, start, count, seed=3, repeats=repeats)


@pytest.mark.parametrize('repeats', [1, 2])
@pytest.mark.parametrize('balanced', [False, True])
@pytest.mark.parametrize('workers', [0, 1])
def test_streamed_and_gathered_batches_are_the_same_ones(part, repeats, balanced, workers):
    decoded = decode_part(part, PIXELS)
    classes = part.labels[''] if balanced else None
    streamed = stream_batches(part, PIXELS, 4, 3, 2, 6, workers, repeats, classes)
    assert_same_batches(streamed, decoded, 2, 6, 3, repeats, classes)
    assert_same_batches(host_batches(decoded, 4, 3, 2, 6, repeats, classes), decoded, 2, 6, 3, repeats, classes)


def rows_of(batches):
    """The batches of several processes, put together."""
    together = []
    for pieces in zip(*batches, strict=True):
        together.append(jax.tree.map(lambda *rows: np.concatenate(rows), *pieces))
    return together


@pytest.mark.parametrize('processes', [1, 2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize('balanced', [False, True])
def test_the_rows_of_all_processes_are_the_batch_and_every_example_comes_once(part, processes, balanced):
    decoded = decode_part(part, PIXELS)
    where = {'classes': part.labels[''] if balanced else None, 'processes': processes}
    steps = len(part)  # four epochs
    for makes in (
        functools.partial(host_batches, decoded, 4, 3, 0, steps, **where),
        functools.partial(stream_batches, part, PIXELS, 4, 3, 0, steps, **where),
    ):
        together = rows_of([makes(process=process) for process in range(processes)])
        assert_same_batches(together, decoded, 0, steps, 3, classes=where['classes'])
        if not balanced:
            seen = [pair for b in together for pair in zip(b['epoch'].tolist(), b['id'].tolist(), strict=True)]
            assert sorted(seen) == [(epoch, i) for epoch in range(4) for i in range(len(part))]


@settings(max_examples=5, deadline=None, derandomize=True)
@given(
    n=st.integers(4, 30),
    each=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    start=st.integers(0, 100),
    repeats=st.integers(1, 3),
    balanced=st.booleans(),
)
def test_any_number_of_processes_sees_the_same_batches(n, each, seed, start, repeats, balanced):
    labels = np.arange(n, dtype=np.int32) % 3
    images, aspects = np.arange(n * 3, dtype=np.uint8).reshape(n, 1, 1, 3), np.arange(n, dtype=np.float32)
    decoded = Decoded(
        inputs={'image': images, 'aspect': aspects},
        labels={'': labels},
        ids=tuple(map(str, range(n))),
        skipped=(),
        class_names=('a', 'b', 'c'),
        tasks=(),
        weights=np.arange(n, dtype=np.float32) / n,
    )
    batch_size, classes = 4 * each, labels if balanced else None
    for processes in (1, 2, 4):
        makes = functools.partial(host_batches, decoded, batch_size, seed, start, 3, repeats, classes)
        together = rows_of([makes(process=process, processes=processes) for process in range(processes)])
        for step, batch in enumerate(together, start):
            expected = training_batch(decoded, step, batch_size, seed, repeats, classes)
            assert batch.keys() == expected.keys()
            np.testing.assert_equal(batch, expected)


def test_a_process_decodes_its_own_rows_alone(part):
    decoded = []

    def pixels(example):
        decoded.append(example['id'])
        return PIXELS(example)

    assert len(list(stream_batches(part, pixels, 4, 3, 0, 5, process=1, processes=4))) == 5
    assert len(decoded) == 5


def test_the_copies_of_an_image_in_a_batch_are_decoded_once(part):
    decoded = []

    def pixels(example):
        decoded.append(example['id'])
        return PIXELS(example)

    assert len(list(stream_batches(part, pixels, 8, 3, 0, 3, repeats=4))) == 3
    assert len(decoded) == 3 * 8 / 4


def test_worker_processes_give_the_same_and_start_no_accelerator(part):
    decoded = decode_part(part, PIXELS)

    def pixels(example):
        from jax._src import xla_bridge

        assert not xla_bridge.backends_are_initialized()
        return PIXELS(example)

    with warnings.catch_warnings():
        warnings.simplefilter('error', ResourceWarning)
        streamed = stream_batches(part, pixels, 4, 0, 2, 5, workers=2, repeats=3)
        assert_same_batches(streamed, decoded, 2, 5, seed=0, repeats=3)


def test_stopping_early_leaves_no_process(part):
    import multiprocessing

    batches = stream_batches(part, PIXELS, 4, 0, 0, 1000, workers=1)
    assert next(batches)['inputs']['image'].shape == (4, 9, 9, 3)
    batches.close()
    assert not multiprocessing.active_children()


def test_an_image_that_goes_bad_is_named(part, tmp_path):
    (tmp_path / 'a/2.jpg').write_bytes(b'no image')
    with pytest.raises(UnreadableImageError, match=r'a/2.jpg is truncated'):
        list(stream_batches(part, PIXELS, 4, 0, 0, 4))


def test_a_decoding_process_that_the_system_ends_is_one_line():
    def batches(message):
        yield {'label': 1}
        raise RuntimeError(message)

    # Grain's words; the real thing takes seconds.
    told = stream._told(batches('Worker process was terminated unexpectedly with exit code -9. Search the logs above'))
    assert next(told) == {'label': 1}
    with pytest.raises(OutOfMemoryError, match=r'ended from outside \(exit code -9\), as the system does when memory'):
        next(told)
    told = stream._told(batches('another'))
    with pytest.raises(RuntimeError, match=r'^another$'):
        list(told)
