"""Labels by task: taking, counting, strata, and what is wrong with them."""

import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.tasks import labels as targets
from jtransfer.tasks.base import Task, labelled, single_label

CLASSES = single_label(('a', 'b', 'c'))
TAGS = Task('tags', 'multi_label', ('x', 'y'))
AGE = Task('age', 'regression', ('age',))
KIND = single_label(('a', 'b'), name='kind')
SEVERAL = {
    'kind': np.array([0, 1, -1], np.int32),
    'tags': np.array([[0, 1], [1, 1], [np.nan, np.nan]], np.float32),
    'age': np.array([[3.0], [np.nan], [5.0]], np.float32),
}


def test_what_is_taken_is_of_every_task():
    taken = targets.take(SEVERAL, np.array([2, 0]))
    assert list(taken) == list(SEVERAL)
    for name, values in SEVERAL.items():
        np.testing.assert_array_equal(taken[name], values[[2, 0]])
        assert taken[name].dtype == values.dtype
        np.testing.assert_array_equal(targets.take(SEVERAL, 1)[name], values[1])


def test_count_is_that_of_examples():
    assert targets.count(SEVERAL) == targets.count({'': SEVERAL['age']}) == 3


def test_labelled_examples():
    np.testing.assert_array_equal(labelled(SEVERAL['kind']), [True, True, False])
    np.testing.assert_array_equal(labelled(SEVERAL['tags']), [True, True, False])
    np.testing.assert_array_equal(labelled(SEVERAL['age']), [True, False, True])


def test_strata_are_those_of_the_first_task_with_classes():
    np.testing.assert_array_equal(targets.strata(SEVERAL, (AGE, KIND, TAGS)), [0, 1, 2])
    np.testing.assert_array_equal(targets.strata(SEVERAL, (AGE, TAGS, KIND)), [[0, 1], [1, 1], [0, 0]])
    np.testing.assert_array_equal(targets.strata({'age': SEVERAL['age']}, (AGE,)), [0, 0, 0])


def test_right_labels_pass():
    targets.check_labels(SEVERAL, (KIND, TAGS, AGE), 'pqr', 'here')
    targets.check_labels({'': np.array([0, 2, -1], np.int32)}, (CLASSES,), 'pqr', 'here')


@pytest.mark.parametrize(
    ('labels', 'tasks', 'message'),
    [
        ({'': np.array([0, 3, 1], np.int32)}, (CLASSES,), r'example q has label 3, outside 0 to 2 \(3 classes\)'),
        ({'': np.array([0.0, 1.0, 1.0])}, (CLASSES,), 'must be class numbers'),
        ({'': np.array([0, 1], np.int32)}, (CLASSES,), '2 labels for 3 examples'),
        (SEVERAL, (CLASSES,), 'those of one an array'),
        ({'': SEVERAL['age']}, (KIND, AGE), 'must be a dictionary by task'),
        ({'kind': SEVERAL['kind'], 'age': SEVERAL['age']}, (KIND, AGE, TAGS), 'labels are of kind, age, tasks are'),
        (
            {**SEVERAL, 'tags': np.full((3, 2), 0.5, np.float32)},
            (KIND, TAGS, AGE),
            'example p has label .*neither 0 nor',
        ),
        ({**SEVERAL, 'age': np.full((3, 1), np.inf, np.float32)}, (KIND, TAGS, AGE), 'here, age: .*not finite'),
        ({**SEVERAL, 'age': np.zeros((3, 2), np.float32)}, (KIND, TAGS, AGE), r'must be floating numbers \[3, 1\]'),
    ],
)
def test_wrong_labels_are_one_line(labels, tasks, message):
    with pytest.raises(UserError, match=message) as caught:
        targets.check_labels(labels, tasks, 'pqr', 'here')
    assert '\n' not in str(caught.value)
