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
        ('optimizer=lion,schedule=step', Treatment(optimizer='lion', schedule='step')),
        (' phase = 2 , weight_decay=1e-3', Treatment(phase=2, weight_decay=0.001)),
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


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('freez', 'freeze'),
        ('fase=1', r'phase'),
        ('learning_rte=1', 'learning_rate'),
        ('optimizer=adam', 'optimizer=adam .* is not one of adamw, sgd, lamb, lion, muon'),
        ('schedule=cosin', 'schedule=cosin .* is not one of cosine, linear, step, one_cycle, constant'),
        ('phase=-1', 'phase .* must be at least 0'),
        ('phase=1.5', "'phase=1.5' .* needs a whole number"),
        ('weight_decay=', 'needs a number'),
        ('learning_rate=nan', 'learning_rate .* must be above 0'),
        ('learning_rate=inf', 'learning_rate .* must be above 0'),
        ('weight_decay=nan', 'weight_decay .* must be at least 0'),
        ('phase=1,phase=2', 'sets phase twice'),
        ('freeze,phase=1', 'freeze,phase=1'),
        ('train,learning_rate=1', 'train,learning_rate=1'),
        ('learning_rate=0.1,', 'is not freeze, train, or settings'),
    ],
)
def test_treatments_that_cannot_be(text, message):
    with pytest.raises(UserError, match=message) as error:
        parse_treatment('head/.*', text)
    assert 'head/.*' in str(error.value)
    assert '\n' not in str(error.value)
