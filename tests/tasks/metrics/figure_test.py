"""A figure as a person reads it."""

import json

import numpy as np
import pytest

from jtransfer.tasks.metrics.figure import Figure, capital, told


@pytest.mark.parametrize(
    ('value', 'unit', 'text'),
    [
        (0.9421, 'share', '94.2%'),
        (0.9421, 'index', '0.942'),
        (12345, 'count', '12,345'),
        (12345.678, 'number', '1.235e+04'),
        (3.25, 'years', '3.25 years'),
        (None, 'share', '–'),
    ],
)
def test_a_unit_says_how_a_value_is_told(value, unit, text):
    assert told(value, unit) == Figure('x', value, unit).text == text


def test_an_interval_is_told_like_the_value():
    assert Figure('x', 0.5, 'share', (0.25, 0.75)).interval_text == '25.0% to 75.0%'
    assert Figure('x', 0.5).interval_text == ''


def test_a_number_and_its_unit_are_set_apart():
    assert Figure('accuracy', 0.9421, 'share').parts(0.9421) == ('94.2', '%')
    assert Figure('R²', 0.0).parts(-1.5) == ('-1.500', '')


def test_names_begin_with_a_capital():
    assert [capital(name) for name in ('mean score', 'F1', '')] == ['Mean score', 'F1', '']


@pytest.mark.parametrize('interval', [None, (0.25, 0.75)])
def test_a_record_is_read_again(interval):
    figure = Figure('accuracy', 0.5, 'share', interval, 0.9)
    assert Figure.of_record(json.loads(json.dumps(figure.record()))) == figure


def test_numbers_of_numpy_are_written_as_any():
    figure = Figure('mistakes', np.int64(3), 'count', (np.float32(0.5), np.float64(4)))
    assert json.loads(json.dumps(figure.record()))['score'] == 3
    assert (type(figure.value), figure.interval, figure.text) == (int, (0.5, 4.0), '3')
