"""Placements: the same numbers on one device, on eight through jit, and on eight through pmap."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from jtransfer.config import Augment, Optim
from jtransfer.errors import UserError
from jtransfer.rules import flatten
from jtransfer.train.loop import fit
from jtransfer.train.placement import JitPlacement, PmapPlacement, make_placement
from tests.tiers import slow

STEPS = 10
AUGMENT = Augment(crop_scale=(0.3, 1.0), crop_ratio=(0.75, 1.33), horizontal_flip=0.5, brightness=0.3, saturation=0.3)
OPTIM = Optim(name='sgd', learning_rate=0.05, warmup=0.2, weight_decay=0.01, ema_decay=0.9, label_smoothing=0.1)
# float32, summed in another order on every layout, over ten steps of training.
LOSS_TOLERANCE = {'rtol': 2e-5}
STATE_TOLERANCE = {'rtol': 1e-4, 'atol': 2e-5}
BOTH = pytest.mark.parametrize('make', [JitPlacement, PmapPlacement])


@pytest.mark.parametrize(
    ('name', 'accumulate_steps', 'augment'),
    [
        ('resnet_tiny', 1, AUGMENT),
        *slow(
            ('resnet_tiny', 2, Augment()),
            ('vit_tiny_test', 1, Augment()),
            ('resnet_tiny', 2, AUGMENT),
            ('vit_tiny_test', 2, AUGMENT),
        ),
    ],
)
def test_one_device_and_eight_and_pmap_train_alike(toy, name, accumulate_steps, augment):
    optim = dataclasses.replace(OPTIM, accumulate_steps=accumulate_steps)
    parts, variables = toy.make(name, optim=optim, augment=augment, steps=STEPS)

    def train(placement):
        return fit(parts, variables, toy.feeder(placement, side=18 if augment.crops else 16), placement)

    one = train(JitPlacement(jax.devices()[:1]))
    losses = np.array([line['train/loss'] for line in one.history])
    assert losses.shape == (STEPS,)
    assert np.ptp(losses) > 0.1
    for placement in (JitPlacement(), PmapPlacement()):
        assert placement.device_count == 8
        eight = train(placement)
        for metric in ('train/loss', 'gradient_norm'):
            curves = [[line[metric] for line in result.history] for result in (one, eight)]
            np.testing.assert_allclose(*curves, **LOSS_TOLERANCE)
        accuracies = [[line['train/accuracy'] for line in result.history] for result in (one, eight)]
        np.testing.assert_allclose(*accuracies, atol=1e-6)
        assert (len(jax.tree.leaves(one.state.model_state)) > 0) == (name == 'resnet_tiny')
        chex.assert_trees_all_close(
            jax.tree.map(np.array, eight.state), jax.tree.map(np.array, one.state), **STATE_TOLERANCE
        )
    before = flatten(variables['params'])
    for path, after in flatten(one.state.trainable).items():
        # What was compared had moved by far more than the tolerance.
        assert not path.endswith('kernel') or np.abs(before[path] - after).max() > 20 * STATE_TOLERANCE['atol'], path


@BOTH
def test_a_batch_that_does_not_share_out_names_the_next_that_does(make):
    placement = make()
    placement.check_batch_size(24)
    placement.check_batch_size(32, accumulate_steps=4)
    with pytest.raises(UserError, match=r'data.batch_size=20 must be a multiple of 8 .*; 24 would do'):
        placement.check_batch_size(20)
    with pytest.raises(UserError, match=r'data.batch_size=40 must be a multiple of 32 .*; 64 would do'):
        placement.check_batch_size(40, accumulate_steps=4)


def test_a_fit_whose_batch_does_not_share_out_stops_before_it_starts(toy, tmp_path):
    parts, variables = toy.make(batch_size=12)
    placement = JitPlacement()
    with pytest.raises(UserError, match='16 would do'):
        fit(parts, variables, toy.feeder(placement, batch_size=12), placement, run_dir=tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


@BOTH
def test_every_device_holds_an_eighth_of_the_batch(toy, make):
    placement, batch = make(), toy.batch(batch=16)
    placed = placement.put_batch(batch)
    assert placed.keys() == batch.keys()
    for there, given in (
        (placed['inputs']['image'], batch['inputs']['image']),
        (placed['labels'][''], batch['labels']['']),
    ):
        shards = sorted(there.addressable_shards, key=lambda shard: shard.device.id)
        assert [shard.device for shard in shards] == jax.devices()
        shares = [np.asarray(shard.data).reshape(2, *given.shape[1:]) for shard in shards]
        np.testing.assert_array_equal(np.concatenate(shares), given)
    assert {np.asarray(shard.data).item() for shard in placed['seed'].addressable_shards} == {0}
    assert len(placed['seed'].addressable_shards) == 8


@BOTH
def test_gathering_chooses_the_pictures_on_the_devices(toy, make):
    placement, batch = make(), toy.batch(batch=16)
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    batch['index'] = np.random.default_rng(1).permutation(40)[:16]
    del batch['inputs']
    held = {'image': jax.device_put(images, placement.replicated)}
    gathered = placement.gather(held, batch)
    assert gathered.keys() == batch.keys() - {'index'} | {'inputs'}
    assert {shard.data.size for shard in gathered['inputs']['image'].addressable_shards} == {16 * 48 // 8}
    np.testing.assert_array_equal(np.reshape(gathered['inputs']['image'], (16, 4, 4, 3)), images[batch['index']])
    np.testing.assert_array_equal(np.ravel(gathered['labels']['']), batch['labels'][''])


@BOTH
def test_a_state_comes_back_from_the_devices_as_it_went(toy, make):
    placement = make()
    parts, variables = toy.make(optim=OPTIM)
    state = toy.start(parts, variables)
    placed = placement.put_state(state)
    assert all(len(leaf.devices()) == 8 for leaf in jax.tree.leaves(placed))
    chex.assert_trees_all_equal(jax.tree.map(np.array, placement.get_state(placed)), jax.tree.map(np.array, state))


def test_placements_have_names():
    assert type(make_placement('jit')) is JitPlacement
    pmap = make_placement('pmap', jax.devices()[:3])
    assert type(pmap) is PmapPlacement
    assert pmap.device_count == 3
