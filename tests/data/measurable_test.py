"""Parts that nothing can be learnt from or measured on, and classes that a part lacks."""

import numpy as np
import pytest

from jtransfer.data.measurable import check_part, check_parts, missing_classes, without_figure
from jtransfer.data.part import Part
from jtransfer.data.parts import Parts
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task, single_label
from tests.experiments.pictures import Pictures

TAGS = Task('', 'multi_label', ('red', 'striped', 'round'))
KINDS = single_label(('ant', 'bee', 'cat'), 'kind')
AGE = Task('age', 'regression', ('years',))


def part_of(labels, tasks):
    count = len(next(iter(labels.values()))) if isinstance(labels, dict) else len(labels)
    return Part(Pictures(np.zeros((count, 4, 4, 3), np.uint8), labels, tasks), np.arange(count))


def tags(*rows):
    return part_of(np.array(rows, np.float32), (TAGS,))


def test_a_part_without_a_positive_has_nothing_to_measure():
    check_part(tags([0, 0, 0], [0, 1, 0]), 'test')
    with pytest.raises(UserError, match=r'none of the 2 examples of the test part has any of the labels: nothing can'):
        check_part(tags([0, 0, 0], [0, 0, 0]), 'test')
    with pytest.raises(UserError, match=r'none of the 2 examples of the test part has any of the labels'):
        check_part(tags([0, 0, 0], [1, 1, np.nan]), 'test')
    train = tags([1, 1, 1], [0, 1, 0])
    for name in ('validation', 'test'):
        parts = Parts(train, *((tags([0, 0, 0]), None) if name == 'validation' else (None, tags([0, 0, 0]))), ('red',))
        with pytest.raises(UserError, match=f'none of the 1 examples of the {name} part has any of the labels'):
            check_parts(parts)


@pytest.mark.parametrize('task', ['kind', 'age'])
def test_a_part_without_a_label_for_a_task_is_named(task):
    labels = {'kind': np.array([0, 1], np.int32), 'age': np.ones((2, 1), np.float32)}
    check_part(part_of(labels, (KINDS, AGE)), 'validation')
    labels[task] = np.full_like(labels[task], -1 if task == 'kind' else np.nan)
    with pytest.raises(UserError, match=f'none of the 2 examples of the validation part has a label for {task}'):
        check_part(part_of(labels, (KINDS, AGE)), 'validation')


def test_classes_without_an_example_are_said():
    own = part_of(np.array([0, 0, 2, -1], np.int32), (single_label(KINDS.class_names),))
    assert missing_classes(own.tasks[0], own.labels) == ('bee',)
    assert missing_classes(TAGS, tags([1, 0, 0], [0, np.nan, 1]).labels) == ('striped', 'round')
    assert missing_classes(AGE, {'age': np.ones((2, 1), np.float32)}) == ()
    train = tags([1, 1, 1])
    lines = without_figure(Parts(train, tags([1, 1, 0]), tags([1, 0, 0]), TAGS.class_names))
    assert lines == [
        "the validation part has no example of the class 'round': it has no figure of its own",
        'the test part has no example of 2 of the 3 classes (striped, round): they have no figures of their own',
    ]
    assert without_figure(Parts(train, None, train, TAGS.class_names)) == []


def test_numbers_that_are_all_the_same_are_said():
    train, test = (part_of({'age': np.array(values)[:, None]}, (AGE,)) for values in ([1.0, 2, 3], [2.0, 2, np.nan]))
    lines = without_figure(Parts(train, None, test, ()))
    assert lines == [
        'the test part has one value alone of years: R² says nothing there (it is 1 if every prediction is exact, and '
        'else 0)'
    ]
    assert KINDS.remarks(np.zeros(3, np.int32), 'here') == []
