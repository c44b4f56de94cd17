"""Where a step runs: `jit` over a mesh of all devices, or `pmap` over replicas. The numbers are the same.

With several processes (hosts of a pod), the mesh is over the devices of all of them, and every process brings the
rows of a batch that belong to its own devices.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from jtransfer.data.feed.order import process_rows
from jtransfer.errors import UserError
from jtransfer.train.state import TrainState
from jtransfer.train.step import TrainStep, make_train_step
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.settings import Settings

DATA = 'data'


class Placement(abc.ABC):
    """Puts states and batches on devices and compiles steps for them.

    Attributes:
        lanes: how many trainings run at once.
        side_by_side: whether a state on the devices is that of several lanes, which share what does not move. The
            states of each are then copies on the host.
    """

    side_by_side: ClassVar[bool] = False
    lanes: int = 1

    def __init__(self, devices: list[jax.Device] | None = None) -> None:
        """Args: devices: the devices to use; all by default, those of other processes too."""
        # Those of a process side by side: its rows of a batch are then one piece.
        self.devices = list(devices or sorted(jax.devices(), key=lambda device: (device.process_index, device.id)))
        mesh = Mesh(np.array(self.devices), (DATA,))
        self.sharded = NamedSharding(mesh, PartitionSpec(DATA))
        self.replicated = NamedSharding(mesh, PartitionSpec())

    @property
    def device_count(self) -> int:
        """How many devices share a batch."""
        return len(self.devices)

    @property
    def processes(self) -> int:
        """How many processes the devices belong to."""
        return len({device.process_index for device in self.devices})

    @property
    def process(self) -> int:
        """Which of these processes this is, from 0."""
        return sorted({device.process_index for device in self.devices}).index(jax.process_index())

    @property
    def program_key(self) -> Hashable:
        """Equal where a step is compiled to the same program for the same devices."""
        return type(self), tuple(self.devices)

    def put_everywhere(self, value: Any) -> Array:
        """An array, the same in every process, as a copy on every device."""
        return self._put(value, self.replicated)

    def _put(self, tree: Any, shardings: Any) -> Any:
        """The tree on the devices; leaves that are sharded have the rows of this process."""
        if self.processes == 1:
            return jax.device_put(tree, shardings)
        local = jax.tree.map(np.asarray, tree)
        whole = jax.tree.map(lambda leaf: shardings, local) if isinstance(shardings, NamedSharding) else shardings
        return jax.tree.map(jax.make_array_from_process_local_data, whole, local)

    def check_batch_size(self, batch_size: int, accumulate_steps: int = 1) -> None:
        """Raises `UserError` unless every device gets the same number of examples in every micro-batch."""
        pieces = self.device_count * accumulate_steps
        if batch_size % pieces:
            raise UserError(
                f'data.batch_size={batch_size} must be a multiple of {pieces} ({self.device_count} devices × '
                f'{accumulate_steps} accumulation steps); {-(-batch_size // pieces) * pieces} would do'
            )

    @abc.abstractmethod
    def put_state(self, state: TrainState) -> TrainState:
        """The state, on the devices."""

    @abc.abstractmethod
    def get_state(self, state: TrainState) -> TrainState:
        """The state as a single copy."""

    def put_states(self, states: Sequence[TrainState]) -> TrainState:
        """The states of all lanes, in order, on the devices; `frozen` and `source` are those of the first."""
        (state,) = states
        return self.put_state(state)

    def get_states(self, state: TrainState) -> tuple[TrainState, ...]:
        """The state of each lane, in order; valid until the next step takes it over, unless lanes are side by side."""
        return (self.get_state(state),)

    def put_settings(self, settings: Sequence[Settings]) -> Any:
        """The numbers of each lane, in order, as `settings` of a batch on the devices."""
        (own,) = settings
        return self._put(jax.tree.map(np.float32, own), self.replicated)

    def copied(self, state: TrainState) -> TrainState:
        """A state of `get_states`, as it can be kept while training goes on."""
        return jax.tree.map(np.array, state)

    def evaluated(self, state: TrainState) -> Any:
        """The variables of a state of `get_states`, as they are to be evaluated."""
        return state.variables()

    @abc.abstractmethod
    def put_batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """A batch, its examples shared out over the devices; where there are several processes, of this one's rows."""

    @abc.abstractmethod
    def gather(self, held: Mapping[str, Array], batch: Mapping[str, Any]) -> dict[str, Any]:
        """A batch of the examples that are held on the devices, by its `index`; the whole of it, in any process."""

    @abc.abstractmethod
    def compile(self, parts: StepParts, trainable: Any) -> TrainStep:
        """The training step, compiled on its first call; it takes over the state it is given (donation)."""


