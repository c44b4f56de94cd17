"""Where a step runs: `jit` over a mesh of all local devices, or `pmap` over replicas. The numbers are the same."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, UInt8

from jtransfer.errors import UserError
from jtransfer.train.state import TrainState
from jtransfer.train.step import StepParts, TrainStep, make_train_step

DATA = 'data'


class Placement(abc.ABC):
    """Puts states and batches on devices and compiles steps for them."""

    def __init__(self, devices: list[jax.Device] | None = None) -> None:
        """Args: devices: the devices to use; all local ones by default."""
        self.devices = list(devices or jax.local_devices())
        mesh = Mesh(np.array(self.devices), (DATA,))
        self.sharded = NamedSharding(mesh, PartitionSpec(DATA))
        self.replicated = NamedSharding(mesh, PartitionSpec())

    @property
    def device_count(self) -> int:
        """How many devices share a batch."""
        return len(self.devices)

    def check_batch_size(self, batch_size: int, accumulate_steps: int = 1) -> None:
        """Raises `UserError` unless every device gets the same number of images in every micro-batch."""
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

    @abc.abstractmethod
    def put_batch(self, batch: Mapping[str, Any]) -> dict[str, Array]:
        """A batch, its images shared out over the devices."""

    @abc.abstractmethod
    def gather(self, images: UInt8[Array, 'examples h w 3'], batch: Mapping[str, Any]) -> dict[str, Array]:
        """A batch of the images that are kept on the devices, chosen by its `index`."""

    @abc.abstractmethod
    def compile(self, parts: StepParts, trainable: Any) -> TrainStep:
        """The training step, compiled on its first call; it takes over the state it is given (donation)."""


class JitPlacement(Placement):
    """`jit` over a one-axis mesh: the state is replicated, the batch sharded; the compiler adds the communication."""

    def __init__(self, devices: list[jax.Device] | None = None) -> None:
        """Args: devices: the devices to use; all local ones by default."""
        super().__init__(devices)
        self._take = jax.jit(lambda images, index: images[index], out_shardings=self.sharded)

    def put_state(self, state: TrainState) -> TrainState:
        """The state, on every device."""
        return jax.device_put(state, self.replicated)

    def get_state(self, state: TrainState) -> TrainState:
        """The state, unchanged: it is one global array a leaf already."""
        return state

    def put_batch(self, batch: Mapping[str, Any]) -> dict[str, Array]:
        """Leaves with a leading batch dimension sharded over it, scalars on every device."""
        batch = dict(batch)
        shardings = jax.tree.map(lambda leaf: self.sharded if np.ndim(leaf) else self.replicated, batch)
        return jax.device_put(batch, shardings)

    def gather(self, images: UInt8[Array, 'examples h w 3'], batch: Mapping[str, Any]) -> dict[str, Array]:
        """The batch with `image` gathered on the devices."""
        rest = {name: leaf for name, leaf in batch.items() if name != 'index'}
        return {**self.put_batch(rest), 'image': self._take(images, batch['index'])}

    def compile(self, parts: StepParts, trainable: Any) -> TrainStep:
        """One program over the mesh; BatchNorm sees the global batch because the program does."""
        step = make_train_step(parts, trainable)
        return jax.jit(step, donate_argnums=0, out_shardings=self.replicated)


class PmapPlacement(Placement):
    """`pmap`: a replica of the state on every device, each with its share of the batch; averages over the axis."""

    def __init__(self, devices: list[jax.Device] | None = None) -> None:
        """Args: devices: the devices to use; all local ones by default."""
        super().__init__(devices)
        count = self.device_count
        self._take = jax.jit(
            lambda images, index: images[index].reshape(count, -1, *images.shape[1:]), out_shardings=self.sharded
        )

    def put_state(self, state: TrainState) -> TrainState:
        """The state with a leading device axis."""
        return self._replicate(state)

    def get_state(self, state: TrainState) -> TrainState:
        """The first replica, read from its own device: an index would be a program over all of them."""
        return jax.tree.map(lambda leaf: leaf.addressable_data(0)[0], state)

    def put_batch(self, batch: Mapping[str, Any]) -> dict[str, Array]:
        """Leaves reshaped to [devices, batch / devices, …], scalars repeated a device."""
        count = self.device_count

        def split(leaf: Any) -> Any:
            return leaf.reshape(count, -1, *leaf.shape[1:]) if np.ndim(leaf) else np.broadcast_to(leaf, (count,))

        return jax.device_put(jax.tree.map(split, dict(batch)), self.sharded)

    def gather(self, images: UInt8[Array, 'examples h w 3'], batch: Mapping[str, Any]) -> dict[str, Array]:
        """The batch with `image` gathered on the devices."""
        rest = {name: leaf for name, leaf in batch.items() if name != 'index'}
        return {**self.put_batch(rest), 'image': self._take(images, batch['index'])}

    def compile(self, parts: StepParts, trainable: Any) -> TrainStep:
        """One program a device; BatchNorm and gradients are averaged over the axis."""
        step = make_train_step(parts, trainable, axis_name=DATA)
        return jax.pmap(step, axis_name=DATA, devices=self.devices, donate_argnums=0)

    def _replicate(self, tree: Any) -> Any:
        def stack(leaf):
            return jnp.broadcast_to(leaf, (self.device_count, *jnp.shape(leaf)))

        everywhere = jax.device_put(tree, self.replicated)
        return jax.jit(lambda tree: jax.tree.map(stack, tree), out_shardings=self.sharded)(everywhere)


def make_placement(name: str, devices: list[jax.Device] | None = None) -> Placement:
    """`jit` or `pmap` over the given devices (all local ones by default)."""
    return {'jit': JitPlacement, 'pmap': PmapPlacement}[name](devices)
