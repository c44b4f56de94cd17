"""Tests of jtransfer/data/split/group_numbers.py."""

import numpy as np
import pytest

from jtransfer.data.split.group_numbers import group_numbers


def test_groups_are_numbered_as_they_appear():
    np.testing.assert_array_equal(group_numbers(['z', 'a', 'z', 'b']), [0, 1, 0, 2])


@pytest.mark.parametrize('groups', [None, (), ('a',), ('b', 'a', 'c')])
def test_groups_of_one_example_are_none(groups):
    assert group_numbers(groups) is None
