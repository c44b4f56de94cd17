"""Digests: a checkpoint is read as it was saved, or said to be damaged."""

import contextlib
import json
import shutil

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.config import Optim
from jtransfer.train.saving.checkpoints import Checkpoints, read_variables
from jtransfer.train.saving.digests import DamagedCheckpointError, check_progress, check_state, digests_of
from jtransfer.train.saving.run_progress import RunProgress
from tests.flips import flip
from tests.train.saving.checkpoints_test import distinct

FLIPS = 20


@pytest.fixture(scope='module')
def saved(toy, tmp_path_factory):
    """A state, and the directory of its checkpoints."""
    folder = tmp_path_factory.mktemp('saved')
    parts, variables = toy.make(optim=Optim(ema_decay=0.9))
    like = toy.start(parts, variables)
    state, progress = distinct(like, 7), RunProgress(0.1 + 0.2, 4, best_loss=0.7)
    checkpoints = Checkpoints(folder)
    checkpoints.save_last(state, progress)
    checkpoints.close()
    return folder, state, progress, like, parts


def test_a_digest_is_of_type_shape_and_values():
    of = lambda array: digests_of({'a': {'b': array}})  # noqa: E731
    array = np.arange(6, dtype=np.float32)
    assert of(array).keys() == {'a/b'}
    assert of(array) == of(jnp.arange(6.0)) == of(array[::-1][::-1])
    others = (array.reshape(2, 3), array.view(np.int32), array + np.float32(1e-6), np.float32(0), array[:0])
    assert len({of(each)['a/b'] for each in (array, *others)}) == 6
    assert of(jnp.ones(3, jnp.bfloat16)) != of(np.ones(3, np.float16))


def test_a_complete_checkpoint_has_its_digests(saved):
    folder, *_ = saved
    record = json.loads((folder / 'last' / '7' / 'state_digests' / 'digests.json').read_text())
    assert {'progress', 'step', 'params/head/bias'} <= set(record)
    assert all(len(digest) == 64 for digest in record.values())


def test_a_flipped_bit_is_never_another_state_in_silence(saved, tmp_path):
    folder, state, progress, like, parts = saved
    copy = tmp_path / 'copy'
    shutil.copytree(folder, copy)
    files = sorted(path for path in copy.rglob('*') if path.is_file() and path.stat().st_size)
    # Every other flip is among the values: most of the other files are Orbax's own, and say nothing of the state.
    values = max(files, key=lambda path: path.stat().st_size)
    noticed = []
    for seed in range(FLIPS):
        path = values if seed % 2 else files[seed // 2 % len(files)]
        before = flip(path, seed=seed)
        checkpoints = Checkpoints(copy)
        try:
            assert checkpoints.last_step == 7
            chex.assert_trees_all_equal(checkpoints.restore_last(like, parts.plan), state)
            assert checkpoints.last_progress() == progress
        except DamagedCheckpointError as error:
            noticed.append(str(error))
        finally:
            checkpoints.close()
            path.write_bytes(before)
    assert all(line.startswith(f'the checkpoint {copy}/last/7 is damaged: ') for line in noticed)
    assert not any('\n' in line for line in noticed)
    assert len(noticed) > FLIPS / 3


@pytest.mark.parametrize('damage', ['', '{', '[]', '{"step": 3}', '{"step": "0"}'])
def test_digests_that_cannot_be_read_are_damage(saved, tmp_path, damage):
    folder, *_ = saved
    shutil.copytree(folder, tmp_path / 'copy')
    (tmp_path / 'copy' / 'last' / '7' / 'state_digests' / 'digests.json').write_text(damage)
    with pytest.raises(DamagedCheckpointError, match='last/7 is damaged: '):
        read_variables(tmp_path / 'copy')
    with pytest.raises(DamagedCheckpointError, match='last/7 is damaged: '):
        check_progress(tmp_path / 'copy' / 'last' / '7', {})


def test_a_checkpoint_of_an_earlier_version_is_read(saved, tmp_path):
    folder, state, progress, like, parts = saved
    shutil.copytree(folder, tmp_path / 'copy')
    shutil.rmtree(tmp_path / 'copy' / 'last' / '7' / 'state_digests')
    remembered = tmp_path / 'copy' / 'last' / '7' / 'progress' / 'metadata'
    fields = json.loads(remembered.read_text())
    assert fields.pop('digested') is True
    remembered.write_text(json.dumps(fields))
    check_state(tmp_path / 'copy' / 'last' / '7', {'anything': np.zeros(3)})
    checkpoints = Checkpoints(tmp_path / 'copy')
    chex.assert_trees_all_equal(checkpoints.restore_last(like, parts.plan), state)
    assert checkpoints.last_progress() == progress
    checkpoints.close()


def test_digests_that_are_lost_are_damage(saved, tmp_path):
    folder, _, _, like, parts = saved
    shutil.copytree(folder, tmp_path / 'copy')
    shutil.rmtree(tmp_path / 'copy' / 'last' / '7' / 'state_digests')
    with contextlib.closing(Checkpoints(tmp_path / 'copy')) as checkpoints:
        for read in (checkpoints.last_progress, lambda: checkpoints.restore_last(like, parts.plan)):
            with pytest.raises(DamagedCheckpointError, match='last/7 is damaged: its digests are lost'):
                read()


def test_a_state_that_is_hashed_is_let_go(saved, tmp_path):
    _, state, progress, *_ = saved
    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        checkpoints.save_last(state, progress)
        held = checkpoints._digests
        checkpoints.wait()
        assert held.ended.is_set()
        assert not held.tree
