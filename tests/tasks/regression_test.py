"""What numbers say in words and rows, and how they are scaled; the rest is in contract_test."""

import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.tasks import Task

SIZE = Task('size', 'regression', ('mm', 'g'))


def test_large_numbers_keep_their_digits_and_float32_stays():
    labels = np.array([[1700003600, 1], [1700007200, 2]])
    assert SIZE.read(labels, 'here').dtype == np.float64
    np.testing.assert_array_equal(SIZE.read(labels, 'here'), labels)
    assert SIZE.read(labels.astype(np.float32), 'here').dtype == np.float32
    assert SIZE.label_text(labels[0]) == 'mm 1700003600, g 1'
    with pytest.raises(UserError, match='here: labels are no numbers'):
        SIZE.read(np.array([['a', 'b']]), 'here')


def test_a_scaling_is_of_what_is_labelled_and_never_of_nothing():
    task = SIZE.fitted(np.array([[1.0, 7.0], [3.0, 7.0], [np.nan, np.nan]]))
    assert (task.offset, task.scale) == ((2.0, 7.0), (1.0, 1.0))
    assert task.fitted(np.zeros((2, 2))) is task
    with pytest.raises(UserError, match='the numbers of size are too large: their standard deviation is not finite'):
        SIZE.fitted(np.array([[1e308, 0], [-1e308, 0]]))


def test_rows_go_from_the_least_to_the_largest_and_leave_out_what_has_no_number():
    rows = SIZE.groups(np.array([[3.0, 0], [np.nan, 0], [1.0, 0]]))
    assert [(title, found.tolist()) for title, found in rows] == [('mm 1 to 1', [2]), ('mm 3 to 3', [0])]
