"""Which column says what: named exactly, or found by convention."""

import pytest

from jtransfer.config.data import Data
from jtransfer.data.sources.table_columns import Roles, find_roles
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task, single_label


@pytest.mark.parametrize(
    ('known', 'settings', 'roles'),
    [
        (['Path', 'LABEL'], {}, Roles('Path', ('LABEL',))),
        (
            ['file', 'y', 'patient_id', 'subset', 'Sample_Weight'],
            {},
            Roles('file', ('y',), 'patient_id', 'subset', 'Sample_Weight'),
        ),
        # A weight in grams is none in the loss, unless somebody says so.
        (['path', 'label', 'Weight', 'age'], {}, Roles('path', ('label',), unused=('Weight', 'age'))),
        (['path', 'label', 'Weight'], {'weight_column': 'Weight'}, Roles('path', ('label',), weight='Weight')),
        (['path', 'label', 'set'], {}, Roles('path', ('label',), split='set', maybe=True)),
        (['path', 'label', 'set', 'split'], {}, Roles('path', ('label',), split='split', unused=('set',))),
        (
            ['path', 'label', 'subject', 'split'],
            {'group_column': 'none', 'split_column': 'none'},
            Roles('path', ('label',), unused=('subject', 'split')),
        ),
        (['path', 'label', 'none'], {'group_column': 'none'}, Roles('path', ('label',), 'none')),
        (['image', 'label', 'site'], {'group_column': 'site'}, Roles('image', ('label',), 'site')),
        (['image', 'a', 'b'], {'label_columns': ('b', 'a')}, Roles('image', ('b', 'a'))),
        # What is named for one thing is not found for another as well.
        (
            ['path', 'image', 'label'],
            {'image_column': 'path', 'label_columns': ('image',)},
            Roles('path', ('image',), unused=('label',)),
        ),
    ],
)
def test_roles(known, settings, roles):
    assert find_roles(known, Data(**settings), 'here') == roles


NAMED = {
    'image_column': 'photo',
    'label_columns': ('kind', 'age'),
    'group_column': 'owner',
    'split_column': 'fold',
    'weight_column': 'none',
}


@pytest.mark.parametrize(
    ('known', 'roles'),
    [
        (['photo', 'kind', 'age', 'owner', 'fold'], Roles('photo', ('kind', 'age'), 'owner', 'fold')),
        (['photo', 'kind', 'owner'], Roles('photo', ('kind',), 'owner')),
        (
            ['Image', 'age', 'patient', 'split', 'sample_weight'],
            Roles('Image', ('age',), 'patient', 'split', unused=('sample_weight',)),
        ),
    ],
)
def test_a_table_to_evaluate_on_may_lack_columns_of_the_run(known, roles):
    assert find_roles(known, Data(**NAMED), 'here', training=False) == roles


@pytest.mark.parametrize(
    ('known', 'message'),
    [
        (['photo', 'label'], r"data\.label_columns: here has no column 'kind'"),
        (['pic', 'kind'], r"data\.image_column: here has no column 'photo'"),
    ],
)
def test_a_table_to_evaluate_on_has_images_and_a_label(known, message):
    with pytest.raises(UserError, match=message):
        find_roles(known, Data(**NAMED), 'here', training=False)


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


def test_what_columns_were_taken_for_is_said():
    known = ['path', 'label', 'patient', 'split', 'Weight', 'a\x1b', 'b', 'c', 'd', 'e']
    lines = find_roles(known, Data(), 'here').in_words((single_label(('x', 'y')),))
    assert lines == (
        "column 'path' holds the images, 'label' the label (single_label), 'patient' the group (no split divides one), "
        "'split' the part; not read: 'Weight', 'a\\x1b', 'b', 'c', 'd', … (6)",
        "column 'Weight' does not weigh the loss: data.weight_column=Weight would make it do so",
    )
    data = Data(label_columns=('b', 'c'), weight_column='Weight')
    tasks = (single_label(('x', 'y'), 'b'), Task('c', 'regression', ('c',)))
    (line,) = find_roles(['path', 'b', 'c', 'Weight'], data, 'here').in_words(tasks)
    assert line == (
        "column 'path' holds the images, 'b' the label (single_label), 'c' the label (regression), 'Weight' the weight "
        'in the loss'
    )
