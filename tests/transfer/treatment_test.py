"""Treatments: what the text of a rule means."""

import pytest

from jtransfer.errors import UserError
from jtransfer.transfer.treatment import Treatment, parse_treatment


@pytest.mark.parametrize(
    ('text', 'treatment'),
    [
        ('freeze', Treatment(trainable=False)),
        ('train', Treatment()),
        ('learning_rate=0.1', Treatment(learning_rate_scale=0.1)),
        ('weight_decay=0, learning_rate=2', Treatment(learning_rate_scale=2.0, weight_decay=0.0)),
    ],
)
def test_text_to_treatment(text, treatment):
    assert parse_treatment('.*', text) == treatment


@pytest.mark.parametrize(
    'text', ['freez', 'lr=0.1', 'learning_rate', 'learning_rate=0', 'learning_rate=x', 'weight_decay=-1', '']
)
def test_anything_else_is_an_error_that_names_the_rule(text):
    with pytest.raises(UserError, match='head'):
        parse_treatment('head/.*', text)
