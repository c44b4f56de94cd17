"""Numbers as texts: large ones that are close together stay apart."""

import numpy as np
import pytest

from jtransfer.text.numbers import digits_of, exact, rounded


@pytest.mark.parametrize(
    ('value', 'text'),
    [(30.0, '30'), (0.1, '0.1'), (np.float32(0.1), '0.1'), (16777217.0, '16777217'), (1700003600.5, '1700003600.5')],
)
def test_an_exact_text_reads_back(value, text):
    assert exact(value) == text
    assert type(value)(text) == value


@pytest.mark.parametrize(
    ('values', 'least', 'digits'),
    [
        ([0.0, 10.0], 4, 4),
        ([1.7e9, 1.7e9 + 3600], 4, 9),
        ([2.0**40, 2.0**40 + 1], 7, 17),
        ([5.0, 5.0], 4, 4),
        ([np.nan, 3.0, 4.0], 4, 4),
        ([], 7, 7),
    ],
)
def test_digits_show_what_tells_numbers_apart(values, least, digits):
    assert digits_of(np.array(values), least) == digits
    if digits > least:
        assert len({rounded(value, digits) for value in values}) == 2


def test_a_single_number_is_shown_by_the_spread_it_comes_from():
    digits = digits_of(np.array([1700003600.25]), 7, spread=3600.0)
    assert rounded(1700003600.25, digits) == '1700003600.25'
