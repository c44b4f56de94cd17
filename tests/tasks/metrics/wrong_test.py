"""The most wrong examples of every kind of task, by hand."""

import numpy as np
import pytest

from jtransfer.tasks.base import Task, single_label
from jtransfer.tasks.metrics.wrong import Wrong

NAN = np.nan


def test_one_label_an_image():
    logits = np.float32([[5, 0], [1, 0], [0, 9], [3, 0], [9, 0]])
    got = single_label(['cat', 'dog']).worst(logits, np.int32([0, 1, 0, 1, -1]), 2)
    assert [(w.index, w.label, w.predicted, w.note) for w in got] == [(2, 'cat', 'dog', ''), (3, 'dog', 'cat', '')]
    assert got[0].probability == pytest.approx(1 / (1 + np.exp(-9)))


def test_several_labels_an_image():
    task = Task('', 'multi_label', ('sky', 'sea', 'dog'))
    logits = np.float32([[4, -4, -4], [9, 9, 9], [4, 4, -1], [-2, -2, -2]])
    labels = np.float32([[1, 0, 0], [NAN, 0, 0], [1, 0, 0], [0, 0, 1]])
    got = task.worst(logits, labels, 10)
    # Softplus of 4, -4, -1 summed over three classes, and of 2, -2, -2.
    assert got == [
        Wrong(2, 'sky', 'sky, sea', note='loss 1.45'),
        Wrong(3, 'dog', 'none', note='loss 0.794'),
    ]
    (other,) = task.worst(logits, labels, 10, thresholds=(0.5, 0.99, 0.1))
    assert (other.index, other.predicted) == (2, 'sky, dog')
    assert task.worst(logits, labels, 1) == got[:1]


def test_numbers():
    one = Task('', 'regression', ('age',))
    got = one.worst(np.float32([[1], [5], [7], [3]]), np.float32([[1], [2], [NAN], [4]]), 10)
    assert got == [Wrong(1, '2', '5', note='off by 3'), Wrong(3, '4', '3', note='off by 1')]
    two = Task('', 'regression', ('x', 'y'))
    truth, predicted = np.float32([[0, 0], [2, 200]]), np.float32([[1, 0], [2, 400]])
    # Standard deviations 1 and 100: the errors are (1, 0) and (0, 2) of them.
    assert two.worst(predicted, truth, 5) == [
        Wrong(1, 'x 2, y 200', 'x 2, y 400', note='off by 1 standard deviations'),
        Wrong(0, 'x 0, y 0', 'x 1, y 0', note='off by 0.5 standard deviations'),
    ]
