"""A search inside every fold: its own settings, found without the fold's test part, kept when it is started again."""

import json

import pytest

from jtransfer.config.fields import get_field
from jtransfer.errors import UserError
from jtransfer.experiments.crossval import crossval
from jtransfer.experiments.run.directory import read_config

pytest.importorskip('optuna')
pytestmark = pytest.mark.usefixtures('compile_once')

FIELD = 'optim.learning_rate'
SEARCH = {
    'crossval.folds': 2,
    'data.duplicates': 'ignore',
    'data.validation_fraction': 0.3,
    'train.steps': 2,
    'search.space': (f'{FIELD}=choice(0.05, 0.0001)',),
    'search.trials': 2,
}


@pytest.fixture(scope='module')
def nested(tiny_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp('nested') / 'cv'
    config = tiny_config(**SEARCH, run_dir=str(folder))
    return config, folder, crossval.run(config)


def test_every_fold_runs_with_what_its_own_search_found(nested):
    _, folder, result = nested
    assert len(result.summaries) == 2
    for number in range(2):
        search, run = folder / f'search-fold-{number}', folder / f'fold-{number}'
        trials = (search / 'trials.csv').read_text().splitlines()
        assert len(trials) == 1 + 2
        own = read_config(run)
        assert own.search.space == ()
        assert get_field(own, FIELD) in (0.05, 0.0001)


def test_started_again_everything_is_kept(nested):
    config, folder, result = nested
    before = {path: path.read_bytes() for path in folder.rglob('result.json')}
    trials = {path: path.read_bytes() for path in folder.rglob('trials.csv')}
    again = crossval.run(config)
    assert again.scores == result.scores
    for path, content in trials.items():
        assert path.read_bytes() == content
    for path, content in before.items():
        if path.parent.name.startswith('fold'):
            assert path.read_bytes() == content


def test_no_fold_searches_on_what_it_tests(nested):
    _, folder, _ = nested
    for number in range(2):
        split = json.loads((folder / f'fold-{number}' / 'split.json').read_text())
        folds = json.loads((folder / 'folds.json').read_text())
        tested = set(folds['divisions'][number]['test'])
        assert set(split['test']['ids']) == tested
        assert not tested & {*split['train']['ids'], *split['validation']['ids']}


@pytest.mark.parametrize(
    ('field', 'value', 'message'),
    [
        ('crossval.side_by_side', True, 'does not go with crossval.side_by_side'),
        ('crossval.afterwards', 'refit', 'does not go with crossval.afterwards=refit'),
        ('search.space', ('optim.learning_rat=log(1e-3, 1)',), "Did you mean 'optim.learning_rate'"),
    ],
)
def test_what_does_not_go_with_a_search_is_one_line(tiny_config, nowhere, field, value, message):
    config = tiny_config(**{**SEARCH, field: value})
    with pytest.raises(UserError, match=message) as caught:
        crossval.run(config)
    assert '\n' not in str(caught.value)
    assert not any(nowhere.iterdir())
