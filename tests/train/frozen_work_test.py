"""Backward work for what is frozen is found where there is some, and nowhere else."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
import pytest

from jtransfer.config import Optim, Transfer
from jtransfer.inputs.image_pixels import normalise
from jtransfer.tasks.losses import cross_entropy
from jtransfer.train.cost import compile_step, step_cost
from jtransfer.train.frozen_work import frozen_backward
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.plan import combine

FROM_STAGE2 = Transfer('fine_tune', freeze_until='stage2')
FROM_BLOCK1 = Transfer('fine_tune', freeze_until='block1')


def careless(parts: StepParts, trainable):
    """A step that differentiates everything, and keeps the gradients of what is frozen alive by logging their norm."""
    optimizer = parts.optimizer(trainable)

    def step(state, batch):
        images = normalise(jnp.asarray(batch['inputs']['image']), parts.preprocessing)

        def loss(params):
            output, model_state = parts.network.apply(
                {'params': params, **state.model_state},
                images,
                frozen=parts.current.frozen_modules,
                mutable=list(state.model_state),
                rngs={'dropout': jax.random.key(0)},
                method='training_logits',
            )
            return cross_entropy(output.outputs[''], batch['labels']['']).mean(), model_state

        everything, model_state = jax.grad(loss, has_aux=True)(combine(state.trainable, state.frozen))
        grads, _ = parts.current.split(everything)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.trainable)
        moved = dataclasses.replace(
            state,
            step=state.step + 1,
            trainable=optax.apply_updates(state.trainable, updates),
            model_state=model_state,
            opt_state=opt_state,
        )
        return moved, {'gradient_norm': optax.tree.norm(everything)}

    return step


@pytest.mark.parametrize(
    ('name', 'transfer', 'modules', 'above'),
    [
        ('resnet_tiny', Transfer('linear_probe'), 'backbone/stage2/block0', ''),
        ('resnet_tiny', FROM_STAGE2, 'backbone/stage1/block0', 'backbone/stage2'),
        ('vit_tiny_test', Transfer('linear_probe'), 'backbone/block1/mlp', ''),
        ('vit_tiny_test', FROM_BLOCK1, 'backbone/block0/attn', 'backbone/block1'),
    ],
)
def test_backward_work_below_what_trains_is_found_and_named(toy, name, transfer, modules, above):
    parts, variables = toy.make(name, transfer)
    assert frozen_backward(compile_step(parts, variables, 32), variables) == []
    found = frozen_backward(compile_step(parts, variables, 32, make_step=careless), variables)
    assert any(line.startswith(modules) for line in found)
    assert not above or not any(line.startswith(above) for line in found)
    assert 'times the operations that the trainable part needs' in found[-1]


@pytest.mark.parametrize('name', ['resnet_tiny', 'vit_tiny_test'])
def test_gradients_of_frozen_kernels_between_trained_parameters_are_found(toy, name):
    parts, variables = toy.make(name, Transfer('bitfit'))
    assert frozen_backward(compile_step(parts, variables, 32), variables) == []
    [found] = frozen_backward(compile_step(parts, variables, 32, make_step=careless), variables)
    assert 'times the operations that the trainable part needs' in found


def test_what_the_configuration_asks_for_beside_is_no_waste(toy):
    transfer = Transfer('fine_tune', freeze_until='block1', distill=1.0, l2_sp=0.1, decay_to_source=0.1)
    optim = Optim(sam_rho=0.05, accumulate_steps=2, ema_decay=0.9, weight_decay=0.1)
    parts, variables = toy.make('vit_tiny_test', transfer, optim, dropout=0.1)
    step = compile_step(parts, variables, 32)
    assert frozen_backward(step, variables) == []
    plain, _ = toy.make('vit_tiny_test', FROM_BLOCK1)
    assert step.cost.flops > 1.8 * step_cost(plain, variables, 32).flops
