"""What is frozen costs nothing, with everything on: as little as a training program written by hand for the rest.

Everything is: accumulation, clipping and the logged gradient norm, decay, the average, bfloat16, several steps in one
`lax.scan`, and eight devices. XLA counts the body of a loop once, in both programs alike.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jtransfer.config import Optim, Transfer
from jtransfer.config.transfer import STRATEGIES
from jtransfer.inputs.image_pixels import normalise
from jtransfer.train.placement import DATA, JitPlacement, PmapPlacement
from jtransfer.train.step import make_train_step
from jtransfer.transfer.plan import combine
from tests.tiers import slow

EVERYTHING_ON = Optim(weight_decay=0.1, ema_decay=0.9, accumulate_steps=2, clip_norm=1.0)
# Images enough that what is done once for every parameter is little beside them, also in the smallest network.
DEVICES, STEPS, MICRO_BATCH = 8, 3, 32
# Trees of the trainable parameters' size that the step may hold beyond the other program's: it decides at the end
# whether the old or the new parameters, moments and averages are kept.
EXTRA_TREES = 6


def shapes(tree, *leading, sharding=None):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((*leading, *np.shape(x)), x.dtype, sharding=sharding), tree)


def by_hand(parts, variables):
    """The program for one of the devices: gradients of the trainable leaves alone, the frozen ones plain arguments."""
    plan = parts.current
    trainable, frozen = plan.split(variables['params'])
    statistics = {name: tree for name, tree in variables.items() if name != 'params'}
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, weight_decay=0.1))

    def program(carry, frozen, images, labels):
        def loss(trainable, statistics, images, labels):
            logits, updated = parts.network.apply(
                {'params': combine(trainable, frozen), **statistics},
                normalise(images, parts.preprocessing, parts.network.dtype),
                train=True,
                frozen=plan.frozen_modules,
                mutable=list(statistics),
            )
            return optax.softmax_cross_entropy_with_integer_labels(logits[''], labels).mean(), updated

        def step(carry, batch):
            trainable, statistics, opt_state, average = carry

            def micro(carry, batch):
                sums, statistics = carry
                grads, statistics = jax.grad(loss, has_aux=True)(trainable, statistics, *batch)
                return (jax.tree.map(jnp.add, sums, grads), statistics), None

            images, labels = (x.reshape(-1, 2, *x.shape[1:]).swapaxes(0, 1) for x in batch)
            zeros = jax.tree.map(jnp.zeros_like, trainable)
            (sums, statistics), _ = jax.lax.scan(micro, (zeros, statistics), (images, labels))
            updates, opt_state = optimizer.update(jax.tree.map(lambda x: x / 2, sums), opt_state, trainable)
            trainable = optax.apply_updates(trainable, updates)
            average = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, average, trainable)
            return (trainable, statistics, opt_state, average), None

        return jax.lax.scan(step, carry, (images, labels))[0]

    carry = (trainable, statistics, jax.eval_shape(optimizer.init, trainable), trainable)
    images = jax.ShapeDtypeStruct((STEPS, 2 * MICRO_BATCH, 16, 16, 3), jnp.uint8)
    labels = jax.ShapeDtypeStruct((STEPS, 2 * MICRO_BATCH), jnp.int32)
    return jax.jit(program, donate_argnums=0).lower(shapes(carry), shapes(frozen), images, labels).compile()


def ours(toy, parts, variables, kind):
    """Our steps, compiled for eight devices."""
    state = jax.eval_shape(parts.start, variables)
    batch = jax.tree.map(np.asarray, toy.batch(batch=DEVICES * 2 * MICRO_BATCH))
    if kind == 'jit':
        placement = JitPlacement()
        step = make_train_step(parts, state.trainable)
        sharded = NamedSharding(placement.sharded.mesh, PartitionSpec(None, DATA))
        batches = jax.tree.map(
            lambda leaf: shapes(leaf, STEPS, sharding=sharded if leaf.ndim else placement.replicated), batch
        )
        state = shapes(state, sharding=placement.replicated)
        compiler = jax.jit(
            lambda state, batches: jax.lax.scan(step, state, batches),
            donate_argnums=0,
            out_shardings=placement.replicated,
        )
    else:
        placement = PmapPlacement()
        step = make_train_step(parts, state.trainable, axis_name=DATA)
        batches = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                (DEVICES, STEPS, *((2 * MICRO_BATCH, *leaf.shape[1:]) if leaf.ndim else ())), leaf.dtype
            ),
            batch,
        )
        state = shapes(state, DEVICES)
        compiler = jax.pmap(lambda state, batches: jax.lax.scan(step, state, batches), DATA, donate_argnums=0)
    assert placement.device_count == DEVICES
    return compiler.lower(state, batches).compile()


def flops(compiled):
    return compiled.cost_analysis()['flops']


def temporaries(compiled):
    return compiled.memory_analysis().temp_size_in_bytes


CASES = {
    'linear_probe': ('resnet_tiny', Transfer('linear_probe'), ('jit',)),
    'freeze_until': ('resnet_tiny', Transfer('fine_tune', freeze_until='stage2'), ('jit', 'pmap')),
    'norm_only': ('resnet_tiny', Transfer('norm_only'), ('jit',)),
    'bitfit': ('vit_tiny_test', Transfer('bitfit'), ('jit',)),
    'lora': ('vit_tiny_test', Transfer('lora'), ('jit', 'pmap')),
}


@pytest.mark.parametrize('case', ['linear_probe', 'freeze_until', 'lora', *slow('norm_only', 'bitfit')])
def test_operations_and_temporaries_are_within_5_percent_of_the_ideal(toy, case):
    name, transfer, kinds = CASES[case]
    parts, variables = toy.make(name, transfer, EVERYTHING_ON, dtype=jnp.bfloat16)
    check_cost(toy, parts, variables, kinds)


LATER = {'resnet_tiny': 'stage2', 'bit_tiny': 'stage2', 'vit_tiny_test': 'block1'}


@pytest.mark.slow
@pytest.mark.parametrize('name', LATER)
@pytest.mark.parametrize('strategy', [*STRATEGIES, 'freeze_until'])
def test_so_they_are_for_every_strategy_network_and_phase(toy, name, strategy):
    if strategy == 'prompt' and name != 'vit_tiny_test':
        pytest.skip('prompts are for Vision Transformers')
    transfer = {
        'surgical': Transfer('surgical', blocks=(LATER[name],)),
        'gradual': Transfer('gradual', unfreeze_every=2),
        'freeze_until': Transfer('fine_tune', freeze_until=LATER[name]),
    }.get(strategy) or Transfer(strategy)
    parts, variables = toy.make(name, transfer, EVERYTHING_ON, dtype=jnp.bfloat16)
    for phase in range(parts.plan.phases):
        check_cost(toy, dataclasses.replace(parts, starts=tuple(range(phase + 1))), variables, ('jit', 'pmap'))


def check_cost(toy, parts, variables, kinds):
    """Operations and temporaries of our step against those of the program written by hand."""
    ideal = by_hand(parts, variables)
    trainable, _ = parts.current.split(variables['params'])
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(trainable))
    for kind in kinds:
        compiled = ours(toy, parts, variables, kind)
        assert 0.95 * flops(ideal) < flops(compiled) < 1.05 * flops(ideal), kind
        allowed = 1.05 * temporaries(ideal) + EXTRA_TREES * size
        assert temporaries(compiled) < allowed, kind


def test_the_bound_means_something(toy):
    """Gradients of everything would not pass: what is frozen is most of the work."""
    probe, variables = toy.make('resnet_tiny', Transfer('linear_probe'), EVERYTHING_ON, dtype=jnp.bfloat16)
    full, _ = toy.make('resnet_tiny', Transfer('fine_tune'), EVERYTHING_ON, dtype=jnp.bfloat16)
    ideal, whole = by_hand(probe, variables), by_hand(full, variables)
    assert flops(whole) > 2 * flops(ideal)
    assert temporaries(whole) > 2 * temporaries(ideal)
