"""Whether a compiled step does backward work for what is frozen."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jtransfer.adapters import AnyNetwork
from jtransfer.augment.keys import example_keys
from jtransfer.augment.kinds import make_input_augment
from jtransfer.train.cost import CompiledStep, abstract_batch, abstract_state, flops_of, quickly
from jtransfer.train.state import TrainState
from jtransfer.train.step import Batch, TrainStep, stream_key
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.plan import combine
from jtransfer.transfer.pull import source_features

# What a step may cost over the gradient of the trainable leaves alone, before the difference is taken for backward
# work of frozen parts. Bookkeeping (norms, checks, averages) is in both.
TOLERANCE = 1.05

# More blocks than any stage has.
_MANY = 1_000_000
_INSTRUCTION = re.compile(r'([\w-]+)\([^\n]*metadata=\{[^\n]*op_name="([^"]*)"')


def frozen_backward(step: CompiledStep, variables: Mapping[str, Any]) -> list[str]:
    """What backward work the compiled step does for frozen parameters; empty where there is none.

    Two things are looked at. No module that lies before the first trainable parameter may have an instruction of the
    backward pass (XLA keeps the module's name with every instruction). And the whole may cost no more than `TOLERANCE`
    times a step written by hand, which knows of no plan: the gradient of a loss with respect to the trainable leaves
    and the update, with the frozen leaves as plain arguments. That finds gradients of frozen kernels between trainable
    ones.

    Args:
        step: of `compile_step`.
        variables: of the network, or their shapes.

    Returns:
        A line for each module with such instructions, and one for too many operations.
    """
    found = [f'{module}: {", ".join(sorted(kinds))}' for module, kinds in _backward_before(step).items()]
    ideal = _ideal_flops(step, variables)
    if step.counted > TOLERANCE * ideal:
        found.append(f'{step.counted / ideal:.2f} times the operations that the trainable part needs')
    return found


def _backward_before(step: CompiledStep) -> dict[str, set[str]]:
    """The kinds of backward instructions of the modules before the first trainable parameter, by module."""
    network, plan = step.parts.network, step.parts.current
    begin = min(_position(network, path, last=False) for group in plan.trainable_groups for path in group.paths)
    found: dict[str, set[str]] = {}
    for kind, names in _INSTRUCTION.findall(step.text):
        for name in names.split(';'):  # XLA joins the names of instructions that it merges
            module = _backward_module(name)
            if module and _position(network, module, last=True) < begin:
                found.setdefault(module, set()).add(kind)
    return dict(sorted(found.items()))


def _backward_module(name: str) -> str:
    """The module below `params` that an instruction of the backward pass belongs to; '' for any other instruction.

    JAX calls the backward pass `transpose(jvp(…))`; Flax names every module, and its methods with a dot.
    """
    _, backward, below = name.partition('transpose(jvp(')
    parts = [part for part in below.split('/')[1:-1] if '.' not in part]
    return '/'.join(parts[parts.index('backbone') :]) if backward and 'backbone' in parts else ''


def _position(network: AnyNetwork, path: str, *, last: bool) -> tuple[int, int]:
    """Where in the network a parameter or module stands: the number of its stage, and of the block in it.

    Of a module that spans several, the last or the first. What is not known to be further on is at the beginning.
    """
    top, *below = path.removeprefix('adapters/').split('/')
    stages = list(network.backbone.layers.items())
    if top in ('head', 'heads'):
        return len(stages), 0
    names = [name for name, _ in stages]
    if top != 'backbone' or not below or below[0] not in names:
        return (len(stages) - 1, _MANY) if last else (-1, 0)
    number = names.index(below[0])
    blocks = stages[number][1]
    if len(below) < 2 or below[1] not in blocks:
        return number, _MANY if last else 0
    return number, blocks.index(below[1])


def _ideal_flops(step: CompiledStep, variables: Mapping[str, Any]) -> float:
    """Operations of a step written by hand, for what one device does in one accumulation step."""
    parts, cost = step.parts, step.cost
    accumulate_steps = parts.config.optim.accumulate_steps
    images = cost.batch_size // (accumulate_steps * cost.devices)
    # One image alone may have no batch statistics, although it has some among those of other devices.
    batch = abstract_batch(parts, max(images, 2) if cost.devices > 1 else images)
    state = abstract_state(parts, variables)
    lowered = jax.jit(_ideal_step(parts, state.trainable), donate_argnums=0).lower(state, batch)
    # Sums of gradients and pulls towards the source: a few operations on every trained number.
    each = (4 if accumulate_steps > 1 else 0) + (12 if state.source is not None else 0)
    return flops_of(lowered.compile(quickly())) + each * parts.current.trainable_elements


def _ideal_step(parts: StepParts, trainable: Any) -> TrainStep:
    """A step that gives every trainable leaf its gradient and its update, and does the rest once."""
    network, preprocessing, config, plan = parts.network, parts.preprocessing, parts.config, parts.current
    augment = make_input_augment(config.augment, preprocessing, parts.tasks)
    optimizer = parts.optimizer(trainable)

    def loss(trainable: Any, state: TrainState, batch: Batch) -> tuple[Float[Array, ''], Any]:
        keys = example_keys(batch['seed'], batch['epoch'], batch['id'])
        held, _ = augment(keys, batch['inputs'], batch['labels'])
        inputs = preprocessing.device(held, network.dtype)
        output: Any
        output, model_state = network.apply(
            {'params': combine(trainable, state.frozen), **state.model_state},
            inputs,
            frozen=plan.frozen_modules,
            mutable=list(state.model_state),
            rngs={'dropout': stream_key(batch['seed'], 'dropout', state.step)},
            method='training_logits',
        )
        logits = jax.tree.leaves((output.outputs, [others for _, others in output.auxiliaries]))
        total = jnp.stack([-jax.nn.log_softmax(leaf).mean() for leaf in logits]).sum()
        of_source = functools.partial(source_features, network, state.source, state.frozen, inputs)
        for pull in parts.pulls:
            term = pull.loss(output.features, of_source)
            total = total if term is None else total + term
        return total, model_state

    differentiate = jax.grad(loss, has_aux=True)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        grads, model_state = differentiate(state.trainable, state, batch)
        if config.optim.sam_rho:
            uphill = optax.tree.add_scale(state.trainable, config.optim.sam_rho, grads)
            # Two loops do the frozen forward pass twice; without loops XLA would share it.
            again = batch if config.optim.accumulate_steps == 1 else jax.lax.optimization_barrier(batch)
            grads, _ = differentiate(uphill, state, again)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.trainable)
        trainable = optax.apply_updates(state.trainable, updates)
        ema = None if state.ema is None else jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, state.ema, trainable)
        fields = {'trainable': trainable, 'model_state': model_state, 'opt_state': opt_state, 'ema': ema}
        moved = dataclasses.replace(state, step=state.step + 1, **fields)
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(fields)]).all()
        kept = jax.tree.map(lambda new, old: new if new is old else jnp.where(finite, new, old), moved, state)
        return kept, {'gradient_norm': optax.tree.norm(grads)}

    return step