class JitPlacement(Placement):
    """`jit` over a one-axis mesh: the state is replicated, the batch sharded; the compiler adds the communication."""

    def __init__(self, devices: list[jax.Device] | None = None) -> None:
        """Args: devices: the devices to use; all by default, those of other processes too."""
        super().__init__(devices)
        self._take = gatherer(self.sharded)

    def put_state(self, state: TrainState) -> TrainState:
        """The state, on every device."""
        return jax.device_put(state, self.replicated)

    def get_state(self, state: TrainState) -> TrainState:
        """The state, unchanged: it is one global array a leaf already."""
        return state

    def put_batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Leaves with a leading batch dimension sharded over it, scalars on every device."""
        batch = dict(batch)
        shardings = jax.tree.map(lambda leaf: self.sharded if np.ndim(leaf) else self.replicated, batch)
        placed: dict[str, Any] = self._put(batch, shardings)
        return placed

    def gather(self, held: Mapping[str, Array], batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch with `inputs` gathered on the devices."""
        rows = process_rows(len(batch['index']), self.process, self.processes)
        rest = {name: leaf for name, leaf in batch.items() if name != 'index'}
        own = jax.tree.map(lambda leaf: leaf[rows] if np.ndim(leaf) else leaf, rest)
        return {**self.put_batch(own), 'inputs': self._take(dict(held), batch['index'])}

    def compile(self, parts: StepParts, trainable: Any) -> TrainStep:
        """One program over the mesh; BatchNorm sees the global batch because the program does."""
        step = make_train_step(parts, trainable)
        return jax.jit(step, donate_argnums=0, out_shardings=self.replicated)


class PmapPlacement(Placement):
    """`pmap`: a replica of the state on every device, each with its share of the batch; averages over the axis."""

    def __init__(self, devices: list[jax.Device] | None = None) -> None:
        """Args: devices: the devices to use; all by default.

        Raises:
            UserError: there are devices of other processes.
        """
        super().__init__(devices)
        if self.processes > 1:
            raise UserError(
                f'train.placement=pmap is for one process, and there are {self.processes}: use train.placement=jit'
            )
        count = self.device_count
        self._take = gatherer(self.sharded, count)

    def put_state(self, state: TrainState) -> TrainState:
        """The state with a leading device axis."""
        return self._replicate(state)

    def get_state(self, state: TrainState) -> TrainState:
        """The first replica, read from its own device: an index would be a program over all of them."""
        return jax.tree.map(lambda leaf: leaf.addressable_data(0)[0], state)

    def put_batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Leaves reshaped to [devices, batch / devices, …], scalars repeated a device."""
        count = self.device_count

        def split(leaf: Any) -> Any:
            return leaf.reshape(count, -1, *leaf.shape[1:]) if np.ndim(leaf) else np.broadcast_to(leaf, (count,))

        return jax.device_put(jax.tree.map(split, dict(batch)), self.sharded)

    def put_settings(self, settings: Sequence[Settings]) -> Any:
        """The numbers, repeated a device."""
        (own,) = settings
        return jax.device_put(
            jax.tree.map(lambda number: np.full(self.device_count, number, np.float32), own), self.sharded
        )

    def gather(self, held: Mapping[str, Array], batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch with `inputs` gathered on the devices."""
        rest = {name: leaf for name, leaf in batch.items() if name != 'index'}
        return {**self.put_batch(rest), 'inputs': self._take(dict(held), batch['index'])}

    def compile(self, parts: StepParts, trainable: Any) -> TrainStep:
        """One program a device; BatchNorm and gradients are averaged over the axis."""
        step = make_train_step(parts, trainable, axis_name=DATA)
        return jax.pmap(step, axis_name=DATA, devices=self.devices, donate_argnums=0)

    def _replicate(self, tree: Any) -> Any:
        def stack(leaf):
            return jnp.broadcast_to(leaf, (self.device_count, *jnp.shape(leaf)))

        everywhere = jax.device_put(tree, self.replicated)
        return jax.jit(lambda tree: jax.tree.map(stack, tree), out_shardings=self.sharded)(everywhere)


@functools.cache
def gatherer(sharding: NamedSharding, pieces: int | None = None) -> Callable[[dict[str, Array], Any], dict[str, Array]]:
    """A program that takes examples, held by field, by their index, compiled once for all runs.

    Args:
        sharding: of what it takes.
        pieces: that this is split into, along a new first dimension. None: it is not.
    """

    def take(held: dict[str, Array], index: Any) -> dict[str, Array]:
        taken = {name: values[index] for name, values in held.items()}
        if pieces is None:
            return taken
        return {name: values.reshape(pieces, -1, *values.shape[1:]) for name, values in taken.items()}

    return jax.jit(take, out_shardings=sharding)


def make_placement(name: str, devices: list[jax.Device] | None = None) -> Placement:
    """`jit` or `pmap` over the given devices (all by default)."""
    return {'jit': JitPlacement, 'pmap': PmapPlacement}[name](devices)
