"""Fields of other people's files are of the kinds that their readers take for granted."""

import math

import pytest

from jtransfer.errors import UserError
from jtransfer.pretrained import fields


@pytest.mark.parametrize(
    ('kind', 'good', 'bad'),
    [
        ('SIZE', [1, 65_536], [0, -1, 65_537, 10**39, True, 1.0, '1', [1], {}]),
        ('COUNT', [0, 5], [-1, False]),
        ('SIZES', [[], [1, 2]], [1, [0], [True], [1] * 65, ['1'], [[1]]]),
        ('NUMBER', [0, 1.5, -1e6], [math.nan, math.inf, 10**400, True, '1', 1e7]),
        ('NUMBERS', [[0.5, 1]], [0.5, '0.5', [math.nan], [None]]),
        ('FLAG', [True, False], [0, 1, 'true']),
        ('TEXT', ['', 'gelu'], [1, ['gelu'], 'x' * 201]),
        ('TEXTS', [['a']], ['a', [1]]),
        ('OBJECT', [{}], [[], 'a', 1]),
        ('SIDE', [224, [224, 320]], [True, 0, 10**9, 30_000, [224], [224, True], {'height': 1}]),
        ('INPUT', [[3, 224, 224], (1, 8, 8)], [[224, 224], [3, 10**9, 224], [True, 8, 8], [10**9, 8, 8], 3]),
    ],
)
def test_kinds(kind, good, bad):
    known = {'field': getattr(fields, kind)}
    for value in [*good, None]:
        fields.check_fields({'field': value}, known, 'config.json')
    for value in bad:
        with pytest.raises(UserError, match=r'config\.json: field=.* must be ') as caught:
            fields.check_fields({'field': value}, known, 'config.json')
        assert len(str(caught.value)) < 250


def test_other_fields_may_hold_anything():
    fields.check_fields({'field': 1, 'other': object()}, {'field': fields.SIZE}, 'config.json')
