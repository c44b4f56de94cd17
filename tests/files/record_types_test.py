"""Fields of a record are of their types, or one line says which is not."""

import pytest

from jtransfer.errors import UserError
from jtransfer.files.record_types import (
    LINE,
    NUMBER,
    NUMBERS,
    OBJECT,
    TEXT,
    TEXTS,
    WHOLE,
    check_fields,
    listing,
    optional,
)

KINDS = {
    'text': TEXT,
    'line': LINE,
    'number': NUMBER,
    'whole': WHOLE,
    'maybe': optional(NUMBER),
    'texts': TEXTS,
    'of': OBJECT,
}


def test_what_is_of_its_type_passes():
    check_fields({}, KINDS, 'x.json')
    record = {
        'text': '',
        'line': 'R²',
        'number': 1.5,
        'whole': -3,
        'maybe': None,
        'texts': ['a'],
        'of': {},
        'other': object(),
    }
    check_fields(record, KINDS, 'x.json', needs=KINDS)
    check_fields({'number': 1, 'maybe': float('nan'), 'texts': []}, KINDS, 'x.json')
    assert NUMBERS.holds([1, 2.5])
    assert listing(NUMBERS, 'lists').holds([[1], []])


@pytest.mark.parametrize(
    ('name', 'value', 'kind'),
    [
        ('text', 1, 'a text'),
        ('line', 'a\nb', 'a text of one line'),
        ('number', True, 'a number'),
        ('number', '1', 'a number'),
        ('whole', 1.0, 'a whole number'),
        ('whole', 2**63, 'a whole number'),
        ('maybe', [], 'a number or null'),
        ('texts', ['a', 1], 'a list of texts'),
        ('texts', 'a', 'a list of texts'),
        ('of', [], 'an object'),
    ],
)
def test_what_is_not_is_one_line(name, value, kind):
    with pytest.raises(UserError, match=f"^a/x.json is damaged: '{name}' must be {kind}, unlike .*; write it again$"):
        check_fields({name: value}, KINDS, 'a/x.json', remedy='write it again')


def test_what_is_missing_is_said_and_what_is_long_is_cut_short():
    with pytest.raises(UserError, match=r"^x is damaged: it has no 'whole'$"):
        check_fields({'text': ''}, KINDS, 'x', needs=('text', 'whole'))
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for value in ({'a\nb': '\x1b' * 10_000}, deep):
        with pytest.raises(UserError, match='must be a text, unlike') as told:
            check_fields({'text': value}, KINDS, 'x')
        assert len(str(told.value)) < 150
        assert '\n' not in str(told.value)
    while deep:
        deep = deep.pop()
