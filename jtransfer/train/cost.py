"""What a training step costs, from compilation alone: operations, memory, and whether frozen parts have backward work.

Nothing runs, and no array is made: the very step that training runs is compiled for shapes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jtransfer.inputs.prepare import batched
from jtransfer.train.placement import JitPlacement
from jtransfer.train.state import TrainState
from jtransfer.train.step import TrainStep, make_train_step
from jtransfer.train.step_parts import StepParts


@dataclasses.dataclass(frozen=True)
class StepCost:
    """What one optimiser update costs.

    Attributes:
        batch_size: images in it, over all devices.
        devices: that share them.
        flops: operations over all devices and accumulation steps, as XLA counts them in the compiled program (a
            multiplication and an addition are two). With accumulation, whose loop XLA counts once, to some 4 %.
        peak_bytes: memory that the step needs on each device: arguments, results and temporaries, less what results
            take over from arguments (the state is donated). Pictures that are kept on the device come on top.
        temp_bytes: the temporaries in it, mostly activations.
        argument_bytes: state and batch.
        optimizer_bytes: the optimiser's state.
    """

    batch_size: int
    devices: int
    flops: float
    peak_bytes: int
    temp_bytes: int
    argument_bytes: int
    optimizer_bytes: int

    @property
    def flops_per_image(self) -> float:
        """Operations an image, the optimiser's share included."""
        return self.flops / self.batch_size


@dataclasses.dataclass(frozen=True)
class CompiledStep:
    """A training step, compiled for shapes.

    Attributes:
        parts: what it was made of.
        cost: what it costs.
        counted: operations on one device, those of one accumulation step.
        text: the optimised program, as XLA writes it.
    """

    parts: StepParts
    cost: StepCost
    counted: float
    text: str


def compile_step(
    parts: StepParts,
    variables: Mapping[str, Any],
    batch_size: int,
    *,
    devices: Sequence[jax.Device] | None = None,
    make_step: Callable[[StepParts, Any], TrainStep] = make_train_step,
) -> CompiledStep:
    """Compiles the training step of a batch size and reads its costs.

    Args:
        parts: network, plan and settings.
        variables: of the network, or their shapes.
        batch_size: images an update, over all devices and accumulation steps.
        devices: that share a batch. None: the first one alone.
        make_step: makes the step, for comparisons.

    Raises:
        UserError: the batch does not share out over devices and accumulation steps.
    """
    placement = JitPlacement(list(devices or jax.local_devices()[:1]))
    count = placement.device_count
    accumulate_steps = parts.config.optim.accumulate_steps
    placement.check_batch_size(batch_size, accumulate_steps)
    state = abstract_state(parts, variables)
    lowered = _lower(make_step(parts, state.trainable), state, abstract_batch(parts, batch_size), placement)
    compiled = lowered.compile(quickly())
    counted = flops_of(compiled)
    flops = counted * count
    if accumulate_steps > 1:
        # The same step without a loop says, before it is compiled, what the count leaves out.
        config = parts.config
        optim = dataclasses.replace(config.optim, accumulate_steps=1)
        single = dataclasses.replace(parts, config=dataclasses.replace(config, optim=optim))
        whole = _lower(make_step(single, state.trainable), state, abstract_batch(parts, batch_size), placement)
        flops *= flops_of(whole) / flops_of(lowered)
    memory: Any = compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    cost = StepCost(
        batch_size=batch_size,
        devices=count,
        flops=flops,
        # Not `peak_memory_in_bytes`, which leaves out the temporaries on a CPU.
        peak_bytes=held + memory.temp_size_in_bytes,
        temp_bytes=memory.temp_size_in_bytes,
        argument_bytes=memory.argument_size_in_bytes,
        optimizer_bytes=tree_bytes(state.opt_state),
    )
    return CompiledStep(parts, cost, counted, compiled.as_text() or '')


def step_cost(
    parts: StepParts,
    variables: Mapping[str, Any],
    batch_size: int,
    *,
    devices: Sequence[jax.Device] | None = None,
) -> StepCost:
    """The costs alone; see `compile_step`."""
    return compile_step(parts, variables, batch_size, devices=devices).cost


def abstract_state(parts: StepParts, variables: Mapping[str, Any]) -> TrainState:
    """The shapes of the state with which a phase of training begins."""
    state: TrainState = jax.eval_shape(parts.start, dict(variables))
    return state


def abstract_batch(parts: StepParts, batch_size: int) -> dict[str, Any]:
    """The shapes of a batch, see `make_train_step`; labels are in the forms of their tasks."""

    def shape(*sides: int, dtype: Any = jnp.int32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(sides, dtype)

    # Of the network's own size: where others are trained on, each is a program of its own.
    own_size = dataclasses.replace(parts.config.augment, sizes=())
    labels = {task.name: shape(batch_size, *task.rows, dtype=task.dtype) for task, _ in parts.criterion.terms}
    return {
        'inputs': batched(parts.preprocessing.held_spec(own_size), batch_size),
        'labels': labels,
        'id': shape(batch_size),
        'epoch': shape(batch_size),
        'seed': shape(dtype=jnp.uint32),
        'step': shape(),
    }


def tree_bytes(tree: Any) -> int:
    """Bytes of all leaves of a tree of arrays or shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _lower(step: TrainStep, state: TrainState, batch: Mapping[str, Any], placement: JitPlacement) -> jax.stages.Lowered:
    """The step as `JitPlacement.compile` would have it, for shapes."""

    def place(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placement.replicated)

    def share(leaf: Any) -> jax.ShapeDtypeStruct:
        sharding = placement.sharded if leaf.ndim else placement.replicated
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    jitted = jax.jit(step, donate_argnums=0, out_shardings=placement.replicated)
    return jitted.lower(jax.tree.map(place, state), jax.tree.map(share, dict(batch)))


def flops_of(stage: jax.stages.Lowered | jax.stages.Compiled) -> float:
    """Operations as XLA counts them, on one device."""
    return float((stage.cost_analysis() or {})['flops'])


def quickly() -> dict[str, Any] | None:
    """Compiler options for a program that is not run."""
    # On a CPU the machine code takes most of the time, and the program is the same without.
    return {'xla_backend_optimization_level': 0} if jax.default_backend() == 'cpu' else None
