"""The loop: interrupted or killed anywhere and resumed, a run ends as if nothing had happened."""

import dataclasses
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import stopping
from jtransfer.config import Augment, Config, Data, Optim, Train, Transfer
from jtransfer.errors import UserError
from jtransfer.train.logs.log import read_log
from jtransfer.train.loop import fit, total_steps
from jtransfer.train.saving import orbax_errors
from jtransfer.train.saving.checkpoints import Checkpoints
from jtransfer.train.sizes import steps_by_size
from tests.tiers import slow

STEPS = 12
# The logged, the evaluated and the saved steps mostly miss each other.
TRAIN = Train(log_every=5, evaluate_every=3, checkpoint_every=4, tensorboard=False, progress=False)
OPTIM = Optim(learning_rate=0.01, weight_decay=0.1, ema_decay=0.9, clip_norm=1.0, warmup=0.2)
AUGMENT = Augment(horizontal_flip=0.5, brightness=0.2)
LINES = [3, 4, 5, 6, 8, 9, 10, 12]


def make(toy, **train):
    parts, variables = toy.make(optim=OPTIM, augment=AUGMENT, steps=STEPS, train=dataclasses.replace(TRAIN, **train))
    return parts, variables


def validate(variables):
    """A score that goes up and down: another in every bit that differs."""
    total = sum(float(np.abs(leaf).sum(dtype=np.float64)) for leaf in jax.tree.leaves(variables))
    return {'top1': 1000 * total % 1, 'loss': total}


def cut(make_feed, at, stop):
    """The feed, which calls `stop` when it is asked for the batch of a step."""

    def make_cut(start):
        for step, batch in zip(itertools.count(start), make_feed(start), strict=False):
            if step == at:
                stop()
            yield batch

    return make_cut


def interrupt():
    raise KeyboardInterrupt


@pytest.fixture(scope='module')
def placement(toy):
    return toy.placement(2)


@pytest.fixture(scope='module')
def feed(toy, placement):
    return toy.feeder(placement)


@pytest.fixture(scope='module')
def whole(toy, placement, feed, tmp_path_factory):
    """The uninterrupted run, and where it was written."""
    directory = tmp_path_factory.mktemp('whole')
    parts, variables = make(toy)
    return fit(parts, variables, feed, placement, validate=validate, run_dir=directory), directory


@pytest.fixture(scope='module')
def states(toy, placement, feed):
    """The state after every step, without the loop."""
    parts, variables = make(toy)
    state = toy.start(parts, variables)
    step = steps_by_size(placement, parts, state.trainable)(0)
    after = [jax.tree.map(np.array, state)]
    state = placement.put_state(state)
    for batch in itertools.islice(feed(0), STEPS):
        state, _ = step(state, batch)
        after.append(jax.tree.map(np.array, state))
    return after


def restored(toy, directory, which='last'):
    parts, variables = make(toy)
    checkpoints = Checkpoints(directory / 'checkpoints')
    try:
        state = getattr(checkpoints, f'restore_{which}')(toy.start(parts, variables), parts.plan)
        return state, getattr(checkpoints, f'{which}_progress')()
    finally:
        checkpoints.close()


def lines(directory):
    return [{**line, 'images_per_second': None} for line in read_log(directory / 'metrics.jsonl')]


def assert_same_run(toy, result, directory, whole):
    expected, expected_directory = whole
    chex.assert_trees_all_equal(result.state, expected.state)
    chex.assert_trees_all_equal(result.variables, expected.variables)
    assert (result.chosen_step, result.best_score) == (expected.chosen_step, expected.best_score)
    assert lines(directory) == lines(expected_directory)
    assert [line['step'] for line in result.history] == LINES
    for which in ('last', 'best'):
        state, progress = restored(toy, directory, which)
        expected_state, expected_progress = restored(toy, expected_directory, which)
        chex.assert_trees_all_equal(state, expected_state)
        assert progress == expected_progress


