"""Costs read from a compiled step: against counts by hand, and steps that waste work on frozen parameters are found."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.config import Augment, Optim, Transfer
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.backbone import Backbone
from jtransfer.models.network import Network
from jtransfer.train.cost import abstract_batch, abstract_state, compile_step, step_cost, tree_bytes
from jtransfer.train.step import make_train_step
from jtransfer.transfer.plan import make_plan

FROM_STAGE2 = Transfer('fine_tune', freeze_until='stage2')
FROM_BLOCK1 = Transfer('fine_tune', freeze_until='block1')
SGD = Optim(name='sgd', momentum=0.0, weight_decay=0.0, clip_norm=0.0)


class Dense(Backbone):
    """Two dense layers on the pixels: wide, so that nothing else counts."""

    widths: tuple[int, int] = (192, 96)
    dtype: Any = jnp.float32

    @property
    def layers(self):
        """Both."""
        return {'stage1': (), 'stage2': ()}

    @nn.compact
    def __call__(self, inputs, mode=None, *, start=None, stop=None):
        inputs = self.first_input(inputs, start)
        first = nn.Dense(self.widths[0], name='stage1')(inputs.reshape(len(inputs), -1))
        second = nn.Dense(self.widths[1], name='stage2')(first)
        return {'stage1': first, 'stage2': second, 'pooled': second}


class Convolution(Backbone):
    """Two 3×3 convolutions without padding, and the mean of what they see."""

    widths: tuple[int, int] = (32, 48)
    dtype: Any = jnp.float32

    @property
    def layers(self):
        """Both."""
        return {'stage1': (), 'stage2': ()}

    @nn.compact
    def __call__(self, inputs, mode=None, *, start=None, stop=None):
        inputs = self.first_input(inputs, start)
        first = nn.Conv(self.widths[0], (3, 3), padding='VALID', use_bias=False, name='stage1')(inputs)
        second = nn.Conv(self.widths[1], (3, 3), padding='VALID', use_bias=False, name='stage2')(first)
        return {'stage1': first, 'stage2': second, 'pooled': second.mean((1, 2))}


def with_backbone(toy, backbone, transfer, optim):
    """The parts of a step of such a network, and shapes of its variables."""
    network = Network(backbone, {'': toy.classes})
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, toy.side, toy.side, 3)))
    parts, _ = toy.make(transfer=transfer, optim=optim)
    plan = make_plan(network, variables['params'], transfer)
    return dataclasses.replace(parts, network=network, plan=plan), variables


# Matrix products of the backward pass: of each trained layer for its kernel, and of each layer above the first trained
# one for its input.
@pytest.mark.parametrize(
    ('transfer', 'backward'),
    [
        (Transfer('fine_tune'), lambda first, second, head: first + 2 * second + 2 * head),
        (FROM_STAGE2, lambda first, second, head: second + 2 * head),
        (Transfer('linear_probe'), lambda first, second, head: head),
    ],
)
@pytest.mark.parametrize('accumulate_steps', [1, 4])
def test_operations_of_dense_layers_are_those_counted_by_hand(toy, transfer, backward, accumulate_steps):
    optim = dataclasses.replace(SGD, accumulate_steps=accumulate_steps)
    parts, variables = with_backbone(toy, Dense(), transfer, optim)
    cost = step_cost(parts, variables, 512)
    layers = 2 * 768 * 192, 2 * 192 * 96, 2 * 96 * toy.classes
    expected = sum(layers) + backward(*layers)
    assert cost.flops_per_image == pytest.approx(expected, rel=0.03)
    assert cost.flops == cost.flops_per_image * 512


def test_operations_of_convolutions_are_those_counted_by_hand(toy):
    parts, variables = with_backbone(toy, Convolution(), FROM_STAGE2, SGD)
    first, second = 2 * 14 * 14 * 27 * 32, 2 * 12 * 12 * 9 * 32 * 48
    cost = step_cost(parts, variables, 64)
    assert cost.flops_per_image == pytest.approx(first + 2 * second, rel=0.03)


@pytest.mark.parametrize('name', ['resnet_tiny', 'vit_tiny_test'])
def test_a_linear_probe_costs_a_forward_pass_and_less_memory_than_full_fine_tuning(toy, name):
    probe_parts, variables = toy.make(name, Transfer('linear_probe'))
    full_parts, _ = toy.make(name, Transfer('fine_tune'))
    probe, full = step_cost(probe_parts, variables, 32), step_cost(full_parts, variables, 32)
    forward = jax.jit(probe_parts.network.apply).lower(variables, jnp.zeros((32, toy.side, toy.side, 3)))
    assert probe.flops == pytest.approx(forward.compile().cost_analysis()['flops'], rel=0.05)
    assert probe.flops < full.flops / 2.2
    assert probe.temp_bytes < full.temp_bytes / 2
    assert probe.peak_bytes < full.peak_bytes
    assert full.peak_bytes > full.temp_bytes + full.argument_bytes / 2


@pytest.mark.parametrize(('name', 'strategy'), [('vit_tiny_test', 'fine_tune'), ('resnet_tiny', 'linear_probe')])
def test_accumulation_costs_the_same_operations_and_less_memory(toy, name, strategy):
    costs = []
    for accumulate_steps in (1, 4):
        parts, variables = toy.make(name, Transfer(strategy), Optim(accumulate_steps=accumulate_steps))
        costs.append(step_cost(parts, variables, 64))
    assert costs[1].flops_per_image == pytest.approx(costs[0].flops_per_image, rel=0.04)
    assert costs[1].temp_bytes < costs[0].temp_bytes / 2


def test_memory_rises_with_the_batch_and_the_optimiser_has_two_numbers_a_trained_one(toy):
    parts, variables = toy.make('resnet_tiny', FROM_STAGE2)
    small, large = step_cost(parts, variables, 8), step_cost(parts, variables, 32)
    assert large.temp_bytes > 2 * small.temp_bytes
    assert large.peak_bytes > small.peak_bytes + 24 * toy.side**2 * 3
    trained = parts.plan.trainable_elements
    # Beside the two averages only the counters of updates, one or two a group.
    assert 0 < small.optimizer_bytes - 2 * 4 * trained <= 2 * 4 * len(parts.plan.groups)
    assert large.optimizer_bytes == small.optimizer_bytes
    state = abstract_state(parts, variables)
    assert small.argument_bytes == pytest.approx(tree_bytes(state) + tree_bytes(abstract_batch(parts, 8)), rel=0.01)


def test_the_shapes_are_those_of_a_real_state_and_batch(toy):
    parts, variables = toy.make('resnet_tiny', optim=Optim(ema_decay=0.9))
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), parts.start(variables))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), abstract_state(parts, variables)) == shapes
    batch = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), toy.batch(batch=8))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), abstract_batch(parts, 8)) == batch


def test_random_crops_want_larger_pictures_and_grey_networks_take_colours(toy):
    parts, _ = toy.make(augment=Augment(crop_scale=(0.5, 1.0)))
    assert abstract_batch(parts, 4)['inputs']['image'].shape == (4, 18, 18, 3)
    grey = dataclasses.replace(parts, preprocessing=ImagePreprocessor(16, (0.5,), (0.5,), image_width=32))
    assert abstract_batch(grey, 4)['inputs']['image'].shape == (4, 37, 37, 3)


def test_devices_share_operations_and_memory(toy):
    parts, variables = toy.make('resnet_tiny', Transfer('linear_probe'))
    one, two = (step_cost(parts, variables, 32, devices=jax.devices()[:count]) for count in (1, 2))
    assert (one.devices, two.devices) == (1, 2)
    assert two.flops == pytest.approx(one.flops, rel=0.05)
    assert two.temp_bytes < 0.7 * one.temp_bytes


def test_a_batch_that_does_not_share_out_is_refused(toy):
    parts, variables = toy.make(optim=Optim(accumulate_steps=4))
    with pytest.raises(UserError, match='batch_size=10 must be a multiple of 4'):
        step_cost(parts, variables, 10)


def test_a_phase_costs_what_moves_in_it(toy):
    parts, variables = toy.make('vit_tiny_test', Transfer('lp_ft'))
    first = compile_step(parts, variables, 32)
    last = step_cost(dataclasses.replace(parts, starts=(0, 6)), variables, 32)
    assert first.cost.flops < last.flops / 2.2
    assert first.cost.optimizer_bytes < last.optimizer_bytes / 2


def test_the_compiled_step_is_the_one_that_trains(toy):
    parts, variables = toy.make('vit_tiny_test', Transfer('linear_probe'))
    state = parts.start(variables)
    jitted = jax.jit(make_train_step(parts, state.trainable), donate_argnums=0)
    compiled = jitted.lower(state, toy.batch(batch=16)).compile()
    assert step_cost(parts, variables, 16).flops == compiled.cost_analysis()['flops']
    assert np.isfinite(jitted(state, toy.batch(batch=16))[1]['loss'])
