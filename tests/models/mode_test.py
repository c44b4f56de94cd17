"""Modes of a pass."""

import pytest

from jtransfer.models.mode import EVALUATION, Mode, is_frozen


@pytest.mark.parametrize(
    ('path', 'frozen', 'expected'),
    [
        (('backbone', 'stem', 'bn'), ('backbone/stem',), True),
        (('backbone', 'stem', 'bn'), ('backbone/stem/bn',), True),
        (('backbone', 'stem', 'bn'), ('head', 'backbone'), True),
        (('backbone', 'block1'), ('backbone/block10',), False),
        (('backbone', 'block10'), ('backbone/block1',), False),
        (('backbone',), ('backbone/stem',), False),
        (('backbone', 'stem'), (), False),
    ],
)
def test_is_frozen_compares_whole_names(path, frozen, expected):
    assert is_frozen(path, frozen) is expected


def test_a_module_trains_where_the_pass_does_and_it_is_not_frozen():
    mode = Mode(True, ('backbone/stem',))
    assert mode.trains(('backbone', 'stage1'))
    assert not mode.trains(('backbone', 'stem', 'bn'))
    assert not EVALUATION.trains(('backbone', 'stage1'))


def test_equal_modes_are_one_static_value():
    assert len({Mode(True, ('a',), 'devices'), Mode(True, ('a',), 'devices'), Mode(True, ('a',))}) == 2
