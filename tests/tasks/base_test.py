"""What a task may be, and that its JSON form gives it back."""

import json

import pytest

from jtransfer import tasks
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task


@pytest.mark.parametrize(
    'task',
    [
        tasks.single_label(['a', 'b']),
        Task('tags', 'multi_label', ('a',), weight=0.5),
        Task('', 'regression', ('age', 'height'), offset=(1.0, 2.0), scale=(3.0, 4.0)),
    ],
)
def test_json_gives_the_task_back(task):
    assert tasks.from_dict(json.loads(json.dumps(tasks.to_dict(task)))) == task


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (('', 'classes', ('a',)), "kind='classes' is not one of single_label, multi_label, regression"),
        (('age', 'regression', ()), "task 'age' has no outputs"),
        (('', 'regression', ('a', 'b'), 1.0, (1.0,)), '1 values of offset for 2 outputs'),
        (('', 'single_label', ('a', 'b'), 1.0, (1.0, 2.0)), 'single_label.*2 values of offset'),
    ],
)
def test_what_cannot_be_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Task(*fields)


def test_unknown_fields_are_refused():
    with pytest.raises(UserError, match='a task has the fields'):
        tasks.from_dict({'name': '', 'kind': 'regression', 'class_names': ['a'], 'unit': 'm'})
