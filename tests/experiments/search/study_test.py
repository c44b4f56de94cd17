"""A study: trials of one process and of several, failures, pruning, and what it refuses to go on with."""

import dataclasses
import os
import re
import socket
import subprocess
import sys

import pytest

from jtransfer.config import Config, Model, Search, Train
from jtransfer.errors import UserError, WritingError
from jtransfer.experiments.search import study as search_study
from jtransfer.experiments.search.space import parse_space
from jtransfer.experiments.search.study import JOURNAL, need_optuna, open_study
from tests.full_disk import files_up_to
from tests.tiers import slow

optuna = pytest.importorskip('optuna')

SPACE = ('optim.learning_rate=log(1e-5, 1e-2)', 'optim.weight_decay=uniform(0, 0.1)')
CONFIG = Config(
    name='small',
    model=Model(checkpoint='jtransfer/resnet_glyphs'),
    train=Train(epochs=1),
    search=Search(space=SPACE, trials=6),
)
WORKER = """
import sys, time
from pathlib import Path
from jtransfer.config import Config, Model, Search, Train
from jtransfer.experiments.search.space import parse_space
from jtransfer.experiments.search.study import open_study
config = Config(name='small', model=Model(checkpoint='jtransfer/resnet_glyphs'), train=Train(epochs=1),
                search=Search(space=%r, trials=6, storage=sys.argv[1]))
study = open_study(config, parse_space(config), 'data', Path('.'))
print('ready', flush=True)
sys.stdin.readline()
taken = []
def objective(fields, report):
    time.sleep(0.2)
    return -abs(fields['optim.weight_decay'] - 0.03)
study.optimise(20, objective, (), lambda trial: taken.append(trial.number))
print(taken)
"""


def searching(**settings):
    return dataclasses.replace(CONFIG, search=dataclasses.replace(CONFIG.search, **settings))


def opened(folder, config=CONFIG, data='data', **options):
    return open_study(config, parse_space(config), data, folder, **options)


def objective(fields, report):
    return -abs(fields['optim.weight_decay'] - 0.03)


def settings(study):
    return [trial.fields for trial in study.trials()]


def test_trials_are_recorded(tmp_path):
    study, told = opened(tmp_path), []
    study.optimise(6, objective, (), told.append)
    trials = study.trials()
    assert [trial.number for trial in trials] == list(range(6))
    assert told == list(trials)
    for trial in trials:
        assert (trial.state, trial.error) == ('complete', '')
        assert trial.score == objective(trial.fields, None)
        assert 1e-5 <= trial.fields['optim.learning_rate'] <= 1e-2
        assert trial.seconds >= 0
        assert trial.started[:2] == '20'
    assert (tmp_path / JOURNAL).exists()


@pytest.mark.parametrize('sampler', ['tpe', 'cma_es', *slow('random', 'quasi_random')])
def test_the_same_search_twice_or_stopped_between_takes_the_same_trials(tmp_path, sampler):
    if sampler == 'cma_es':
        pytest.importorskip('cmaes')
    config = searching(sampler=sampler)
    study, again = opened(tmp_path / 'a', config), opened(tmp_path / 'b', config)
    study.optimise(13, objective, ())
    again.optimise(5, objective, ())
    opened(tmp_path / 'b', config).optimise(13, objective, ())
    assert settings(again) == settings(study)
    assert len(settings(study)) == 13


def test_the_seed_of_the_sampler_is_the_configurations_unless_it_has_its_own(tmp_path):
    found = {}
    for name, seed, own in [('a', 0, None), ('b', 1, None), ('c', 1, 0), ('d', 0, 1)]:
        study = opened(tmp_path / name, dataclasses.replace(searching(seed=own), seed=seed))
        study.optimise(2, objective, ())
        found[name] = settings(study)
    assert found['a'] == found['c'] != found['b'] == found['d']


