"""Which column says what: named exactly, or found by convention."""

import pytest

from jtransfer.config_data import Data
from jtransfer.data.table_columns import Roles, find_roles
from jtransfer.errors import UserError


@pytest.mark.parametrize(
    ('known', 'settings', 'roles'),
    [
        (['Path', 'LABEL'], {}, Roles('Path', ('LABEL',))),
        (['file', 'y', 'patient_id', 'subset', 'weight'], {}, Roles('file', ('y',), 'patient_id', 'subset', 'weight')),
        (['image', 'label', 'site'], {'group_column': 'site'}, Roles('image', ('label',), 'site')),
        (['image', 'a', 'b'], {'label_columns': ('b', 'a')}, Roles('image', ('b', 'a'))),
        # What is named for one thing is not found for another as well.
        (['path', 'image', 'label'], {'image_column': 'path', 'label_columns': ('image',)}, Roles('path', ('image',))),
    ],
)
def test_roles(known, settings, roles):
    assert find_roles(known, Data(**settings), 'here') == roles


@pytest.mark.parametrize(
    ('known', 'settings', 'message'),
    [
        (['image', 'label'], {'weight_column': 'wait'}, "data.weight_column: here has no column 'wait'"),
        (['picture', 'label'], {}, 'here has no column called image, .*, but picture, label: name it with'),
        (['image;label'], {}, 'columns are separated by commas'),
        (['image', 'label', 'label'], {}, "here has 2 columns called 'label'"),
        (['image', 'label'], {'label_columns': ('image',), 'image_column': 'image'}, 'cannot be both'),
    ],
)
def test_each_mistake_is_one_clear_line(known, settings, message):
    with pytest.raises(UserError, match=message) as caught:
        find_roles(known, Data(**settings), 'here')
    assert '\n' not in str(caught.value)
