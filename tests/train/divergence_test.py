"""What is not finite: the loop stops with one line and the state before it, and never saves a NaN."""

import chex
import jax
import numpy as np
import pytest

from jtransfer.config import Optim, Train, Transfer
from jtransfer.errors import TrainingDivergedError
from jtransfer.train.logs.log import read_log
from jtransfer.train.loop import fit
from jtransfer.train.saving.checkpoints import Checkpoints, read_variables
from jtransfer.train.sizes import steps_by_size


def validate(variables):
    return {'top1': 0.5}


@pytest.fixture(scope='module')
def placement(toy):
    return toy.placement(1)


@pytest.fixture
def overflowing(toy):
    """Parts and variables whose first loss is not finite, though the parameters are."""
    parts, variables = toy.make(transfer=Transfer('linear_probe'), optim=Optim(learning_rate=0.01))
    variables['params']['head']['kernel'][:] = 3e38
    chex.assert_tree_all_finite(variables)
    return parts, variables


def test_a_loss_that_overflows_stops_the_run_with_the_state_before_it(toy, placement, overflowing, tmp_path):
    parts, variables = overflowing
    start = toy.start(parts, variables)
    for _ in range(2):  # and a resumed run comes no further
        with pytest.raises(TrainingDivergedError) as caught:
            fit(parts, variables, toy.feeder(placement), placement, validate=validate, run_dir=tmp_path)
        message = str(caught.value)
        assert '\n' not in message
        assert 'stopped being finite at step 1.' in message
        assert f'{tmp_path}/checkpoints/last/0' in message
        assert 'optim.learning_rate (now 0.01)' in message
        assert read_log(tmp_path / 'metrics.jsonl') == []
        checkpoints = Checkpoints(tmp_path / 'checkpoints')
        saved = checkpoints.restore_last(start, parts.plan)
        assert checkpoints.best_step is None
        checkpoints.close()
        chex.assert_tree_all_finite(saved)
        chex.assert_trees_all_equal(saved, start)


def test_without_a_run_directory_the_message_names_no_file(toy, placement, overflowing):
    with pytest.raises(TrainingDivergedError, match=r'at step 1\. A lower'):
        fit(*overflowing, toy.feeder(placement), placement)


@pytest.mark.filterwarnings('ignore:overflow encountered in cast')
# 1e39 is infinite in float32: the parameters overflow before any loss or gradient does.
@pytest.mark.parametrize(('learning_rate', 'every'), [(1e38, 1), (1e38, 50), (1e39, 1)])
def test_an_absurd_learning_rate_stops_the_run_with_the_state_before_it(toy, tmp_path, learning_rate, every):
    sgd = Optim(name='sgd', learning_rate=learning_rate, schedule='constant', warmup=0.0, ema_decay=0.9)
    train = Train(tensorboard=False, progress=False, log_every=every, checkpoint_every=every, evaluate_every=every)
    parts, variables = toy.make(transfer=Transfer('linear_probe'), optim=sgd, steps=50, train=train)
    placement = toy.placement(1)
    feed = toy.feeder(placement)
    with pytest.raises(TrainingDivergedError) as caught:
        fit(parts, variables, feed, placement, validate=validate, run_dir=tmp_path)
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    saved = checkpoints.restore_last(toy.start(parts, variables), parts.plan)
    good = int(saved.step)
    assert good == 0 if learning_rate == 1e39 else 0 < good < 50
    assert f'stopped being finite at step {good + 1}.' in str(caught.value)
    assert f'{tmp_path}/checkpoints/last/{good}' in str(caught.value)

    state = placement.put_state(toy.start(parts, variables))
    step = steps_by_size(placement, parts, state.trainable)(0)
    for index, batch in zip(range(good + 1), feed(0), strict=False):
        state, metrics = step(state, batch)
        assert bool(metrics['finite']) == (index < good)
    chex.assert_tree_all_finite(saved)
    chex.assert_trees_all_equal(saved, jax.tree.map(np.array, state))
    chex.assert_tree_all_finite(read_variables(checkpoints.directory)[0])
    if every == 1:
        assert [line['step'] for line in read_log(tmp_path / 'metrics.jsonl')] == list(range(1, good + 1))
    if checkpoints.best_step is not None:
        chex.assert_tree_all_finite(checkpoints.restore_best(toy.start(parts, variables), parts.plan))
    checkpoints.close()
