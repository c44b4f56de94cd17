"""Folds over devices: where they lie, what they share, and that no fold hears of another."""

import dataclasses
import re

import chex
import jax
import numpy as np
import pytest

from jtransfer.config import Augment, Optim, Transfer
from jtransfer.errors import UserError
from jtransfer.train.lane_placement import LanePlacement
from jtransfer.train.placement import JitPlacement

OPTIM = Optim(learning_rate=0.02, ema_decay=0.9)
FROZEN = Transfer('fine_tune', rules=(('backbone/stage1/.*', 'freeze'),), l2_sp=0.01)


def host(tree):
    return jax.tree.map(np.array, tree)


def batches(toy, folds, step=0, batch=16):
    """The batch of a step of every fold, each of other examples."""
    each = [toy.batch(step + 100 * number, batch=batch) for number in range(folds)]
    scalars = {'seed': np.uint32(0), 'step': np.int32(step)}
    return jax.tree.map(lambda *leaves: np.stack(leaves), *each) | scalars


@pytest.mark.parametrize(
    ('folds', 'batch_size', 'accumulate_steps', 'devices', 'mesh'),
    [
        (4, 32, 1, 8, (4, 2)),
        (8, 32, 1, 8, (8, 1)),
        (10, 32, 1, 8, (5, 1)),
        (3, 32, 1, 8, (3, 2)),
        (5, 32, 1, 8, (5, 1)),
        (5, 32, 1, 4, (1, 4)),
        (7, 32, 1, 1, (1, 1)),
        (1, 32, 1, 8, (1, 8)),
        # What is left over does not share out the batch.
        (2, 32, 1, 7, (2, 2)),
        (2, 15, 1, 8, (2, 3)),
        (2, 32, 16, 8, (2, 2)),
        (2, 7, 1, 8, (2, 1)),
    ],
)
def test_every_row_has_equally_many_folds(folds, batch_size, accumulate_steps, devices, mesh):
    placement = LanePlacement(folds, batch_size, accumulate_steps, jax.devices()[:devices])
    assert placement.mesh.devices.shape == (placement.rows, placement.device_count) == mesh
    assert folds % placement.rows == 0
    placement.check_batch_size(batch_size, accumulate_steps)


def test_a_batch_that_does_not_share_out_over_accumulation_steps():
    with pytest.raises(UserError, match=r'data.batch_size=20 must be a multiple of 8 .*; 24 would do'):
        LanePlacement(2, 20, 8)


def test_every_fold_starts_from_the_same_weights(toy):
    parts, variables = toy.make('dense_norm', FROZEN, OPTIM)
    start = parts.start(variables)
    placement = LanePlacement(4, 16)
    states = placement.get_states(placement.put_state(start))
    assert len(states) == 4
    for state in states:
        chex.assert_trees_all_equal(host(state), host(start))
    chex.assert_trees_all_equal(host(placement.get_state(placement.put_state(start))), host(start))


def test_states_of_folds_come_back_as_they_went(toy):
    parts, variables = toy.make('dense_norm', FROZEN, OPTIM)
    start = parts.start(variables)
    states = [start.replace(**host(jax.tree.map(lambda x, n=n: x + n, moving(start)))) for n in range(6)]
    placement = LanePlacement(6, 16, devices=jax.devices()[:3])
    for state, expected in zip(placement.get_states(placement.put_states(states)), states, strict=True):
        chex.assert_trees_all_equal(host(state), host(expected))


def moving(state):
    names = ('step', 'trainable', 'model_state', 'opt_state', 'ema')
    return {name: getattr(state, name) for name in names}


def test_frozen_parameters_and_the_source_are_kept_once_a_device(toy):
    parts, variables = toy.make('dense_norm', FROZEN, OPTIM)
    start = parts.start(variables)
    placement = LanePlacement(8, 16, devices=jax.devices()[:4])  # two folds a row
    state = placement.put_state(start)
    step = placement.compile(parts, start.trainable)
    for _ in range(2):  # before a step and after
        for kept, one in ((state.frozen, start.frozen), (state.source, start.source)):
            assert jax.tree.leaves(one)
            chex.assert_trees_all_equal_shapes(kept, one)
            assert bytes_on(kept, jax.devices()[3]) == sum(leaf.nbytes for leaf in jax.tree.leaves(one))
        own = moving(start)
        chex.assert_tree_shape_prefix(moving(state), (8,))
        assert bytes_on(moving(state), jax.devices()[3]) == 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(own))
        frozen = state.frozen
        state, _ = step(state, placement.put_batch(batches(toy, 8)))
        assert jax.tree.leaves(state.frozen)[0] is jax.tree.leaves(frozen)[0]


