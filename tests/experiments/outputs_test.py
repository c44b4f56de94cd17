"""Outputs come back from their file as they went in."""

import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.experiments.outputs import Outputs, read_outputs, same_labels, write_outputs

ONE = Outputs(('a/ü.jpg', 'b c.png'), np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([1, 0], np.int32))
SEVERAL = Outputs(
    ('p', 'q'),
    {'kind': np.ones((2, 3), np.float32), 'age': np.zeros((2, 1), np.float32)},
    {'kind': np.array([-1, 2], np.int32), 'age': np.array([[np.nan], [4.0]], np.float32)},
)


@pytest.mark.parametrize('outputs', [ONE, SEVERAL])
def test_the_file_gives_them_back(tmp_path, outputs):
    write_outputs(tmp_path / 'outputs.npz', outputs)
    again = read_outputs(tmp_path / 'outputs.npz')
    assert again.ids == outputs.ids
    for name in ('outputs', 'labels'):
        np.testing.assert_equal(getattr(again, name), getattr(outputs, name))


def test_some_of_them():
    second = SEVERAL.of(np.array([1]))
    assert second.ids == ('q',)
    np.testing.assert_equal(second.labels, {'kind': np.array([2], np.int32), 'age': np.array([[4.0]], np.float32)})


def test_a_missing_or_damaged_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match='is not there or damaged'):
        read_outputs(tmp_path / 'outputs.npz')
    (tmp_path / 'outputs.npz').write_bytes(b'PK\x03\x04 no more')
    with pytest.raises(UserError, match='is not there or damaged'):
        read_outputs(tmp_path / 'outputs.npz')


def test_labels_of_a_file_that_held_them_as_float32_are_the_same():
    exact = np.array([[0.1], [1700003600.0], [np.nan]])
    assert same_labels(exact.astype(np.float32), exact)
    assert same_labels({'age': exact}, {'age': exact.astype(np.float32)})
    assert not same_labels(exact, exact + 1)
    assert not same_labels(exact.astype(np.float32), exact + 1000)
