"""Labels from cells; whole tables are tested with their sources."""

import numpy as np
import pytest

from jtransfer.config.data import Data
from jtransfer.data.sources.table_columns import Column, Roles
from jtransfer.data.sources.table_labels import read_facts, read_labels
from jtransfer.errors import UserError


def row(index):
    return f'row {index + 1}'


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
    np.testing.assert_array_equal(values[''], labels)


def test_a_number_that_is_none_names_its_row():
    with pytest.raises(UserError, match="here: column 'age', row 2: 'old' is not a finite number"):
        read_labels([Column('age', 'text', ['1', 'old'])], Data(task='regression'), 'here', row)


@pytest.mark.parametrize(
    ('kind', 'cells', 'classes', 'labels'),
    [
        ('text', ['1', '1.0', ' 2', '2'], ('1', '2'), [0, 0, 1, 1]),
        ('float', ['1.0', '2.0', '1e0', '1.0'], ('1', '2'), [0, 1, 0, 0]),
        ('text', ['0.50', '.5', '2', '2.'], ('0.5', '2'), [0, 0, 1, 1]),
        # Codes, words and what a file says are texts are what they are.
        ('text', ['01', '1', '1', '01'], ('01', '1'), [0, 1, 1, 0]),
        ('text', ['1', '1.0', 'x', '1'], ('1', '1.0', 'x'), [0, 1, 2, 0]),
        ('string', ['1', '1.0', '1', '1.0'], ('1', '1.0'), [0, 1, 0, 1]),
        ('text', ['9007199254740993', '9007199254740992.0'] * 2, ('9007199254740992', '9007199254740993'), [1, 0] * 2),
    ],
)
def test_one_number_is_one_class_however_it_is_written(kind, cells, classes, labels):
    (task,), found = read_labels([Column('kind', kind, cells)], Data(task='single_label'), 'here', row)
    assert task.class_names == classes
    np.testing.assert_array_equal(found[''], labels)


def test_what_is_one_class_or_group_is_said():
    columns = {
        'kind': Column('kind', 'text', ['1', '1.0', '2', '2']),
        'zip': Column('zip', 'text', ['07', '7', '8', '9']),
    }
    facts = read_facts(columns, Roles('path', ('kind',), 'zip'), Data(task='single_label'), 'here', row)
    assert facts.notes[1:] == (
        "column 'kind': 1 and 1.0 are the same, as numbers are",
        "column 'zip': 07 and 7 are different: leading zeros make them texts, not numbers",
    )
    assert facts.groups == ('07', '7', '8', '9')
    columns['zip'] = Column('zip', 'text', ['7', '7.0', '8', '9'])
    facts = read_facts(columns, Roles('path', ('kind',), 'zip'), Data(task='regression'), 'here', row)
    assert facts.groups == ('7', '7', '8', '9')
    assert facts.notes[1:] == ("column 'zip': 7 and 7.0 are the same, as numbers are",)


def test_several_labels_that_are_numbers_have_one_name_each():
    (task,), values = read_labels([Column('tags', 'text', ['1|2', '2.0', '', '1'])], Data(task='multi_label'), 'x', row)
    assert task.class_names == ('1', '2')
    np.testing.assert_array_equal(values[''], [[1, 1], [0, 1], [0, 0], [1, 0]])


def test_class_names_of_a_file_are_checked():
    with pytest.raises(UserError, match="here: column 'label': the class name 'a' stands twice among a, b, a"):
        read_labels([Column('label', 'string', ['a', 'b'], ('a', 'b', 'a '))], Data(), 'here', row)
    with pytest.raises(UserError, match="here: column 'label', row 2: 'x' is none of the classes a, b"):
        read_labels([Column('label', 'string', ['a', 'x'], ('a', 'b'))], Data(), 'here', row)
