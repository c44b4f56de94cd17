"""The table of a search, and its CSV."""

import csv
import dataclasses
import io

import pytest
from rich.console import Console

from jtransfer.experiments.search.report import best_trial, counted, trials_table, write_trials
from jtransfer.experiments.search.space import Dimension
from jtransfer.experiments.search.study import TrialRecord
from jtransfer.tasks.metrics.figure import Figure

SPACE = (
    Dimension('optim.learning_rate', 'log', 1e-5, 1e-2),
    Dimension('augment.crop_scale', 'choice', choices=('(0.5, 1)', '(1, 1)')),
)


def trial(number, state='complete', score=None, rate=1e-3, crop='(1, 1)', error=''):
    fields = {'optim.learning_rate': rate, 'augment.crop_scale': crop}
    seconds = None if state == 'lost' else 1.5
    return TrialRecord(number, state, score, fields, seconds, '2026-01-02T03:04:05', error)


TRIALS = (
    trial(0, score=0.5),
    trial(1, 'pruned', 0.9),
    trial(2, score=0.75, rate=0.00123456, crop='(0.5, 1)'),
    trial(3, 'failed', error='too large, by "far"'),
    trial(4, score=0.75),
    trial(5, 'lost'),
)


def test_the_best_is_complete_and_of_equals_the_one_of_lower_loss_or_else_the_first():
    sure = dataclasses.replace(TRIALS[4], loss=0.1)
    unsure = dataclasses.replace(TRIALS[2], loss=0.2)
    assert best_trial([TRIALS[0], unsure, sure]) is sure
    assert best_trial(TRIALS) is TRIALS[2]
    assert best_trial(TRIALS[1:2]) is None
    assert best_trial([trial(0, score=-2.0), trial(1, score=-1.0)]).number == 1
    assert counted(TRIALS) == '3 complete, 1 pruned, 1 failed, 1 lost'


def test_every_trial_is_a_row(tmp_path):
    write_trials(tmp_path / 'trials.csv', TRIALS, SPACE)
    with open(tmp_path / 'trials.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        'trial', 'state', 'score', 'optim.learning_rate', 'augment.crop_scale', 'seconds', 'started', 'error',
    ]  # fmt: skip
    assert [row['trial'] for row in rows] == list('012345')
    assert float(rows[2]['optim.learning_rate']) == 0.00123456
    assert rows[2]['augment.crop_scale'] == '(0.5, 1)'
    assert (rows[3]['score'], rows[3]['error']) == ('', 'too large, by "far"')
    assert rows[5]['seconds'] == ''


@pytest.mark.parametrize(('unit', 'shown'), [('share', ['75.0', '75.0', '50.0']), ('index', ['0.75', '0.75', '0.5'])])
def test_the_table_has_the_best_first(unit, shown):
    text = io.StringIO()
    Console(file=text, width=100).print(trials_table(TRIALS, SPACE, Figure('score', None, unit)))
    lines = [line.split() for line in text.getvalue().splitlines() if ' 1.5' in line]
    assert lines[0][:2] == ['★', '2']
    assert lines[0][3:6] == ['0.00123', '(0.5,', '1)']
    assert [line[-5 if line[0] != '★' else 2] for line in lines] == shown
    assert '3 complete, 1 pruned' in text.getvalue()
    few = io.StringIO()
    Console(file=few, width=100).print(trials_table(TRIALS, SPACE, Figure('score', None, unit), most=1))
    assert few.getvalue().count(' 1.5') == 1
