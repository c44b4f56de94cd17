"""A whole search: trials, the run with what was found, and what is there afterwards."""

import csv
import dataclasses
import json
import re

import numpy as np
import pytest

from jtransfer.config import Search
from jtransfer.data.parts import load_parts
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import TrainingDivergedError, UserError
from jtransfer.experiments.run.directory import read_config
from jtransfer.experiments.search import search
from jtransfer.experiments.search.judge import Judge, Verdict

optuna = pytest.importorskip('optuna')
pytestmark = pytest.mark.usefixtures('compile_once')

SPACE = ('optim.learning_rate=log(1e-3, 1)', 'transfer.strategy=choice(linear_probe, fine_tune)')


def pictures(number=36):
    random = np.random.default_rng(0)
    images = random.integers(0, 200, (number, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(number) % 3
    images[np.arange(number), :, :, labels] += 50
    return ArraySource(list(images), labels, ('a', 'b', 'c'))


class Unseen:
    """Images of a test part that nobody may look at."""

    def __init__(self, source):
        self.class_names, self.labels = source.class_names, source.labels
        self.ids = tuple(f'test-{name}' for name in source.ids)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        raise AssertionError('the test part was read')


def searching(tiny_config, folder, trials=4, **settings):
    fields = {
        key.replace('__', '.'): value for key, value in settings.items() if not key.startswith('search__')
    }  # fmt: skip
    own = {key.removeprefix('search__'): value for key, value in settings.items() if key.startswith('search__')}
    config = tiny_config(**{'train.steps': 2, 'data.validation_fraction': 0.3, 'run_dir': str(folder), **fields})
    return dataclasses.replace(config, search=Search(**{'space': SPACE, 'trials': trials, **own}))


def scored(monkeypatch, score):
    """Trials that train nothing."""
    monkeypatch.setattr(Judge, '__call__', lambda self, config, report=None: Verdict(score(config), 1.0))


def rows(folder):
    with open(folder / 'trials.csv', newline='') as file:
        return list(csv.DictReader(file))


def test_a_search_and_the_run_with_what_it_found(tiny_config, tmp_path):
    folder, said = tmp_path / 'search', []
    config = searching(tiny_config, folder, trials=3)
    found = search.run(config, pictures(), say=said.append)
    assert [trial.state for trial in found.trials] == ['complete'] * 3
    assert re.match(r'.*: \d classes \(.*\); images: \d+ to train on', said[0])
    assert found.best.score == max(trial.score for trial in found.trials)
    assert {path.name for path in folder.iterdir()} >= {
        'best', 'best.json', 'config.json', 'result.json', 'search.png', 'study.journal', 'trials.csv',
    }  # fmt: skip
    table = rows(folder)
    assert [float(row['score']) for row in table] == [trial.score for trial in found.trials]
    best = read_config(folder / 'best')
    assert best.search == Search()
    assert best.optim.learning_rate == found.best.fields['optim.learning_rate']
    assert best.transfer.strategy == found.best.fields['transfer.strategy']
    assert dataclasses.replace(found.config, run_dir='') == dataclasses.replace(best, run_dir='')
    result = json.loads((folder / 'result.json').read_text())
    own = json.loads((folder / 'best' / 'result.json').read_text())
    assert result['part'] == own['part'] == 'test'
    assert result['score'] == own['score'] == found.result['score']
    assert result['trials'] == {'complete': 3, 'pruned': 0, 'failed': 0, 'lost': 0}
    assert result['best']['score'] == found.best.score == own['validation']['score']
    assert any(line.startswith('[3/3] learning_rate=') for line in said)
    assert any(line.startswith('test: accuracy') for line in said)

    # Another folder: the same trials. The same folder: nothing is done again.
    again = search.run(config, pictures(), folder=tmp_path / 'again')
    assert [(trial.fields, trial.score) for trial in again.trials] == [
        (trial.fields, trial.score) for trial in found.trials
    ]
    said.clear()
    assert search.run(config, pictures(), say=said.append).trials == found.trials
    assert not any(line.startswith(('[', 'test: ')) for line in said)
    assert not list(folder.glob('best-before-*'))


@pytest.mark.parametrize('folds', [0, 2])
def test_the_test_part_is_not_read_before_the_settings_are_found(tiny_config, tmp_path, folds):
    config = searching(tiny_config, tmp_path / 'x', trials=2, search__folds=folds)
    said = []
    with pytest.raises(AssertionError, match='the test part was read'):
        search.run(config, {'train': pictures(), 'test': Unseen(pictures(6))}, say=said.append)
    # By the run with the best settings, at its end.
    assert [row['state'] for row in rows(tmp_path / 'x')] == ['complete'] * 2
    assert said[-1].startswith('the best settings') or 'trained:' in said[-1]
    assert (tmp_path / 'x' / 'inner_folds.json').exists() == bool(folds)


def test_a_search_that_was_stopped_goes_on(tiny_config, tmp_path, monkeypatch):
    config = searching(tiny_config, tmp_path / 'x', trials=5)
    calls = []

    def stopping(config):
        calls.append(config)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return config.optim.learning_rate

    scored(monkeypatch, stopping)
    with pytest.raises(KeyboardInterrupt):
        search.run(config, pictures())
    assert not (tmp_path / 'x' / 'result.json').exists()
    found = search.run(config, pictures())
    assert [trial.state for trial in found.trials] == [
        'complete',
        'complete',
        'lost',
        'complete',
        'complete',
        'complete',
    ]
    assert found.best.score == max(trial.score for trial in found.trials if trial.state == 'complete')

    # More trials continue it; what was best before is kept apart.
    first = read_config(tmp_path / 'x' / 'best')
    scored(monkeypatch, lambda config: 10 + config.optim.learning_rate)
    more = search.run(dataclasses.replace(config, search=dataclasses.replace(config.search, trials=7)), pictures())
    assert len(more.trials) == 8
    assert more.best.number >= 6
    assert read_config(tmp_path / 'x' / 'best-before-1') == first
    assert read_config(tmp_path / 'x' / 'best').optim.learning_rate == more.best.fields['optim.learning_rate']


def test_failures_are_recorded_and_the_study_goes_on(tiny_config, tmp_path, monkeypatch):
    problems = [TrainingDivergedError('not finite'), MemoryError(), UserError('does not fit')]

    def failing(config):
        if problems:
            raise problems.pop(0)
        return 0.5

    scored(monkeypatch, failing)
    found = search.run(searching(tiny_config, tmp_path / 'x'), pictures())
    assert [row['error'] for row in rows(tmp_path / 'x')] == ['not finite', 'MemoryError', 'does not fit', '']
    assert found.best.number == 3

    problems += [UserError('never')] * 4
    with pytest.raises(UserError, match=r'no trial of the search came to its end \(4 failed\); .*never'):
        search.run(searching(tiny_config, tmp_path / 'y'), pictures())
    assert len(rows(tmp_path / 'y')) == 4


def test_a_diverging_trial_fails(tiny_config, tmp_path):
    space = ('optim.learning_rate=choice(0.01, 1e38)',)
    options = {'search__space': space, 'search__sampler': 'grid', 'transfer__strategy': 'fine_tune', 'train__steps': 4}
    found = search.run(searching(tiny_config, tmp_path / 'x', **options), pictures())
    assert len(found.trials) == 2  # of four: that is all there is to the grid
    states = {trial.fields['optim.learning_rate']: trial for trial in found.trials}
    assert states['0.01'].state == 'complete'
    assert states['1e38'].state == 'failed'
    assert 'finite' in states['1e38'].error


def test_what_is_at_work_elsewhere_is_left_to_it(tiny_config, tmp_path, monkeypatch):
    scored(monkeypatch, lambda config: 0.5)
    config = searching(tiny_config, tmp_path / 'x', trials=2)
    search.run(config, pictures())
    journal = optuna.storages.journal.JournalFileBackend(str(tmp_path / 'x' / 'study.journal'))
    study = optuna.load_study(study_name='tiny', storage=optuna.storages.JournalStorage(journal))
    study.ask().set_user_attr('process', 'elsewhere 1')
    said = []
    found = search.run(config, pictures(), say=said.append)
    assert found.result is None
    assert said[-1].startswith('1 still at work elsewhere')
    assert not (tmp_path / 'x' / 'result.json').exists()


def test_nested_the_search_is_inside_a_fold(tiny_config, tmp_path, monkeypatch):
    scored(monkeypatch, lambda config: -abs(config.optim.learning_rate - 0.03))
    shared = str(tmp_path / 'all.journal')
    config = searching(tiny_config, tmp_path / 'fold-0', search__storage=shared)
    parts = load_parts(config.data, config.seed, {'train': pictures(), 'test': Unseen(pictures(6))})
    best = search.search_in(config, parts, tmp_path / 'search-0')
    assert best.search == Search()
    assert best.run_dir == config.run_dir
    table = rows(tmp_path / 'search-0')
    closest = min((float(row['optim.learning_rate']) for row in table), key=lambda rate: abs(rate - 0.03))
    assert best.optim.learning_rate == closest
    assert not (tmp_path / 'search-0' / 'best').exists()
    assert search.search_in(config, parts, tmp_path / 'search-0') == best
    search.search_in(config, parts, tmp_path / 'search-1')
    assert rows(tmp_path / 'search-1')[0]['started'] >= table[0]['started']
    names = optuna.get_all_study_names(
        optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(shared))
    )
    assert sorted(names) == ['tiny-search-0', 'tiny-search-1']


def test_what_stops_every_trial_is_told_before_anything_is_written(tiny_config, tmp_path, monkeypatch):
    folder = tmp_path / 'x'
    for settings, message in [
        ({'search__space': ('optim.lr=log(1, 2)',)}, r"Did you mean 'optim\.learning_rate'"),
        ({'data__validation_fraction': 0.0}, r'search\.folds to 2 or more'),
        ({'data__test_fraction': 0.0, 'data__validation_fraction': 0.0, 'search__folds': 2}, 'nothing to evaluate on'),
        ({'search__sampler': 'cma_es'}, 'cma_es is for ranges'),
        ({'data__batch_size': 4}, 'must be a multiple of 8'),
        ({'train__stop_step': 9}, r'train\.stop_step=9 is beyond'),
    ]:
        with pytest.raises(UserError, match=message):
            search.run(searching(tiny_config, folder, **settings), pictures())
        assert not folder.exists()
    (folder / 'thing').mkdir(parents=True)
    with pytest.raises(UserError, match='holds no search'):
        search.run(searching(tiny_config, folder), pictures())
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='is a file'):
        search.run(searching(tiny_config, tmp_path / 'file'), pictures())
    scored(monkeypatch, lambda config: 0.5)
    search.search_in(*_nested(tiny_config, tmp_path / 'y'))
    with pytest.raises(UserError, match=r'holds another search \(seed is 0 there and 1 here\)'):
        search.run(searching(tiny_config, tmp_path / 'y', seed=1), pictures())


def _nested(tiny_config, folder):
    config = searching(tiny_config, folder)
    return config, load_parts(config.data, config.seed, pictures()), folder
