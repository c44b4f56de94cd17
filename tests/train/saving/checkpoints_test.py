"""Checkpoints: canonical names, the values of their own step, and one line where they do not fit."""

import contextlib
import re
import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.config import Optim, Transfer
from jtransfer.errors import UserError, WritingError
from jtransfer.rules import flatten
from jtransfer.train.saving.checkpoints import Checkpoints, read_variables
from jtransfer.train.saving.run_progress import RunProgress
from tests.full_disk import files_up_to

EMA = Optim(ema_decay=0.9)
PROBE = Transfer('linear_probe')
STAGES = Transfer('fine_tune', rules=(('backbone/(stem|stage1)/.*', 'learning_rate=0.1'), ('backbone/.*', 'freeze')))


@pytest.fixture
def checkpoints(tmp_path):
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    yield checkpoints
    checkpoints.close()


def distinct(state, step):
    """The state at a step, with other numbers in every leaf."""
    numbers = iter(range(1, 10_000))
    state = jax.tree.map(lambda leaf: leaf + jnp.asarray(next(numbers), leaf.dtype), state)
    return state.replace(step=jnp.asarray(step, jnp.int32))


@pytest.mark.parametrize('transfer', [PROBE, STAGES, Transfer('fine_tune')])
@pytest.mark.parametrize('optim', [EMA, Optim(clip_norm=1.0), Optim(name='sgd', momentum=0.0)])
def test_a_state_comes_back_whole_and_with_its_progress(toy, checkpoints, transfer, optim):
    parts, variables = toy.make(transfer=transfer, optim=optim)
    like = toy.start(parts, variables)
    state, progress = distinct(like, 7), RunProgress(0.1 + 0.2, 4, best_loss=0.7)
    checkpoints.save_last(state, progress)
    checkpoints.wait()
    assert checkpoints.last_step == 7
    restored, restored_progress = checkpoints.restore_last(like, parts.plan), checkpoints.last_progress()
    assert restored_progress == progress
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    chex.assert_trees_all_equal_shapes_and_dtypes(restored, state)
    chex.assert_trees_all_equal(restored, state)


@pytest.mark.parametrize('name', ['a[b]c', 'rules=((head[_]._,_**', 'x?'])
def test_a_directory_whose_name_looks_like_a_pattern(toy, tmp_path, name):
    parts, variables = toy.make(transfer=PROBE)
    like = toy.start(parts, variables)
    state = distinct(like, 7)
    with contextlib.closing(Checkpoints(tmp_path / name / 'checkpoints')) as checkpoints:
        with pytest.raises(UserError, match=re.escape(f'{name}/checkpoints/best holds no complete checkpoint')):
            checkpoints.restore_best(like, parts.plan)
        checkpoints.save_last(state, RunProgress())
    assert (tmp_path / name / 'checkpoints' / 'last' / '7').is_dir()
    with contextlib.closing(Checkpoints(tmp_path / name / 'checkpoints')) as again:
        chex.assert_trees_all_equal(again.restore_last(like, parts.plan), state)
    assert read_variables(tmp_path / name / 'checkpoints')[1] == 7


@pytest.mark.parametrize('transfer', [PROBE, STAGES, Transfer('fine_tune')])
@pytest.mark.parametrize('name', ['resnet_tiny', 'vit_tiny_test'])
def test_the_names_are_the_networks_whatever_the_plan(toy, checkpoints, transfer, name):
    if name == 'vit_tiny_test' and transfer is STAGES:
        transfer = Transfer('fine_tune', rules=(('backbone/block0/.*', 'freeze'),))
    parts, variables = toy.make(name, transfer=transfer, optim=EMA)
    state = distinct(toy.start(parts, variables), 3)
    checkpoints.save_last(state, RunProgress())
    checkpoints.wait()
    read, step = read_variables(checkpoints.directory)
    assert step == 3
    assert flatten(read).keys() == flatten(variables).keys()
    # `distinct` gave the average other numbers than the parameters.
    chex.assert_trees_all_equal(read, state.variables())
    averaged = flatten(state.ema)
    assert all(np.array_equal(flatten(read['params'])[path], leaf) for path, leaf in averaged.items())
    assert not any(np.array_equal(flatten(state.trainable)[path], leaf) for path, leaf in averaged.items())


def test_a_checkpoint_holds_its_own_step_though_the_buffers_are_given_away(toy, checkpoints):
    parts, variables = toy.make(optim=EMA)
    state = distinct(toy.start(parts, variables), 1)
    kept = jax.tree.map(np.array, state)
    overwrite = jax.jit(lambda state: jax.tree.map(lambda leaf: -leaf - 1, state), donate_argnums=0)
    checkpoints.save_last(state, RunProgress())
    checkpoints.save_best(state, RunProgress(1.0, 1))
    overwrite(state)
    # All but the step, which jax 0.11 keeps once it has been read.
    assert all(
        leaf.is_deleted() for leaf in jax.tree.leaves((state.trainable, state.frozen, state.opt_state, state.ema))
    )
    checkpoints.wait()
    like = toy.start(parts, variables)
    for restored in (checkpoints.restore_last(like, parts.plan), checkpoints.restore_best(like, parts.plan)):
        chex.assert_trees_all_equal(restored, kept)


