"""Folds side by side, interrupted or killed anywhere, resume together or alone as if nothing had happened."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys

import chex
import jax
import numpy as np
import pytest

from jtransfer import stopping
from jtransfer.errors import TrainingDivergedError, UserError
from jtransfer.train.logs.log import read_log
from jtransfer.train.loop import fit, fit_lanes
from jtransfer.train.saving.checkpoints import Checkpoints
from jtransfer.train.saving.run_progress import RunProgress
from tests.tiers import slow
from tests.train.folds import (
    AUGMENT,
    FOLDS,
    FROZEN,
    OPTIM,
    SPARSE,
    STATE_TOLERANCE,
    STEPS,
    OnceFolds,
    cut,
    feeder,
    feeder_alone,
    folders,
    host,
    interrupt,
    lines,
    make,
    restored,
    train,
    training_parts,
    validate,
)


@pytest.fixture(scope='module')
def placement():
    """Two rows of one device, with two folds each."""
    return OnceFolds(FOLDS, 2)


@pytest.fixture(scope='module')
def whole(toy, placement, tmp_path_factory):
    """The uninterrupted run, and where it was written."""
    directory = tmp_path_factory.mktemp('whole')
    return train(toy, placement, directory), directory


def assert_same_runs(toy, results, directory, whole, equal=chex.assert_trees_all_equal):
    parts, variables = make(toy)
    expected, expected_directory = whole
    for result, other, own, others in zip(
        results, expected, folders(directory), folders(expected_directory), strict=True
    ):
        equal(host(result.state), host(other.state))
        equal(host(result.variables), host(other.variables))
        assert (result.chosen_step, result.starts) == (other.chosen_step, other.starts)
        equal(result.best_score, other.best_score)
        equal(lines(own), lines(others))
        assert result.history == read_log(own / 'metrics.jsonl')
        for which in ('last', 'best'):
            (state, progress), (other_state, other_progress) = (
                restored(parts, variables, run, which) for run in (own, others)
            )
            equal(state, other_state)
            equal(dataclasses.asdict(progress), dataclasses.asdict(other_progress))


def test_every_fold_writes_what_it_would_write_alone(toy, whole, tmp_path):
    results, directory = whole
    parts, variables = make(toy)
    alone_on = toy.placement(1)
    for part, run_dir in zip(training_parts(FOLDS), folders(tmp_path), strict=True):
        fit(parts, variables, feeder_alone(part, alone_on), alone_on, run_dir=run_dir)
    for run_dir, other in zip(folders(directory), folders(tmp_path), strict=True):
        # Scores differ with the last bit of a parameter.
        of = [
            [{k: v for k, v in line.items() if not k.startswith('validation/')} for line in lines(run)]
            for run in (run_dir, other)
        ]
        written = [{line['step']: line for line in found} for found in of]
        assert [*written[0]] == [3, 4, 5, 6, 8, 9, 10, 12]
        assert {step for step in written[1]} <= {*written[0]}
        validated = [line['step'] for line in lines(run_dir) if 'validation/top1' in line]
        assert validated == [3, 6, 9, 12]
        state, progress = restored(parts, variables, run_dir, 'last')
        other_state, other_progress = restored(parts, variables, other, 'last')
        chex.assert_trees_all_close(state, other_state, **STATE_TOLERANCE)
        assert progress.starts == other_progress.starts == (0, 5)
    for result in results:
        scores = {line['step']: line['validation/top1'] for line in result.history if 'validation/top1' in line}
        assert result.best_score == max(scores.values())
        assert result.chosen_step == max(scores, key=scores.get)
    # Otherwise nothing here would tell the best from the last, nor one fold from the others.
    assert len({result.chosen_step for result in results}) > 1


# 2: before any checkpoint; 3: with a best one alone; 4 and 8: while one is being written; 5: at a new phase; 7 and 11:
# with a best checkpoint newer than the last.
@pytest.mark.parametrize('at', [3, 8, *slow(2, 4, 5, 7, 11)])
def test_interrupted_folds_resume_as_if_nothing_had_happened(toy, placement, whole, tmp_path, at):
    with pytest.raises(KeyboardInterrupt):
        train(toy, placement, tmp_path, cut(feeder(FOLDS, placement), at, interrupt))
    assert_same_runs(toy, train(toy, placement, tmp_path), tmp_path, whole)


# 3: at validation; 5: at a new phase, which no checkpoint was to be at.
@pytest.mark.parametrize('at', [5, *slow(3)])
def test_folds_that_a_signal_ends_save_the_step_and_lose_nothing(toy, placement, whole, signalled, tmp_path, at):
    with pytest.raises(stopping.Stopped, match=f'stopped by SIGTERM: step {at} of {STEPS} of {FOLDS} folds is saved'):
        train(toy, placement, tmp_path, cut(feeder(FOLDS, placement), at - 1, signalled))
    parts, variables = make(toy)
    for folder in folders(tmp_path):
        stopped, progress = restored(parts, variables, folder, 'last')
        assert (int(stopped.step), progress.due) == (at, at % SPARSE.evaluate_every == 0)
    signalled.over()
    assert_same_runs(toy, train(toy, placement, tmp_path), tmp_path, whole)


def test_folds_that_signals_ended_at_different_steps_wait_for_each_other(toy, placement, whole, signalled, tmp_path):
    for at in (7, 3):  # in the second phase; at a validation in the first
        with pytest.raises(stopping.Stopped):
            train(toy, placement, tmp_path / str(at), cut(feeder(FOLDS, placement), at - 1, signalled))
        signalled.over()
    mixed = tmp_path / 'mixed'
    mixed.mkdir()
    for at, target in zip((7, 3, 3, 7), folders(mixed), strict=True):
        folders(tmp_path / str(at))[folders(mixed).index(target)].rename(target)
    assert_same_runs(toy, train(toy, placement, mixed), mixed, whole)


def test_finished_folds_resumed_do_nothing(toy, placement, whole, tmp_path):
    train(toy, placement, tmp_path)
    again = train(toy, placement, tmp_path, cut(feeder(FOLDS, placement), 0, interrupt))
    assert_same_runs(toy, again, tmp_path, whole)


@pytest.mark.parametrize('ahead', [8, *slow(4, STEPS)])
def test_folds_left_off_at_different_steps_wait_for_each_other(toy, placement, whole, tmp_path, ahead):
    with pytest.raises(KeyboardInterrupt):
        train(toy, placement, tmp_path, cut(feeder(FOLDS, placement), 5, interrupt))
    later = tmp_path / 'later'
    if ahead == STEPS:
        train(toy, placement, later)
    else:
        with pytest.raises(KeyboardInterrupt):
            train(toy, placement, later, cut(feeder(FOLDS, placement), ahead + 1, interrupt))
    # One is ahead, in another phase of its training or finished; one is lost; two stopped in between.
    one, lost = folders(tmp_path)[1], folders(tmp_path)[2]
    one.rename(tmp_path / 'behind')
    folders(later)[1].rename(one)
    lost.rename(tmp_path / 'lost')
    assert_same_runs(toy, train(toy, placement, tmp_path), tmp_path, whole)


def test_a_fold_left_off_together_goes_on_alone(toy, placement, whole, tmp_path):
    parts, variables = make(toy)
    with pytest.raises(KeyboardInterrupt):
        train(toy, placement, tmp_path, cut(feeder(FOLDS, placement), 9, interrupt))
    alone_on = toy.placement(1)
    for number, part in enumerate(training_parts(FOLDS)[:2]):
        run_dir = folders(tmp_path)[number]
        make_feed = feeder_alone(part, alone_on)
        result = fit(parts, variables, make_feed, alone_on, validate=validate, run_dir=run_dir)
        assert [line['step'] for line in result.history] == [line['step'] for line in whole[0][number].history]
        chex.assert_trees_all_close(host(result.state), host(whole[0][number].state), **STATE_TOLERANCE)
        assert read_log(run_dir / 'metrics.jsonl')[0] == result.history[0]


def test_folds_left_off_alone_go_on_together(toy, placement, whole, tmp_path):
    parts, variables = make(toy)
    alone_on = toy.placement(1)
    for number, part in enumerate(training_parts(FOLDS)):
        at = (5, 9, 3, 9)[number]
        make_feed = cut(feeder_alone(part, alone_on), at, interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(parts, variables, make_feed, alone_on, validate=validate, run_dir=folders(tmp_path)[number])
    results = train(toy, placement, tmp_path)
    for result, other in zip(results, whole[0], strict=True):
        assert [line['step'] for line in result.history] == [line['step'] for line in other.history]
        chex.assert_trees_all_close(host(result.state), host(other.state), **STATE_TOLERANCE)


KILLED = """
import os, pathlib, signal, sys