def bytes_on(tree, device):
    shards = [shard for leaf in jax.tree.leaves(tree) for shard in leaf.addressable_shards if shard.device == device]
    return sum(shard.data.nbytes for shard in shards)


def test_batches_lie_in_the_row_of_their_fold(toy):
    placement, batch = LanePlacement(4, 16), batches(toy, 4)
    placed = placement.put_batch(batch)
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    index = np.random.default_rng(1).integers(0, 40, (4, 16))
    gathered = placement.gather({'image': placement.put_everywhere(images)}, {**batch, 'index': index})
    np.testing.assert_array_equal(gathered['inputs']['image'], images[index])
    assert gathered.keys() == batch.keys()
    for leaf, expected in (
        (placed['inputs']['image'], batch['inputs']['image']),
        (gathered['inputs']['image'], images[index]),
    ):
        for row in range(4):
            for column in range(2):
                device = placement.mesh.devices[row, column]
                (shard,) = [shard for shard in leaf.addressable_shards if shard.device == device]
                np.testing.assert_array_equal(shard.data, expected[row : row + 1, column * 8 : column * 8 + 8])
    assert len(placed['step'].addressable_shards) == 8


def program(toy, placement, augment=None):
    parts, variables = toy.make('dense_norm', FROZEN, OPTIM, augment=augment)
    state = placement.put_state(parts.start(variables))
    step = placement.compile(parts, state.trainable)
    return jax.jit(step).lower(state, placement.put_batch(batches(toy, placement.lanes))).compile().as_text()


COLLECTIVE = re.compile(r'= .*(all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\(')


@pytest.mark.parametrize('mix', [False, True])
def test_no_fold_hears_of_another(toy, mix):
    augment = Augment(operations=('mixup_or_cutmix(mode=element)',)) if mix else None
    alone = program(toy, LanePlacement(8, 16), augment)
    assert not COLLECTIVE.search(alone)
    rows = program(toy, LanePlacement(4, 16), augment)
    found = [line for line in rows.splitlines() if COLLECTIVE.search(line)]
    assert found
    for line in found:
        assert re.search(r'replica_groups=(\{\{0,1\},\{2,3\},\{4,5\},\{6,7\}\}|\[4,2\]<=\[8\])', line), line


def test_a_fold_at_another_step_than_the_batch_stays_as_it_is(toy):
    parts, variables = toy.make('dense_norm', FROZEN, OPTIM)
    placement = LanePlacement(2, 16, devices=jax.devices()[:2])
    start = host(parts.start(variables))
    step = placement.compile(parts, start.trainable)
    state = placement.put_states([start, start.replace(step=np.int32(5))])
    state, metrics = step(state, placement.put_batch(batches(toy, 2)))
    one, other = placement.get_states(state)
    assert metrics['finite'].tolist() == [True, False]
    assert (one.step, other.step) == (1, 5)
    chex.assert_trees_all_equal(other.trainable, start.trainable)
    assert np.abs(one.trainable['head']['kernel'] - start.trainable['head']['kernel']).max() > 1e-3


def test_dropout_and_mixing_are_those_of_jit_in_rows_of_one_device(toy):
    augment = Augment(operations=('mixup_or_cutmix(mode=element)',), horizontal_flip=0.5)
    # A bias before BatchNorm has no gradient but rounding, which AdamW would make as large as any other.
    optim = dataclasses.replace(OPTIM, name='sgd')
    parts, variables = toy.make('dense_norm', FROZEN, optim, augment=augment, dropout=0.5)
    placement, alone = LanePlacement(2, 16, devices=jax.devices()[:2]), JitPlacement(jax.devices()[:1])
    start = parts.start(variables)
    step, step_alone = placement.compile(parts, start.trainable), alone.compile(parts, start.trainable)
    state, each = placement.put_state(start), [host(start)] * 2
    for number in range(3):
        batch = batches(toy, 2, number)
        state, _ = step(state, placement.put_batch(batch))
        for fold in range(2):
            own = jax.tree.map(lambda leaf, fold=fold: leaf[fold] if np.ndim(leaf) else leaf, batch)
            each[fold], _ = step_alone(alone.put_state(each[fold]), alone.put_batch(own))
    for one, other in zip(placement.get_states(state), each, strict=True):
        chex.assert_trees_all_close(host(one), host(other), rtol=1e-4, atol=2e-5)
