"""Class names in order, and labels from cells; whole tables are tested with their sources."""

import numpy as np
import pytest

from jtransfer.config_data import Data
from jtransfer.data.table_columns import Column
from jtransfer.data.table_labels import read_labels, sorted_classes
from jtransfer.errors import UserError


def row(index):
    return f'row {index + 1}'


@pytest.mark.parametrize(
    ('names', 'ordered'),
    [({'10', '9', '-1'}, ('-1', '9', '10')), ({'b', 'a', '10'}, ('10', 'a', 'b')), (set(), ())],
)
def test_classes_are_sorted_by_number_where_all_are_numbers(names, ordered):
    assert sorted_classes(names) == ordered


@pytest.mark.parametrize(
    ('kind', 'cells', 'task', 'labels'),
    [
        ('text', ['b', 'a', 'b'], 'single_label', [1, 0, 1]),
        ('integer', ['3', '1', '3'], 'single_label', [1, 0, 1]),
        ('bool', ['true', 'false', 'true'], 'single_label', [1, 0, 1]),
        ('float', ['0.5', '', '2.0'], 'regression', [[0.5], [np.nan], [2]]),
        ('list', [('a', 'b'), (), ('b',)], 'multi_label', [[1, 1], [0, 0], [0, 1]]),
    ],
)
def test_the_task_follows_from_the_cells(kind, cells, task, labels):
    (found,), values = read_labels([Column('label', kind, cells)], Data(), 'here', row)
    assert found.kind == task
    np.testing.assert_array_equal(values, labels)


def test_a_number_that_is_none_names_its_row():
    with pytest.raises(UserError, match="here: column 'age', row 2: 'old' is not a finite number"):
        read_labels([Column('age', 'text', ['1', 'old'])], Data(task='regression'), 'here', row)
