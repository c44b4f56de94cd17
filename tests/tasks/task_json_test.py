"""The JSON form of a task gives it back."""

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


def test_unknown_fields_are_refused():
    with pytest.raises(UserError, match='a task has the fields'):
        tasks.from_dict({'name': '', 'kind': 'regression', 'class_names': ['a'], 'unit': 'm'})
