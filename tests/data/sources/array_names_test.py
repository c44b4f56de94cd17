"""What the arrays of a file are."""

import numpy as np
import pytest

from jtransfer.config.data import Data
from jtransfer.data.sources.array_names import find_arrays
from jtransfer.errors import UserError


def arrays(text):
    return {name: np.zeros((2, 3, 3) if any(w in name for w in ('im', 'x', 'mask')) else 2) for name in text.split()}


@pytest.mark.parametrize(
    ('text', 'parts', 'unread'),
    [
        ('x y', {'': 'x'}, ()),
        ('images labels image_paths masks class_names', {'': 'images'}, ('image_paths', 'masks')),
        ('X_train y_train X_eval y_eval', {'train': 'X_train', 'validation': 'X_eval'}, ()),
        ('training_x training_y test_set_x test_set_y', {'train': 'training_x', 'test': 'test_set_x'}, ()),
    ],
)  # fmt: skip
def test_arrays_are_known_by_their_names(text, parts, unread):
    found = find_arrays(arrays(text), Data(), 'it')
    assert {part: own['images'] for part, own in found.parts.items()} == parts
    assert all('labels' in own for own in found.parts.values())
    assert found.unread == unread


def test_parts_may_be_named():
    text = 'x_Tr y_Tr x_Te y_Te x_more'
    found = find_arrays(arrays(text), Data(train_split='Tr', test_split='Te'), 'it')
    assert found.parts == {'train': {'images': 'x_Tr', 'labels': 'y_Tr'}, 'test': {'images': 'x_Te', 'labels': 'y_Te'}}
    assert found.unread == ('x_more',)


@pytest.mark.parametrize(
    ('text', 'fields', 'message'),
    [
        ('a b', {}, 'it has no array called images or x, but a, b$'),
        ('x_tr y_tr x_te y_te', {}, 'no array called images or x, but x_tr, .*data.train_split, '),
        ('x_train y_train x_eval2 y_eval2', {}, r"\('train'\) and beside them 'x_eval2' \(2\), .*data.train_split"),
        ('x_train x_val x_eval', {}, "has both 'x_val' and 'x_eval': say which one with data.validation_split"),
        ('x images y', {}, "has both 'x' and 'images'"),
        ('x y x_test', {}, r'images both of parts \(test\) and of none'),
        ('x_train y_train', {'test_split': 'tset'}, "data.test_split='tset': it has no such split"),
        ('x y', {'train_split': 'a'}, "data.train_split='a': it has no such split"),
    ],
)
def test_what_is_not_understood_stops(text, fields, message):
    with pytest.raises(UserError, match=message):
        find_arrays(arrays(text), Data(**fields), 'it')
