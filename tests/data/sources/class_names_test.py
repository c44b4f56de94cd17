"""Names of classes: their order, their numbers, and one way to write each."""

import numpy as np
import pytest

from jtransfer.data.sources.class_names import (
    are_texts,
    check_names,
    class_name,
    numbered,
    plain_numbers,
    sorted_classes,
)
from jtransfer.errors import UserError


@pytest.mark.parametrize(
    ('names', 'ordered'),
    [
        ({'10', '9', '-1'}, ('-1', '9', '10')),
        ({'b', 'a', '10'}, ('10', 'a', 'b')),
        (set(), ()),
        ({'9' * 5000, '1' + '0' * 5000, '-' + '9' * 5000, '1'}, ('-' + '9' * 5000, '1', '9' * 5000, '1' + '0' * 5000)),
    ],
)
def test_classes_are_sorted_by_number_where_all_are_numbers(names, ordered):
    assert sorted_classes(names) == ordered


def test_a_name_is_printable_composed_and_without_spaces_around_it():
    assert class_name(' cafe\u0301 \x1b ') == 'caf\u00e9 \\x1b'


@pytest.mark.parametrize(
    ('cells', 'plain'),
    [
        (['1', '1.0', '+1', '1e0', '-0', ''], ['1', '1', '1', '1', '0']),
        (['0.10', '.1', '100', '1e2'], ['0.1', '0.1', '100', '100']),
        (['123456789012345678901234567890.5', '1e400'], ['123456789012345678901234567890.5', '1e400']),
        (
            ['1e99999999999999999999', '1.0', '-2e-99999999999999999999'],
            ['1e99999999999999999999', '1', '-2e-99999999999999999999'],
        ),
        (['1', 'x'], None),
        (['007', '7'], None),
        (['', ''], None),
    ],
)
def test_numbers_have_one_way_to_be_written(cells, plain):
    found, _ = plain_numbers(cells)
    assert found == ({} if plain is None else dict(zip(filter(None, cells), plain, strict=True)))


@pytest.mark.parametrize(
    ('labels', 'texts'),
    [
        (['a', 'b'], True),
        (np.array([b'a']), True),
        (np.array(['a', 'b'], object), True),
        ([1, 2], False),
        (np.array(['a', None], object), False),
        ([], False),
    ],
)
def test_texts_are_known(labels, texts):
    assert are_texts(labels) == texts


def test_numbers_of_names():
    classes, numbers = numbered(['b', '', 'a'], (), str)
    assert classes == ('a', 'b')
    np.testing.assert_array_equal(numbers, [1, -1, 0])
    with pytest.raises(UserError, match=r"label 1: 'bea' is none of the classes ant, bee\. Did you mean 'bee'"):
        numbered(['ant', 'bea'], ('ant', 'bee'), lambda index: f'label {index}')


@pytest.mark.parametrize('names', [('a', 'b', 'a'), ('caf\u00e9', 'cafe\u0301')])
def test_a_name_twice_is_refused(names):
    with pytest.raises(UserError, match=r'here: the class name .* stands twice among'):
        check_names(names, 'here')
