"""The command that searches, and one line for a mistake."""

import dataclasses

import pytest

from jtransfer.config import Search
from jtransfer.experiments.run.directory import write_config
from tests.launch.process import launch

pytest.importorskip('optuna')


@pytest.fixture
def here(tmp_path, tiny_config):
    """A folder with the configuration of a small search in it."""
    config = tiny_config(**{'data.validation_fraction': 0.2, 'train.steps': 1})
    (tmp_path / 'saved').mkdir()
    space = ('optim.learning_rate=log(1e-3, 1)',)
    write_config(tmp_path / 'saved', dataclasses.replace(config, search=Search(space=space, trials=2)))
    return tmp_path


def test_a_search_shows_its_trials(here):
    done = launch(here, 'search', '--config=saved/config.py', alone=True)
    text = ' '.join(done.stdout.split())
    assert 'best trials (2 complete)' in text
    assert text.endswith('runs/search-tiny: trials.csv, search.png, best.json, best/')
    assert (here / 'runs' / 'search-tiny' / 'best' / 'report.html').exists()
    assert done.stderr == ''


def test_a_mistake_is_one_line(here):
    wrong = "--config.search.space=('optim.learning_rate=log(0, 1)',)"
    done = launch(here, 'search', '--config=saved/config.py', wrong, status=2)
    assert done.stderr.strip().splitlines() == [
        'error: search.space: optim.learning_rate=log(0, 1): a logarithmic scale begins above 0'
    ]
    assert not (here / 'runs').exists()
