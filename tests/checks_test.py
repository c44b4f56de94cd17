"""Checks on values: ranges, the nearest word, a list in one line of text."""

import math

import pytest

from jtransfer import checks
from jtransfer.errors import UserError


@pytest.mark.parametrize(
    ('word', 'expected'),
    [
        ('learning_rat', " Did you mean 'learning_rate'?"),
        ('lr', " Did you mean 'learning_rate'?"),
        ('step', " Did you mean 'steps'?"),
        ('zzz', ' Known: learning_rate, steps.'),
    ],
)
def test_nearest(word, expected):
    assert checks.nearest(word, ('steps', 'learning_rate')) == expected


def test_what_was_meant_is_as_a_person_writes_it():
    assert checks.nearest('outptu', ('output', 'part'), before='--') == " Did you mean '--output'?"
    assert checks.nearest('zzz', ('output', 'part'), before='--') == ' Known: --output, --part.'
    assert checks.closest('wd', ('momentum', 'weight_decay')) == 'weight_decay'
    assert checks.closest('warm', ('momentum', 'warmup')) == 'warmup'
    assert checks.closest('', ('momentum', 'warmup')) == ''


@pytest.mark.parametrize(
    ('check', 'good', 'bad', 'message'),
    [
        (checks.at_least, (2, 3.5), (1.9, math.inf, math.nan), 'must be at least 2'),
        (checks.above, (2.1, 3), (2, math.inf, math.nan), 'must be above 2'),
    ],
)
def test_bounds_are_finite_numbers(check, good, bad, message):
    for value in good:
        check('train.steps', value, 2)
    for value in bad:
        with pytest.raises(UserError, match=f'^train.steps={value} {message}'):
            check('train.steps', value, 2)


def test_a_fraction_is_below_one():
    checks.fraction('optim.warmup', 0)
    for value in (-0.1, 1, math.nan):
        with pytest.raises(UserError, match=f'^optim.warmup={value} must be at least 0 and below 1'):
            checks.fraction('optim.warmup', value)


def test_a_seed_is_one_of_32_bits():
    checks.seed('search.seed', 0)
    checks.seed('search.seed', 2**32 - 1)
    for value, message in ((-1, 'must be at least 0'), (2**32, r'must be below 2\*\*32')):
        with pytest.raises(UserError, match=f'^search.seed={value} {message}$'):
            checks.seed('search.seed', value)


def test_one_of_the_known_words():
    checks.one_of('optim.name', 'sgd', ('sgd', 'adamw'))
    with pytest.raises(UserError, match=r"^optim\.name='adam' is not one of sgd, adamw\. Did you mean 'adamw'\?$"):
        checks.one_of('optim.name', 'adam', ('sgd', 'adamw'))


def test_values_split_at_commas_outside_of_brackets_and_quotes():
    assert list(checks.split_values("1, (2, 3), 'a,b', c")) == ['1', '(2, 3)', 'a,b', 'c']
