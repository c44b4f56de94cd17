"""A part shows the examples that it chose, and whatever else its source knows of them."""

import numpy as np
import pytest

from jtransfer.data.part import Part
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.data.sources.digits import load_digits
from jtransfer.tasks.base import Task

IMAGES = np.arange(6 * 2 * 2 * 3, dtype=np.uint8).reshape(6, 2, 2, 3)
CHOSEN = np.array([4, 0, 3])


def test_examples_labels_and_names_are_those_chosen_in_order():
    part = Part(ArraySource(IMAGES, [0, 1] * 3, ('a', 'b'), list('uvwxyz')), CHOSEN)
    assert len(part) == 3
    assert part.ids == ('y', 'u', 'x')
    assert part.labels[''].tolist() == [0, 0, 1]
    np.testing.assert_array_equal(part[0]['image'], IMAGES[4])
    assert part.groups is part.weights is part.content is None


def test_groups_weights_and_tasks_come_along():
    task = Task('', 'regression', ('age',))
    source = ArraySource(IMAGES, np.arange(6.0), tasks=[task], groups=list('ppqqrr'), weights=np.arange(6))
    part = Part(source, CHOSEN)
    assert part.tasks == (task,)
    assert part.groups == ('r', 'p', 'q')
    assert part.weights.tolist() == [4, 0, 3]
    assert part.labels[''].tolist() == [[4], [0], [3]]


def test_content_is_that_of_the_example():
    class Encoded(ArraySource):
        def content(self, index):
            return bytes([index])

    part = Part(Encoded(IMAGES, [0, 1] * 3, ('a', 'b')), CHOSEN)
    assert [part.content(i) for i in range(3)] == [b'\x04', b'\x00', b'\x03']


@pytest.mark.parametrize('indices', [np.arange(0), np.array([7, 5])])
def test_a_part_of_a_part(indices):
    whole = load_digits()
    inner = Part(Part(whole, np.arange(100, 200)), indices)
    assert inner.ids == tuple(f'digits/{100 + i}' for i in indices)