def test_only_the_newest_is_kept_and_a_step_is_written_once(toy, checkpoints):
    parts, variables = toy.make(transfer=PROBE)
    state = toy.start(parts, variables)
    for step in (2, 4, 4):
        checkpoints.save_last(distinct(state, step), RunProgress())
    checkpoints.save_best(distinct(state, 3), RunProgress(0.5, 3))
    checkpoints.wait()
    assert [path.name for path in (checkpoints.directory / 'last').iterdir()] == ['4']
    assert [path.name for path in (checkpoints.directory / 'best').iterdir()] == ['3']
    assert (checkpoints.last_step, checkpoints.best_step) == (4, 3)


def test_the_best_is_on_disk_before_a_last_one_that_speaks_of_it(toy, checkpoints, monkeypatch):
    parts, variables = toy.make(transfer=PROBE)
    state = toy.start(parts, variables)
    on_disk = []
    save = checkpoints._last.save

    def spy(*args, **kwargs):
        on_disk.append([path.name for path in (checkpoints.directory / 'best').iterdir()])
        return save(*args, **kwargs)

    monkeypatch.setattr(checkpoints._last, 'save', spy)
    for step in range(1, 6):
        checkpoints.save_best(distinct(state, step), RunProgress(step / 10, step))
        checkpoints.save_last(distinct(state, step), RunProgress(step / 10, step))
    assert [names[-1:] for names in map(sorted, on_disk)] == [[str(step)] for step in range(1, 6)]


@pytest.mark.parametrize(
    ('other', 'cause'),
    [
        ({'transfer': PROBE}, 'another plan or optimiser'),
        ({'optim': Optim(name='sgd', ema_decay=0.9)}, 'another plan or optimiser'),
        ({'optim': Optim()}, 'another plan or optim.ema_decay'),
        ({'name': 'vit_tiny_test'}, 'another network or number of classes'),
    ],
)
def test_another_configuration_is_told_in_one_line(toy, checkpoints, other, cause):
    parts, variables = toy.make(optim=EMA)
    checkpoints.save_last(toy.start(parts, variables), RunProgress())
    checkpoints.wait()
    parts, variables = toy.make(**{'optim': EMA, **other})
    with pytest.raises(UserError, match=f'checkpoints/last/0 does not fit this configuration: .*{cause}') as caught:
        checkpoints.restore_last(toy.start(parts, variables), parts.plan)
    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert caught.value.__cause__ is None


def test_another_number_of_classes_is_told_and_not_restored(toy, checkpoints):
    parts, variables = toy.make()
    checkpoints.save_last(toy.start(parts, variables), RunProgress())
    checkpoints.wait()
    variables['params']['head'] = {'kernel': np.zeros((16, 5), np.float32), 'bias': np.zeros(5, np.float32)}
    with pytest.raises(UserError, match=r'number of classes \(params head/\w+ is \(.*3,?\) there, \(.*5,?\) here\)'):
        checkpoints.restore_last(toy.start(parts, variables), parts.plan)


def test_no_checkpoint(toy, checkpoints, tmp_path):
    parts, variables = toy.make(transfer=PROBE)
    state = toy.start(parts, variables)
    assert checkpoints.last_step is None
    assert checkpoints.best_step is None
    for attempt in (
        lambda: checkpoints.restore_last(state, parts.plan),
        lambda: checkpoints.restore_best(state, parts.plan),
        lambda: read_variables(checkpoints.directory),
        lambda: read_variables(tmp_path / 'nothing'),
    ):
        with pytest.raises(UserError, match=r'(last|best) holds no complete checkpoint'):
            attempt()
    assert not (tmp_path / 'nothing').exists()


def test_a_half_written_checkpoint_is_passed_over(toy, checkpoints):
    parts, variables = toy.make(transfer=PROBE)
    like = toy.start(parts, variables)
    state = distinct(like, 4)
    checkpoints.save_last(state, RunProgress())
    checkpoints.wait()
    torn = checkpoints.directory / 'last' / '8.orbax-checkpoint-tmp'
    (torn / 'state').mkdir(parents=True)
    (torn / 'state' / 'manifest.ocdbt').write_bytes(b'torn')
    assert read_variables(checkpoints.directory)[1] == 4
    again = Checkpoints(checkpoints.directory)
    assert again.last_step == 4
    chex.assert_trees_all_equal(again.restore_last(like, parts.plan), state)
    again.save_last(distinct(like, 8), RunProgress())
    again.close()
    assert [path.name for path in (checkpoints.directory / 'last').iterdir()] == ['8']


def test_a_full_disk_is_one_line_and_what_is_whole_stays(toy, tmp_path, capfd):
    parts, variables = toy.make(transfer=PROBE)
    like = toy.start(parts, variables)
    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        checkpoints.save_last(distinct(like, 3), RunProgress())
        checkpoints.wait()
    checkpoints = Checkpoints(tmp_path)
    with files_up_to(300):
        with pytest.raises(WritingError, match=rf'{tmp_path} cannot be written: File too large; raise the limit'):
            save(checkpoints, distinct(like, 7))
        with contextlib.suppress(WritingError):
            checkpoints.close()
    assert capfd.readouterr() == ('', '')
    for _ in range(20):
        with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
            assert checkpoints.last_step == 3
            chex.assert_trees_all_equal(checkpoints.restore_last(like, parts.plan), distinct(like, 3))
            names = [path.name for path in (tmp_path / 'last').iterdir()]
        if names == ['3']:
            break
        time.sleep(0.2)  # Orbax waits for none of its threads but the first that fails, and another may still write
    assert names == ['3']  # what was half-written is gone


def save(checkpoints, state):
    checkpoints.save_last(state, RunProgress())
    checkpoints.wait()
