"""The tasks and outputs that some labels are of, and what is measured of them."""

import numpy as np

from jtransfer.tasks import Task, single_label
from jtransfer.tasks.base import labelled
from jtransfer.tasks.present import narrowed, present_tasks
from tests.tasks.spread import Spread

NAN = np.nan
KIND = single_label(('a', 'b'), 'kind')
SIZE = Task('size', 'regression', ('mm', 'g', 's'), offset=(1.0, 2.0, 3.0), scale=(4.0, 5.0, 6.0))
LABELS = {'kind': np.array([-1, -1], np.int32), 'size': np.array([[1.0, NAN, NAN], [2.0, NAN, 3.0]])}


def test_a_head_and_numbers_without_any_label_are_not_there():
    (found,) = present_tasks([KIND, SIZE], LABELS)
    assert found.columns.tolist() == [0, 2]
    assert found.task == Task('size', 'regression', ('mm', 's'), offset=(1.0, 3.0), scale=(4.0, 6.0))
    np.testing.assert_array_equal(narrowed(LABELS, [found])['size'], LABELS['size'][:, [0, 2]])


def test_what_is_whole_stays_as_it_is():
    labels = {'': np.array([[0.0, 1.0], [NAN, 1.0]], np.float32)}
    task = Task('', 'multi_label', ('x', 'y'))
    (found,) = present_tasks([task], labels)
    assert (found.task, found.columns) == (task, None)
    assert narrowed(labels, [found])[''] is labels['']


def test_outputs_that_are_of_no_name_alone_stay_together():
    labels = {'': np.array([[1.0, NAN], [2.0, NAN]])}
    task = Spread('', 'spread', ('mm', 'g'))
    assert task.read(labels[''], 'here').shape == (2, 2)
    (found,) = present_tasks([task], {'': np.array([[1.0, 2.0], [2.0, NAN]])})
    assert (found.task, found.columns) == (task, None)
    assert not labelled(labels['']).any()


def test_without_any_label_all_is_there_for_whoever_measures_to_say_so():
    nothing = {'kind': LABELS['kind'], 'size': np.full((2, 3), NAN)}
    assert [each.task for each in present_tasks([KIND, SIZE], nothing)] == [KIND, SIZE]
