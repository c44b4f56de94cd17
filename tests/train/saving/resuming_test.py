"""What a training goes on from when one of its checkpoints is damaged: whole weights, or one line."""

import contextlib
import dataclasses
import functools
import shutil
import warnings

import chex
import jax
import pytest

from jtransfer.config import Train, Transfer
from jtransfer.errors import RunWarning, UserError
from jtransfer.train.lane import find_lane
from jtransfer.train.saving.checkpoints import Checkpoints
from jtransfer.train.saving.resuming import find_resumed
from jtransfer.train.saving.run_progress import RunProgress
from tests.flips import damage_values
from tests.train.saving.checkpoints_test import distinct


@pytest.fixture(scope='module')
def make(toy, tmp_path_factory):
    """Writes a last and a best checkpoint, or copies them; returns their folder, the states and what reads them."""
    parts, variables = toy.make(transfer=Transfer('linear_probe'), train=Train(progress=False))
    like = toy.start(parts, variables)

    @functools.cache
    def original(last, best, speaks_of):
        folder = tmp_path_factory.mktemp('original') / 'checkpoints'
        states = {}
        with contextlib.closing(Checkpoints(folder)) as checkpoints:
            if best is not None:
                states['best'] = moved(like, best)
                checkpoints.save_best(states['best'], RunProgress(0.5, best, best_loss=1.0))
            if last is not None:
                states['last'] = moved(like, last)
                known = best if speaks_of is None else speaks_of
                score = {} if known is None else {'best_score': 0.5, 'best_step': known, 'best_loss': 1.0}
                checkpoints.save_last(states['last'], RunProgress(**score))
        return folder, states

    def written(last=None, best=None, speaks_of=None):
        folder, states = original(last, best, speaks_of)
        copy = tmp_path_factory.mktemp('run') / 'checkpoints'
        shutil.copytree(folder, copy)
        return copy, states

    def found(folder):
        with contextlib.closing(Checkpoints(folder)) as checkpoints:
            return find_resumed(checkpoints, parts, lambda starts: toy.start(parts, variables))

    return written, found, (parts, lambda starts: jax.device_get(like))


def moved(like, step):
    """As a training moves it: what is frozen stays."""
    state = distinct(like, step)
    return dataclasses.replace(
        state, frozen=like.frozen, trainable=jax.tree.map(lambda leaf: leaf + step, state.trainable)
    )


def test_whole_checkpoints_are_read_in_silence(make):
    written, found, _ = make
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        folder, states = written(last=6, best=4)
        resumed = found(folder)
        chex.assert_trees_all_equal(resumed.state, states['last'])
        chex.assert_trees_all_equal(resumed.best, states['best'])
        assert (resumed.progress.best_step, resumed.progress.best_score) == (4, 0.5)
        nothing = found(folder.parent / 'nothing')
        assert (nothing.state, nothing.best, nothing.progress) == (None, None, RunProgress())


def test_a_damaged_last_one_gives_way_to_the_best_one(make):
    written, found, _ = make
    folder, states = written(last=6, best=4)
    damage_values(folder / 'last')
    with pytest.warns(RunWarning) as said:
        resumed = found(folder)
    line = str(said[0].message)
    assert len(said) == 1
    assert '\n' not in line
    assert line.startswith(f'the checkpoint {folder}/last/6 is damaged: ')
    assert f'set aside as {folder}/damaged/last-6, and training goes on from the best one, of step 4' in line
    chex.assert_trees_all_equal(resumed.state, states['best'])
    chex.assert_trees_all_equal(resumed.best, states['best'])
    assert resumed.state.trainable is not resumed.best.trainable
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        assert (checkpoints.last_step, checkpoints.best_step) == (None, 4)
        checkpoints.save_last(states['best'].replace(step=5), resumed.progress)
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        assert checkpoints.last_step == 5
    assert (folder / 'damaged' / 'last-6').is_dir()


@pytest.mark.parametrize('best', [None, 4])
def test_without_a_whole_one_it_is_told_what_to_do(make, best):
    written, found, _ = make
    folder, _ = written(last=6, best=best)
    damage_values(folder / 'last')
    if best:
        damage_values(folder / 'best')
    with pytest.raises(UserError, match=r'last/6 is damaged: .*, and there is no whole one beside it: delete ') as told:
        found(folder)
    assert '\n' not in str(told.value)
    assert (folder / 'last' / '6').is_dir()


@pytest.mark.parametrize('way', ['damaged', 'gone', 'empty'])
def test_the_last_weights_are_not_taken_for_the_lost_best_ones(make, way):
    written, found, (parts, fresh) = make
    folder, _ = written(last=6, best=4)
    if way == 'damaged':
        damage_values(folder / 'best')
    else:
        shutil.rmtree(folder / 'best' / ('4' if way == 'empty' else ''))
    with pytest.raises(UserError, match=r'the best validation score, 0.5 after step 4, are lost, .*; delete ') as told:
        found(folder)
    assert '\n' not in str(told.value)
    (folder.parent / 'fold').mkdir()
    folder.rename(folder.parent / 'fold' / 'checkpoints')
    with pytest.raises(UserError, match=r'the best validation score, 0\.5 after step 4, are lost'):
        find_lane(0, parts, fresh, folder.parent / 'fold')


def test_a_lost_best_one_of_the_last_step_is_the_last_one(make):
    written, found, _ = make
    folder, states = written(last=6, best=6)
    damage_values(folder / 'best')
    with pytest.warns(RunWarning, match='is set aside as .*; the last one is of the same step and has its weights'):
        resumed = found(folder)
    chex.assert_trees_all_equal(resumed.best, states['last'])
    assert resumed.progress.best_step == 6


@pytest.mark.parametrize('last', [None, 4])
def test_a_damaged_best_one_that_is_still_to_come_is_made_again(make, last):
    written, found, _ = make
    folder, _ = written(last=last, best=6, speaks_of=3)
    damage_values(folder / 'best')
    with pytest.warns(RunWarning, match=f'training goes on from step {last or 0} and comes by step 6 again'):
        resumed = found(folder)
    assert resumed.best is None
    assert (resumed.progress.best_step, resumed.progress.best_score) == (None, None)
    assert resumed.progress.better(0.1, 5)


def test_a_fold_falls_back_too(make):
    written, _, (parts, fresh) = make
    folder, states = written(last=6, best=4)
    damage_values(folder / 'last')
    with pytest.warns(RunWarning, match='training goes on from the best one, of step 4'):
        fold = find_lane(0, parts, fresh, folder.parent)
    fold.close()
    assert fold.start == 4
    chex.assert_trees_all_equal(fold.state.trainable, states['best'].trainable)
    chex.assert_trees_all_equal(fold.best.trainable, states['best'].trainable)
