"""The command that cross-validates: a fold alone, then the rest, and one line for a mistake."""

import json

import pytest

from jtransfer.experiments.run.directory import write_config
from tests.launch.process import launch


@pytest.fixture
def here(tmp_path, tiny_config):
    """A folder with a configuration of two folds in it."""
    own = {'crossval.folds': 2, 'train.steps': 1, 'transfer.strategy': 'linear_probe'}
    (tmp_path / 'saved').mkdir()
    write_config(tmp_path / 'saved', tiny_config(**own))
    return tmp_path


def test_a_fold_alone_then_the_rest(here):
    config = '--config=saved/config.py'
    done = launch(here, 'crossval', config, '--fold=1')
    assert '1 of 2 folds are still to be run' in done.stdout
    assert [path.name for path in (here / 'runs' / 'crossval-tiny').glob('fold-*')] == ['fold-1']
    done = launch(here, 'crossval', config, alone=True)
    text = ' '.join(done.stdout.split())
    assert 'over 2 folds' in text
    assert 'runs/crossval-tiny; report.html shows it' in text
    assert json.loads((here / 'runs' / 'crossval-tiny' / 'result.json').read_text())['examples'] == 36


def test_a_mistake_is_one_line(here):
    done = launch(here, 'crossval', '--config=saved/config.py', '--fold=2', status=2)
    assert done.stderr.strip().splitlines() == ['error: fold=2 is none of the 2 folds, counted from 0']
    assert not (here / 'runs').exists()