def test_an_uninterrupted_run(toy, whole, states):
    result, directory = whole
    chex.assert_trees_all_equal(result.state, states[STEPS])
    written = read_log(directory / 'metrics.jsonl')
    assert written == result.history
    assert [line['step'] for line in written] == LINES
    assert all(line['images_per_second'] > 0 for line in written)
    assert [line['step'] for line in written if 'validation/top1' in line] == [3, 6, 9, 12]
    chex.assert_trees_all_equal(restored(toy, directory)[0], states[STEPS])


def test_the_best_step_is_chosen(toy, whole, states):
    result, directory = whole
    scores = {step: validate(states[step].variables())['top1'] for step in (3, 6, 9, 12)}
    assert result.best_score == max(scores.values())
    assert result.chosen_step == max(scores, key=scores.get)
    # Otherwise nothing here would tell the best from the last.
    assert result.chosen_step != STEPS
    chex.assert_trees_all_equal(result.variables, states[result.chosen_step].variables())
    state, progress = restored(toy, directory, 'best')
    chex.assert_trees_all_equal(state, states[result.chosen_step])
    assert (progress.best_score, progress.best_step) == (result.best_score, result.chosen_step)
    assert [line['validation/top1'] for line in result.history if 'validation/top1' in line] == [*scores.values()]


@pytest.mark.parametrize('at', [None, 7, *slow(11)])
def test_of_equal_scores_the_lower_loss_is_chosen_and_of_equal_losses_the_latest(
    toy, placement, feed, states, tmp_path, at
):
    parts, variables = make(toy)
    losses = {3: 0.9, 6: 0.2, 9: 0.2, 12: 0.5}
    steps = {jax.tree.leaves(states[step].variables())[0].tobytes(): step for step in losses}

    def certain(variables):
        step = steps[np.asarray(jax.tree.leaves(variables)[0]).tobytes()]
        return {'top1': 1.0, 'loss': losses[step]}

    if at:
        with pytest.raises(KeyboardInterrupt):
            fit(parts, variables, cut(feed, at, interrupt), placement, validate=certain, run_dir=tmp_path)
    result = fit(parts, variables, feed, placement, validate=certain, run_dir=tmp_path)
    assert (result.chosen_step, result.best_score, result.best_loss) == (9, 1.0, 0.2)
    chex.assert_trees_all_equal(result.variables, states[9].variables())
    state, progress = restored(toy, tmp_path, 'best')
    chex.assert_trees_all_equal(state, states[9])
    assert (progress.best_step, progress.best_loss) == (9, 0.2)


def test_metrics_are_means_over_the_steps_since_the_last_line(toy, placement, feed, whole):
    parts, variables = make(toy, log_every=1)
    single = fit(parts, variables, feed, placement)
    assert [line['step'] for line in single.history] == list(range(1, STEPS + 1))
    for name in ('train/loss', 'train/accuracy', 'gradient_norm'):
        values = [line[name] for line in single.history]
        means = [np.mean(values[a:b]) for a, b in itertools.pairwise([0, *LINES])]
        np.testing.assert_allclose([line[name] for line in whole[0].history], means, rtol=1e-6)
    rates = {line['step']: line['learning_rate/head'] for line in single.history}
    assert [line['learning_rate/head'] for line in whole[0].history] == [rates[step] for step in LINES]


