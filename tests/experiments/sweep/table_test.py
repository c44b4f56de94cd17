"""The table of a sweep: what each side was given, and scores that are no shares."""

import io

import pytest
from rich.console import Console

from jtransfer.experiments.sweep.plot import plot
from jtransfer.experiments.sweep.summary import at_the_end, summarise
from jtransfer.experiments.sweep.table import given_columns, print_table

OVER = ['transfer.strategy', 'seed']
GIVEN = {'learning rate': '0.003', 'backbone ×': '1', 'trains': '100.0%', 'steps': '150'}
ASIDE = 'scratch: transfer.layer_decay=0.5 is for pretrained weights and was set aside'


def records(name='R²', unit='index'):
    for strategy, score, given in (
        ('scratch', -0.5, {**GIVEN, 'set aside': ASIDE}),
        ('linear_probe', 0.25, {**GIVEN, 'backbone ×': 'frozen', 'trains': '0.4%'}),
    ):
        for seed in (0, 1):
            yield {
                'fields': {'transfer.strategy': strategy, 'seed': seed},
                'metrics': {f'test {name}': score + seed / 8, 'test loss': 1.0},
                **{'seconds': 2.0, 'run_dir': 'x', 'error': None, 'given': given, 'unit': unit},
            }


def printed(rows, metric):
    console = Console(file=io.StringIO(), width=120)
    print_table(rows, metric, console=console)
    return console.file.getvalue()


def test_what_each_side_was_given_is_said_where_it_differs(tmp_path):
    rows = summarise(list(records()), OVER, 'test R²')
    assert given_columns(rows) == ['backbone ×', 'trains']
    text = printed(rows, 'test R²')
    assert ASIDE in text
    (probe,) = (line for line in text.splitlines() if 'linear_probe' in line)
    assert 'frozen' in probe
    assert '0.4%' in probe
    assert '150' not in text
    plot(tmp_path / 'summary.png', rows, 'test R²')


def test_scores_that_are_no_shares_are_shown_as_they_are():
    rows = summarise(list(records()), OVER, 'test R²')
    text = printed(rows, 'test R²')
    assert 'test R²\n' in text.replace(' ', '').replace('testR²', 'test R²')
    assert '%,' not in text
    assert all(word in text for word in ('-0.438', '0.312', '+0.750', '+0.750 to +0.750', 'gain: over scratch'))
    shares = summarise(list(records('accuracy', 'share')), OVER, 'test accuracy')
    assert '+75.0' in printed(shares, 'test accuracy')


@pytest.mark.parametrize(
    ('value', 'tried', 'marked'),
    [
        (0.1, [0.1, 0.2], True),
        (0.2, [0.1, 0.2], True),
        (0.2, [0.1, 0.2, 0.3], False),
        (0.0, [0.0, 0.1], False),
        (0.1, [0.1, 0.1], False),
        ('b', ['a', 'b'], False),
        (True, [True, False], False),
    ],
)
def test_the_end_of_a_range_is_that_of_numbers(value, tried, marked):
    assert at_the_end(value, tried) is marked
