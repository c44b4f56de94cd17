"""Tests of jtransfer/data/decode/mapped.py."""

import numpy as np
import pytest

from jtransfer.data.decode.mapped import MappedRows, map_rows


@pytest.fixture
def file(tmp_path):
    whole = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), np.uint8)
    whole.tofile(tmp_path / 'pixels')
    return np.memmap(tmp_path / 'pixels', np.uint8, 'r', shape=whole.shape)


@pytest.mark.parametrize('index', [0, -1, np.int32(2), slice(1, 4), slice(None), [2, 0, 2], np.array([3, 1]), []])
def test_it_is_indexed_as_an_array(file, index):
    rows = np.array([7, 2, 2, 5])
    images, array = map_rows(file, rows), np.array(file)[rows]
    index = np.array(index, np.int64) if isinstance(index, list) else index
    np.testing.assert_array_equal(images[index], array[index])
    assert not np.shares_memory(images[index], file)


def test_it_looks_like_an_array(file):
    images, array = map_rows(file, np.array([7, 2, 2, 5])), np.array(file)[[7, 2, 2, 5]]
    assert isinstance(images, MappedRows)
    assert (len(images), images.shape, images.dtype, images.nbytes) == (4, array.shape, array.dtype, array.nbytes)
    np.testing.assert_array_equal(images, array)
    np.testing.assert_array_equal(np.stack(list(images)), array)
    assert np.asarray(images, np.float32).dtype == np.float32
    with pytest.raises(IndexError):
        images[4]
    with pytest.raises(ValueError, match='only as a copy'):
        np.asarray(images, copy=False)


@pytest.mark.parametrize(('start', 'stop'), [(0, 9), (0, 4), (3, 9), (4, 5)])
def test_rows_in_a_row_are_a_piece_of_the_file(file, start, stop):
    images = map_rows(file, np.arange(start, stop))
    assert isinstance(images, np.memmap)
    assert np.shares_memory(images, file)
    np.testing.assert_array_equal(images, np.array(file)[start:stop])