def test_two_processes_share_the_trials_of_one_journal(tmp_path):
    journal = str(tmp_path / 'shared' / 'small.journal')
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
    # One begins the study before the other, so that both find it.
    workers = []
    for _ in range(2):
        workers.append(
            subprocess.Popen(
                [sys.executable, '-c', WORKER % (SPACE,), journal],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        )
        assert workers[-1].stdout.readline() == 'ready\n'
    for worker in workers:
        worker.stdin.write('\n')
        worker.stdin.flush()
    taken = [eval(worker.communicate()[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert all(taken)
    assert sorted(taken[0] + taken[1]) == list(range(len(taken[0]) + len(taken[1])))
    # Two that look at the same moment may both take the last one.
    assert 20 <= len(taken[0]) + len(taken[1]) <= 21
    trials = opened(tmp_path, searching(storage=journal)).trials()
    assert {trial.state for trial in trials} == {'complete'}
    # No two processes try the same, though their seed is one.
    assert len({trial.fields['optim.weight_decay'] for trial in trials}) == len(trials)


def test_a_full_disk_ends_the_search_in_a_line_whoever_finds_it(tmp_path):
    study = opened(tmp_path)
    study.optimise(1, lambda fields, report: 1.0, (UserError,))
    with (
        files_up_to((tmp_path / JOURNAL).stat().st_size),
        pytest.raises(
            WritingError, match=rf'{search_study.JOURNAL} cannot be written: File too large; raise the limit'
        ),
    ):
        study.optimise(3, lambda fields, report: 1.0, (UserError,))

    def full(fields, report):
        raise WritingError('runs/x cannot be written')

    with pytest.raises(WritingError, match='runs/x cannot be written'):
        opened(tmp_path).optimise(3, full, (UserError,))


def test_a_failure_is_recorded_and_the_others_go_on(tmp_path):
    def failing(fields, report):
        if fields['optim.weight_decay'] > 0.05:
            raise UserError('too much\nsecond line')
        return 1.0

    study = opened(tmp_path)
    study.optimise(6, failing, (UserError,))
    states = {trial.state: trial for trial in study.trials()}
    assert set(states) == {'complete', 'failed'}
    assert states['failed'].error == 'too much second line'
    assert states['failed'].score is None
    assert len(study.trials()) == 6


@pytest.mark.parametrize('error', [KeyboardInterrupt, ZeroDivisionError])
def test_what_is_interrupted_is_lost_and_taken_again(tmp_path, error):
    def interrupted(fields, report):
        raise error

    study = opened(tmp_path)
    study.optimise(2, objective, ())
    with pytest.raises(error):
        study.optimise(4, interrupted, (UserError,))
    assert [trial.state for trial in study.trials()] == ['complete', 'complete', 'lost']
    study.optimise(4, objective, ())
    assert [trial.state for trial in study.trials()] == ['complete', 'complete', 'lost', 'complete', 'complete']


def test_others_at_work_count_and_those_that_are_gone_do_not(tmp_path, monkeypatch):
    study = opened(tmp_path)
    study.optimise(1, objective, ())
    raw = study._study
    host, parent = socket.gethostname(), os.getppid()
    for process, state in [(f'{host} {parent}', 'running'), (f'{host} {2**22 + 1}', 'lost'), ('other 7', 'running')]:
        raw.ask().set_user_attr('process', process)
        assert study.trials()[-1].state == state
    monkeypatch.setattr(search_study, '_AT_LEAST', 0.0)
    monkeypatch.setattr(search_study, '_PATIENCE', 0.0)
    assert study.trials()[-1].state == 'lost'  # far longer than what a trial takes
    taken = []
    study.optimise(4, objective, (), taken.append)
    assert len(taken) == 2


@pytest.mark.parametrize('pruner', ['none', 'successive_halving', *slow('median', 'hyperband')])
def test_what_falls_behind_is_ended(tmp_path, pruner):
    steps = []

    def curve(fields, report):
        # Ever worse settings, each of them visible from the first report on.
        level = -len(steps)
        steps.append(0)
        for step in range(1, 21):
            report(step, level + step / 100)
            steps[-1] = step
        return float(level)

    study = opened(tmp_path, searching(pruner=pruner))
    study.optimise(16, curve, ())
    trials = study.trials()
    if pruner == 'none':
        assert {trial.state for trial in trials} == {'complete'}
        return
    pruned = [trial for trial in trials if trial.state == 'pruned']
    assert len(pruned) >= 3
    assert trials[0].state == 'complete'
    for trial in pruned:
        assert steps[trial.number] < 20
        # The report that ended it is the last it reached.
        assert trial.score == pytest.approx(-trial.number + (steps[trial.number] + 1) / 100)


def test_a_study_of_something_else_is_one_line(tmp_path):
    opened(tmp_path)
    opened(tmp_path, searching(trials=50))
    with pytest.raises(UserError, match=r"study 'small' is of another configuration \(seed is 0 there and 1 here\)"):
        opened(tmp_path, dataclasses.replace(CONFIG, seed=1))
    with pytest.raises(UserError, match=r'search\.space is'):
        opened(tmp_path, searching(space=SPACE[:1]))
    with pytest.raises(UserError, match='of other images'):
        opened(tmp_path, data='other')
    opened(tmp_path, data='other', name='another')


@pytest.mark.parametrize(
    'storage', ['sqlite:///~/deep/study.db', '{0}/deep/study.log', '~/study.log', '', *slow('sqlite:///{0}/study.db')]
)
def test_storages(tmp_path, storage, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    config = searching(storage=storage.format(tmp_path))
    opened(tmp_path, config).optimise(2, objective, ())
    study = opened(tmp_path, config)
    study.optimise(3, objective, ())
    assert len(study.trials()) == 3
    assert (tmp_path / JOURNAL).exists() == (not storage)


@pytest.mark.parametrize(
    ('storage', 'message'),
    [
        ('sqlite:///{0}/text/study.db', r'search\.storage=.*/study\.db: .*/text is no folder'),
        ('nosuch://host/db', r'cannot be used: .*nosuch'),
        ('mysql+nosuchdriver://host/db', r'cannot be used|not installed'),
        ('{0}', r'is a folder; name a file'),
        ('{0}/text', r'is a file of something else'),
    ],
)
def test_a_storage_that_cannot_be_used_is_one_line(tmp_path, storage, message):
    (tmp_path / 'text').write_text('SQLite format 3')
    with pytest.raises(UserError, match=message) as caught:
        opened(tmp_path, searching(storage=storage.format(tmp_path)))
    assert '\n' not in str(caught.value)


def test_optunas_log_is_left_as_it_was(tmp_path, capfd):
    before = optuna.logging.get_verbosity()
    opened(tmp_path).optimise(2, objective, ())
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr().err == ''


def test_without_optuna_there_is_one_line(monkeypatch):
    need_optuna()
    monkeypatch.setitem(sys.modules, 'optuna', None)
    with pytest.raises(UserError, match=r"pip install 'jtransfer\[search\]'"):
        need_optuna()


DAMAGES = {
    'cut off within': lambda lines: [lines[0], lines[1][:20], *lines[2:]],
    'binary': lambda lines: [lines[0], bytes(range(256)), *lines[1:]],
    'list': lambda lines: [lines[0], b'[]', *lines[1:]],
    'empty object': lambda lines: [lines[0], b'{}', *lines[1:]],
    'nested': lambda lines: [lines[0], b'{"a":' * 200_000, *lines[1:]],
    'other types': lambda lines: [line.replace(b'"study_id":0', b'"study_id":[]') for line in lines],
    'no configuration': lambda lines: [line.replace(b'{\\"name', b'[{\\"name') for line in lines],
    'configuration of a number': lambda lines: [line.replace(b'\\"seed\\": 0', b'\\"seed\\": []') for line in lines],
    'no data': lambda lines: [line.replace(b'{"data"', b'{"date"') for line in lines],
    'process': lambda lines: [re.sub(rb'{"process":"[^"]*"}', b'{"process":5}', line) for line in lines],
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_journal_is_a_result_or_one_line(tmp_path, damage):
    opened(tmp_path).optimise(2, objective, ())
    journal = tmp_path / JOURNAL
    whole = journal.read_bytes().splitlines()
    lines = DAMAGES[damage](whole)
    assert lines != whole
    journal.write_bytes(b'\n'.join(lines) + b'\n')
    try:
        opened(tmp_path).trials()
    except UserError as error:
        said = str(error)
    else:
        said = ''
    assert bool(said) == (damage != 'process'), said
    assert '\n' not in said
    assert len(said) < 1000
