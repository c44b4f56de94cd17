"""What several labels an image say in words and tables; the rest is in contract_test."""

import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.tasks import Task

TAGS = Task('tags', 'multi_label', ('sky', 'sea', 'dog'))


def test_labels_in_words():
    assert TAGS.label_text(np.float32([1, 0, 1])) == 'sky, dog'
    assert TAGS.label_text(np.zeros(3)) == TAGS.mixed_text(np.zeros(3)) == 'none'
    assert TAGS.mixed_text(np.float32([1, 0.25, 0.001])) == 'sky\n+ 0.25 sea'


def test_without_a_positive_label_nothing_can_be_measured():
    with pytest.raises(UserError, match='none of the 2 examples of there has any of the labels of tags'):
        TAGS.check_measurable(np.zeros((2, 3), np.float32), 'there')


def test_a_threshold_decides_what_is_predicted():
    results = np.array([[0.6, 0.2, 0.9]])
    assert TAGS.columns(results, None)[0] == ('labels', ['sky|dog'])
    assert TAGS.columns(results, (0.7, 0.1, 0.9))[0] == ('labels', ['sea|dog'])


def test_neither_0_nor_1_is_no_label():
    with pytest.raises(UserError, match=r'here: example b has label \[0.0, 0.5, 1.0\], neither 0 nor 1'):
        TAGS.check(np.float32([[0, 1, 1], [0, 0.5, 1]]), ['a', 'b'], 'here')