from tests.train import folds
from tests.train.conftest import Toy

placement = folds.OnceFolds(folds.FOLDS, 2)
feed = folds.cut(
    folds.feeder(folds.FOLDS, placement), int(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL)
)
folds.train(Toy(), placement, pathlib.Path(sys.argv[1]), feed)
"""


def test_killed_folds_resume_as_if_nothing_had_happened(toy, placement, whole, tmp_path):
    run = tmp_path / 'run'
    killed = subprocess.run(
        [sys.executable, '-c', KILLED, run, '10'],
        env={**os.environ, 'PYTHONPATH': str(pathlib.Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    for run_dir in folders(run):
        assert [line['step'] for line in read_log(run_dir / 'metrics.jsonl')][-2:] == [9, 10]
    assert_same_runs(toy, train(toy, placement, run), run, whole)


def test_checkpoints_of_other_weights_or_plans_are_refused_before_anything_is_written(toy, placement, tmp_path):
    parts, variables = toy.make('dense_norm', FROZEN, OPTIM, augment=AUGMENT, train=SPARSE, steps=STEPS)
    own = OnceFolds(FOLDS, 2)
    runs = folders(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit_lanes(parts, variables, cut(feeder(FOLDS, own), 5, interrupt), own, run_dirs=runs)
    before = [(run / 'metrics.jsonl').read_text() for run in runs]
    other = jax.tree.map(np.copy, variables)
    other['params']['backbone']['stage1']['fc']['kernel'][0, 0] += 1
    with pytest.raises(UserError, match='other weights: the frozen backbone/stage1/fc/kernel differs'):
        fit_lanes(parts, other, feeder(FOLDS, own), own, run_dirs=runs)
    with pytest.raises(UserError, match='another plan or optimiser'):
        fit_lanes(*toy.make('dense_norm', optim=OPTIM, steps=STEPS), feeder(FOLDS, own), own, run_dirs=runs)
    assert [(run / 'metrics.jsonl').read_text() for run in runs] == before


def test_a_diverging_fold_is_named_and_the_others_are_saved(toy, placement, whole, tmp_path):
    parts, variables = make(toy)
    with pytest.raises(KeyboardInterrupt):
        train(toy, placement, tmp_path, cut(feeder(FOLDS, placement), 5, interrupt))
    run_dir = folders(tmp_path)[2]
    state, progress = restored(parts, variables, run_dir, 'last')
    assert state.step == 4
    run_dir.rename(tmp_path / 'sound')
    state.trainable['head']['bias'][:] = [3e38, -3e38, 0]  # finite, and the next loss is not
    checkpoints = Checkpoints(run_dir / 'checkpoints')
    checkpoints.save_last(state, RunProgress(starts=progress.starts))  # without a best one
    checkpoints.close()
    for _ in range(2):  # and resumed they come no further
        with pytest.raises(TrainingDivergedError) as caught:
            train(toy, placement, tmp_path)
        message = str(caught.value)
        assert '\n' not in message
        assert f'in fold 2 at step 5 (the state before it is saved in {run_dir}/checkpoints/last/4). A' in message
        assert 'optim.learning_rate (now 0.05)' in message
        # Noticed after step 5, with which a phase begins: the others know of it.
        for number in (0, 1, 3):
            state, progress = restored(parts, variables, folders(tmp_path)[number], 'last')
            assert (state.step, progress.starts) == (5, (0, 5))
            chex.assert_tree_all_finite(state)
        assert [line['step'] for line in read_log(run_dir / 'metrics.jsonl')] == []
    # Repaired, nothing is left of it.
    run_dir.rename(tmp_path / 'broken')
    (tmp_path / 'sound').rename(run_dir)
    assert_same_runs(toy, train(toy, placement, tmp_path), tmp_path, whole)
