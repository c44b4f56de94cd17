"""Samplers that draw by the number of a trial, and pruners."""

import sys

import pytest

from jtransfer.errors import UserError
from jtransfer.experiments.search.sampler import check_sampler, grid_size, make_pruner, make_sampler
from jtransfer.experiments.search.space import Dimension

optuna = pytest.importorskip('optuna')

X, Y = Dimension('x', 'uniform', 0.0, 1.0), Dimension('y', 'uniform', 0.0, 1.0)
CHOICE, OTHER = Dimension('x', 'choice', choices=('a', 'b')), Dimension('y', 'choice', choices=('1', '2', '3'))


@pytest.fixture(autouse=True)
def _quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def take(study, trials):
    for _ in range(trials):
        trial = study.ask()
        x, y = trial.suggest_float('x', 0, 1), trial.suggest_float('y', 0, 1)
        study.tell(trial, -((x - 0.3) ** 2) - (y - 0.6) ** 2)


def drawn(study):
    return [tuple(trial.params.values()) for trial in study.get_trials()]


def make(name, seed=0):
    if name == 'cma_es':
        pytest.importorskip('cmaes')
    return optuna.create_study(sampler=make_sampler(name, (X, Y), seed), direction='maximize')


@pytest.mark.filterwarnings('ignore::optuna.exceptions.ExperimentalWarning')
@pytest.mark.parametrize('name', ['tpe', 'random', 'quasi_random', 'cma_es'])
def test_the_same_seed_draws_the_same_and_no_trial_twice(name):
    trials = 14  # beyond the ten that TPE draws at random
    whole, again, other = make(name), make(name), make(name, seed=1)
    for study in (whole, again, other):
        take(study, trials)
    assert drawn(whole) == drawn(again) != drawn(other)
    assert len(set(drawn(whole))) == trials


def test_a_grid_is_gone_through_once():
    space = (CHOICE, OTHER)
    assert grid_size(space) == 6
    study = optuna.create_study(sampler=make_sampler('grid', space, 3))
    for _ in range(6):
        trial = study.ask()
        trial.suggest_categorical('x', CHOICE.choices)
        trial.suggest_categorical('y', OTHER.choices)
        study.tell(trial, 0.0)
    assert len(set(drawn(study))) == 6


@pytest.mark.parametrize(
    ('name', 'space', 'message'),
    [
        ('grid', (CHOICE, Y), r'grid goes through choices, and y is a range'),
        ('cma_es', (X, OTHER), r'cma_es is for ranges, and y is a choice'),
        ('cma_es', (X,), r'two fields or more'),
    ],
)
def test_a_sampler_that_does_not_fit_is_one_line(name, space, message):
    with pytest.raises(UserError, match=message):
        check_sampler(name, space)


def test_cma_es_without_its_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cmaes', None)
    with pytest.raises(UserError, match='pip install cmaes'):
        check_sampler('cma_es', (X, Y))


@pytest.mark.parametrize('name', ['tpe', 'random', 'quasi_random'])
def test_the_others_take_any_space(name):
    check_sampler(name, (X, OTHER))


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('none', 'NopPruner'),
        ('median', 'MedianPruner'),
        ('successive_halving', 'SuccessiveHalvingPruner'),
        ('hyperband', 'HyperbandPruner'),
    ],
)
def test_pruners_are_those_of_optuna(name, kind):
    assert type(make_pruner(name)).__name__ == kind