# 2: before any checkpoint; 3: with a best one alone; 4 and 8: while one is being written; 7 and 11: with a best
# checkpoint newer than the last.
@pytest.mark.parametrize('at', [3, 8, 11, *slow(2, 4, 7)])
def test_an_interrupted_run_resumes_as_if_nothing_had_happened(toy, placement, feed, whole, states, tmp_path, at):
    parts, variables = make(toy)
    with pytest.raises(KeyboardInterrupt):
        fit(parts, variables, cut(feed, at, interrupt), placement, validate=validate, run_dir=tmp_path)
    if at >= 4:
        # Written while the next steps took over its buffers.
        chex.assert_trees_all_equal(restored(toy, tmp_path)[0], states[at // 4 * 4])
    result = fit(parts, variables, feed, placement, validate=validate, run_dir=tmp_path)
    assert_same_run(toy, result, tmp_path, whole)


def test_the_best_survives_though_it_is_newer_than_the_last(toy, placement, feed, states, tmp_path):
    parts, variables = make(toy, evaluate_every=1)
    rising = itertools.count(1)
    with pytest.raises(KeyboardInterrupt):
        fit(
            parts,
            variables,
            cut(feed, 7, interrupt),
            placement,
            validate=lambda variables: {'top1': next(rising) / 10},
            run_dir=tmp_path,
        )
    assert restored(toy, tmp_path)[0].step == 4
    # On an accelerator the same state need not score the same twice.
    result = fit(parts, variables, feed, placement, validate=lambda variables: {'top1': 0.0}, run_dir=tmp_path)
    assert (result.chosen_step, result.best_score) == (7, 0.7)
    chex.assert_trees_all_equal(result.variables, states[7].variables())


# 1: no line yet; 3: at validation; 4: at a checkpoint; 7: between everything; 12: at the last validation.
@pytest.mark.parametrize('at', [3, 7, *slow(1, 4, 12)])
def test_a_run_that_a_signal_ends_loses_nothing(toy, placement, feed, whole, signalled, tmp_path, at):
    parts, variables = make(toy)
    with pytest.raises(stopping.Stopped, match=f'stopped by SIGTERM: step {at} of {STEPS} is saved'):
        fit(parts, variables, cut(feed, at - 1, signalled), placement, validate=validate, run_dir=tmp_path)
    stopped, progress = restored(toy, tmp_path)
    assert int(stopped.step) == at
    assert progress.due == (at % TRAIN.evaluate_every == 0)
    assert (len(progress.pending) > 0) == (at not in LINES or progress.due)
    signalled.over()
    again = fit(parts, variables, feed, placement, validate=validate, run_dir=tmp_path)
    if at < STEPS:
        assert_same_run(toy, again, tmp_path, whole)
    else:  # the last checkpoint has no successor, and stays the one whose validation was due
        chex.assert_trees_all_equal(again.variables, whole[0].variables)
        assert lines(tmp_path) == lines(whole[1])


def test_a_step_is_compiled_where_a_signal_does_not_wait_for_it(toy, placement, feed, monkeypatch, tmp_path):
    compiled, blocks = jax.stages.Lowered.compile, []

    def noted(*arguments, **options):
        blocks.append(stopping._WORK.save)
        return compiled(*arguments, **options)

    monkeypatch.setattr(jax.stages.Lowered, 'compile', noted)
    parts, variables = make(toy, stop_step=1)
    fit(parts, variables, feed, placement, run_dir=tmp_path)
    assert blocks
    assert not {None, stopping._not_now} & {*blocks}


def test_a_training_that_cannot_begin_leaves_nothing_open(toy, placement, monkeypatch, tmp_path):
    monkeypatch.setattr(orbax_errors, '_state', {'open': 0})
    parts, variables = toy.make()

    def refusing(start):
        raise UserError('no such images')

    with pytest.raises(UserError, match='no such images'):
        fit(parts, variables, refusing, placement, run_dir=tmp_path)
    assert orbax_errors._state['open'] == 0
    assert not stopping._WORK.save


def test_a_signal_waits_for_nothing_where_nothing_can_be_saved(toy, placement, feed, signalled):
    parts, variables = make(toy)
    result = fit(parts, variables, cut(feed, 3, signalled), placement)
    assert int(result.state.step) == STEPS  # whoever listens to signals has ended the process


def test_a_run_interrupted_twice(toy, placement, feed, whole, tmp_path):
    parts, variables = make(toy)
    for at in (6, 10):
        with pytest.raises(KeyboardInterrupt):
            fit(parts, variables, cut(feed, at, interrupt), placement, validate=validate, run_dir=tmp_path)
    result = fit(parts, variables, feed, placement, validate=validate, run_dir=tmp_path)
    assert_same_run(toy, result, tmp_path, whole)


def test_a_finished_run_resumed_does_nothing(toy, placement, feed, whole, tmp_path):
    parts, variables = make(toy)
    fit(parts, variables, feed, placement, validate=validate, run_dir=tmp_path)
    again = fit(parts, variables, cut(feed, 0, interrupt), placement, validate=validate, run_dir=tmp_path)
    assert_same_run(toy, again, tmp_path, whole)


KILLED = """
import importlib.util, os, signal, sys

def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

directory, conftest, tests, at = sys.argv[1:]
toy, loop = load('toys', conftest).Toy(), load('loop_test', tests)
placement = toy.placement(2)
feed = loop.cut(toy.feeder(placement), int(at), lambda: os.kill(os.getpid(), signal.SIGKILL))
parts, variables = loop.make(toy)
loop.fit(parts, variables, feed, placement, validate=loop.validate, run_dir=directory)
"""


def test_a_killed_run_resumes_as_if_nothing_had_happened(toy, placement, feed, whole, tmp_path):
    driver = tmp_path / 'driver.py'
    driver.write_text(KILLED)
    here, run = pathlib.Path(__file__), tmp_path / 'run'
    killed = subprocess.run(
        [sys.executable, driver, run, here.with_name('conftest.py'), here, '10'],
        env={**os.environ, 'PYTHONPATH': str(here.parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    steps = [line['step'] for line in read_log(run / 'metrics.jsonl')]
    assert steps[-2:] == [9, 10]
    # The checkpoint of step 8 may have been cut off as it was written.
    assert restored(toy, run)[0].step in (4, 8)
    parts, variables = make(toy)
    result = fit(parts, variables, feed, placement, validate=validate, run_dir=run)
    assert_same_run(toy, result, run, whole)


def test_the_source_is_left_untouched(toy, placement, feed, whole):
    parts, variables = make(toy)
    source = jax.tree.map(jnp.array, variables)
    result = fit(parts, source, feed, placement)
    chex.assert_trees_all_equal(source, variables)
    chex.assert_trees_all_equal(result.state, whole[0].state)
    assert result.chosen_step == STEPS
    assert result.best_score is None
    chex.assert_trees_all_equal(result.variables, result.state.variables())


def test_a_run_directory_of_another_plan_is_told_before_anything_is_written(toy, placement, feed, whole, tmp_path):
    parts, variables = make(toy)
    with pytest.raises(KeyboardInterrupt):
        fit(parts, variables, cut(feed, 5, interrupt), placement, run_dir=tmp_path)
    log = (tmp_path / 'metrics.jsonl').read_text()
    other, _ = toy.make(transfer=Transfer('linear_probe'), optim=OPTIM, train=TRAIN)
    with pytest.raises(UserError, match='another plan or optimiser'):
        fit(other, variables, feed, placement, run_dir=tmp_path)
    assert (tmp_path / 'metrics.jsonl').read_text() == log
    assert json.loads(log.splitlines()[-1])['step'] == 5


@pytest.mark.parametrize(
    ('epochs', 'steps', 'examples', 'batch_size', 'expected'),
    [
        (0.0, 7, 100, 10, 7),
        (2.0, 0, 100, 10, 20),
        (1.0, 0, 101, 10, 11),
        (1.1, 0, 100, 10, 11),
        (0.07, 0, 100, 7, 1),
        (0.001, 0, 10, 10, 1),
        (1.0, 0, 5, 10, 1),
    ],
)
def test_total_steps(epochs, steps, examples, batch_size, expected):
    config = Config(train=Train(epochs=epochs, steps=steps), data=Data(batch_size=batch_size))
    assert total_steps(config, examples) == expected


@pytest.mark.parametrize('train', [Train(epochs=1e12), Train(steps=2**31)])
def test_more_steps_than_can_be_counted(train):
    with pytest.raises(UserError, match='more than the 2,147,483,647 there can be'):
        total_steps(Config(train=train), 100)
