"""The command that compares: what it prints and writes, and one line for a mistake."""

import json

from tests.experiments.crossval.compare_test import FIRST, SECOND, crossed, rights
from tests.launch.process import launch


def test_two_cross_validations_are_compared(tmp_path):
    crossed(tmp_path / 'first', FIRST, rights(0))
    crossed(tmp_path / 'second', SECOND, rights(1))
    flags = ('--confidence=0.9', '--output=out/numbers.json')
    done = launch(tmp_path, 'compare', 'first', 'second', *flags, alone=True)
    assert 'corrected resampled t-test over 5 folds' in done.stdout
    assert '90% interval' in ' '.join(done.stdout.split())
    assert json.loads((tmp_path / 'out' / 'numbers.json').read_text())['confidence'] == 0.9


def test_a_mistake_is_one_line(tmp_path):
    crossed(tmp_path / 'first', FIRST, rights(0))
    done = launch(tmp_path, 'compare', 'first', 'nowhere', status=2)
    assert done.stderr.strip().splitlines() == ['error: nowhere holds no finished run']
