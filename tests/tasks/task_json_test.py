"""The JSON form of a task gives it back."""

import dataclasses
import json

import pytest

from jtransfer import tasks
from jtransfer.config import optim
from jtransfer.errors import UserError
from jtransfer.tasks import base
from jtransfer.tasks.base import Task
from jtransfer.tasks.regression import Regression


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


@pytest.fixture
def kind():
    """A kind with fields of its own, known while a test runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, '_CLASSES', dict(base._CLASSES))
        patch.setattr(optim, '_FURTHER', {})

        @dataclasses.dataclass(frozen=True)
        class Rated(Regression, kind='rated'):
            exposure: float = 1.0
            bounds: tuple[tuple[float, float], ...] = ()

        yield Rated


@pytest.mark.usefixtures('kind')
def test_a_kind_has_fields_of_its_own():
    task = Task('', 'rated', ('a',), exposure=2.0, bounds=((0.0, 5.0),))
    again = tasks.from_dict(json.loads(json.dumps(tasks.to_dict(task))))
    assert again == task
    hash(again)
    with pytest.raises(UserError, match=r'a task has the fields bounds, class_names, exposure, kind, .*, unlike'):
        tasks.from_dict({**tasks.to_dict(task), 'unit': 'm'})
    with pytest.raises(UserError, match=r'a task has the fields class_names, kind, name, .*, unlike'):
        tasks.from_dict({**tasks.to_dict(task), 'kind': 'regression'})


def test_a_kind_that_nobody_has_imported_is_one_line():
    with pytest.raises(UserError, match=r"kind='rated' is not one of .*known once the module that .* is imported"):
        tasks.from_dict({'name': '', 'kind': 'rated', 'class_names': ['a']})


def test_unknown_fields_are_refused():
    with pytest.raises(UserError, match=r'a task has the fields'):
        tasks.from_dict({'name': '', 'kind': 'regression', 'class_names': ['a'], 'unit': 'm'})
