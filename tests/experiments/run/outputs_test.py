"""Outputs come back from their file as they went in."""

import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.experiments.run import outputs as outputs_module
from jtransfer.experiments.run.outputs import Outputs, read_outputs, same_labels, write_outputs
from tests.flips import flip, places

ONE = Outputs(
    ('a/ü.jpg', 'b c.png'), {'': np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)}, {'': np.array([1, 0], np.int32)}
)
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
    with pytest.raises(UserError, match='is not there'):
        read_outputs(tmp_path / 'outputs.npz')
    (tmp_path / 'outputs.npz').write_bytes(b'PK\x03\x04 no more')
    with pytest.raises(UserError, match='is damaged'):
        read_outputs(tmp_path / 'outputs.npz')


@pytest.mark.parametrize(
    'arrays',
    [
        {},
        {'ids': np.array([1, 2])},
        {'ids': np.array(['a', 'b'])},
        {'ids': np.array([['a', 'b']]), 'outputs': np.ones((2, 3)), 'labels': np.ones(2)},
        {'ids': np.array(['a', 'b']), 'outputs': np.ones((3, 3)), 'labels': np.ones(2)},
        {'ids': np.array(['a', 'b']), 'outputs': np.ones((2, 3)), 'labels': np.ones(())},
        {'ids': np.array(['a', 'b']), 'outputs': np.array([['a'], ['b']]), 'labels': np.ones(2)},
        {'ids': np.array(['a', 'b']), 'outputs': np.ones((2, 3)), 'labels/kind': np.ones(2)},
    ],
)
def test_arrays_that_are_no_outputs_are_one_line(tmp_path, arrays):
    np.savez(tmp_path / 'outputs.npz', **arrays)
    with pytest.raises(UserError, match=r'is damaged \(.*; delete the result.json of the run') as told:
        read_outputs(tmp_path / 'outputs.npz')
    assert '\n' not in str(told.value)


def test_a_flipped_bit_or_a_lost_end_is_never_another_output_in_silence(tmp_path):
    path = tmp_path / 'outputs.npz'
    write_outputs(path, SEVERAL)
    content = path.read_bytes()
    noticed = 0
    for position in places(len(content), 100):
        path.write_bytes(content)
        flip(path, position)
        for damaged in (path.read_bytes(), content[:position]):
            path.write_bytes(damaged)
            try:
                again = read_outputs(path)
            except UserError:
                noticed += 1
                continue
            assert again.ids == SEVERAL.ids
            for name in ('outputs', 'labels'):
                np.testing.assert_equal(getattr(again, name), getattr(SEVERAL, name))
    assert noticed > 120


def test_more_than_a_limit_is_not_unpacked(tmp_path, monkeypatch):
    write_outputs(tmp_path / 'outputs.npz', ONE)
    monkeypatch.setattr(outputs_module, 'MAX_BYTES', 100)
    with pytest.raises(UserError, match='bytes are more than the 100 that are read'):
        read_outputs(tmp_path / 'outputs.npz')


def test_labels_of_a_file_that_held_them_as_float32_are_the_same():
    exact = np.array([[0.1], [1700003600.0], [np.nan]])
    assert same_labels({'': exact.astype(np.float32)}, {'': exact})
    assert same_labels({'age': exact}, {'age': exact.astype(np.float32)})
    assert not same_labels({'': exact}, {'': exact + 1})
    assert not same_labels({'': exact.astype(np.float32)}, {'': exact + 1000})
