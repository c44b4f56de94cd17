"""Lanes side by side: a mesh whose rows of devices train different lanes, and share out each batch within a row."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from jtransfer.errors import UserError
from jtransfer.train.placement import DATA, Placement, gatherer
from jtransfer.train.state import TrainState
from jtransfer.train.step import Batch, Metrics, TrainStep, make_train_step
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.settings import Settings

LANE = 'lane'
_SHARED = ('seed', 'step')


class LanePlacement(Placement):
    """`shard_map` over a mesh of lanes × data: every row of devices trains its lanes, and no row hears of another.

    The rows are as many as the largest divisor of the number of lanes for which there are devices, so that every row
    has equally many lanes and none is computed in vain. A row has as many devices as share out the batch, and whatever
    is left over stays idle. On 8 devices, 4 lanes are four rows of two, and 10 lanes five rows of one that train two
    lanes each. 5 lanes on 4 devices are one row, in which all devices share every batch.

    The lanes of one row are trained one after another in every step: side by side as one more dimension, their
    convolutions would be grouped ones, which are other numbers and slower.

    On a state, all but `frozen` and `source` has a leading dimension of lanes, spread over the rows. These two are the
    same for every lane, and are kept once a device.

    In a row of one device the step is that of `JitPlacement`, in a row of several that of `PmapPlacement` (where
    dropout draws other numbers than under `jit`).

    Attributes:
        lanes: how many there are.
        mesh: the devices, rows × devices a row.
    """

    side_by_side = True

    def __init__(
        self, lanes: int, batch_size: int, accumulate_steps: int = 1, devices: Sequence[jax.Device] | None = None
    ) -> None:
        """Lays the lanes out.

        Args:
            lanes: how many there are, ≥ 1.
            batch_size: of each lane.
            accumulate_steps: micro-batches that it is split into.
            devices: the devices to use; all local ones by default.

        Raises:
            UserError: a batch that does not share out over the micro-batches.
        """
        # Of this process: others have lanes of their own.
        super().__init__(list(devices or jax.local_devices()))
        if batch_size % accumulate_steps:
            raise UserError(
                f'data.batch_size={batch_size} must be a multiple of {accumulate_steps} (accumulation steps); '
                f'{-(-batch_size // accumulate_steps) * accumulate_steps} would do'
            )
        available = len(self.devices)
        rows = max(n for n in range(1, available + 1) if lanes % n == 0)
        columns = max(n for n in range(1, available // rows + 1) if (batch_size // accumulate_steps) % n == 0)
        self.lanes = lanes
        self.devices = self.devices[: rows * columns]
        self.mesh = Mesh(np.array(self.devices).reshape(rows, columns), (LANE, DATA))
        self.sharded = NamedSharding(self.mesh, PartitionSpec(LANE, DATA))
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self._by_lane = NamedSharding(self.mesh, PartitionSpec(LANE))
        self._take = gatherer(self.sharded)

    @property
    def rows(self) -> int:
        """How many lanes are trained at the same time."""
        return self.mesh.shape[LANE]

    @property
    def program_key(self) -> Hashable:
        """The lanes and the mesh count, too."""
        return super().program_key, self.lanes, self.mesh

    @property
    def device_count(self) -> int:
        """How many devices share a batch: those of a row."""
        return self.mesh.shape[DATA]

    def put_state(self, state: TrainState) -> TrainState:
        """The same state for every lane."""
        return self.put_states([state] * self.lanes)

    def get_state(self, state: TrainState) -> TrainState:
        """The state of the first lane."""
        return self.get_states(state)[0]

    def put_states(self, states: Sequence[TrainState]) -> TrainState:
        """The states of all lanes, in order, on the devices.

        Args:
            states: of the same phase; `frozen` and `source` are taken from the first.
        """

        def stack(*leaves: Any) -> Array:
            shape = (len(leaves), *np.shape(leaves[0]))

            def rows(index: Any) -> np.ndarray:
                return np.stack([np.asarray(leaf) for leaf in leaves[index[0]]])

            # Row by row, so that the host never holds more than one leaf of a few lanes beside the states.
            return jax.make_array_from_callback(shape, self._by_lane, rows)

        stacked = jax.tree.map(stack, *[_moving(state) for state in states])
        return _whole(stacked, jax.device_put(_constant(states[0]), self.replicated))

    def get_states(self, state: TrainState) -> tuple[TrainState, ...]:
        """The state of each lane, in order: copies in memory, but for `frozen` and `source`.

        These are arrays of the first device, which all lanes share and no step takes over.
        """
        constant = jax.tree.map(lambda leaf: leaf.addressable_data(0), _constant(state))
        stacked = jax.device_get(_moving(state))
        # Copies: the next step takes over these buffers, and on a CPU NumPy would otherwise look into them.
        return tuple(
            _whole(jax.tree.map(lambda leaf, lane=lane: np.array(leaf[lane]), stacked), constant)
            for lane in range(self.lanes)
        )

    def put_settings(self, settings: Sequence[Settings]) -> Any:
        """The numbers with a leading dimension of lanes, spread over the rows."""
        return jax.device_put(jax.tree.map(lambda *numbers: np.array(numbers, np.float32), *settings), self._by_lane)

    def copied(self, state: TrainState) -> TrainState:
        """The state itself, which is a copy."""
        return state

    def evaluated(self, state: TrainState) -> Any:
        """The variables on one device, the same for every lane: the caller's program is then compiled once."""
        return jax.device_put(state.variables(), self.devices[0])

    def put_batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Leaves [lanes, batch, …] spread over rows and their devices, `seed` and `step` on every device."""
        batch = dict(batch)
        shardings = jax.tree.map(lambda leaf: self.sharded if np.ndim(leaf) else self.replicated, batch)
        return jax.device_put(batch, shardings)

    def gather(self, held: Mapping[str, Array], batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch with `inputs` gathered on the devices, by `index` [lanes, batch] from what they all share."""
        rest = {name: leaf for name, leaf in batch.items() if name != 'index'}
        return {**self.put_batch(rest), 'inputs': self._take(dict(held), batch['index'])}

    def compile(self, parts: StepParts, trainable: Any) -> TrainStep:
        """One program for all lanes; every metric has a leading dimension of lanes.

        A lane whose state is at another step than the batch is left as it is (see `make_train_step`).
        """
        step = make_train_step(parts, trainable, axis_name=DATA if self.device_count > 1 else None)

        def row(moving: TrainState, constant: Any, batch: Batch) -> tuple[TrainState, Metrics]:
            shared = {name: batch[name] for name in _SHARED}
            own = {name: leaf for name, leaf in batch.items() if name not in _SHARED}

            def one(moving: TrainState, inputs: tuple[Array, Batch]) -> tuple[TrainState, Metrics]:
                lane, examples = inputs
                state = _whole(jax.tree.map(lambda leaf: leaf[lane], moving), constant)
                state, metrics = step(state, {**examples, **shared})
                return jax.tree.map(lambda leaf, new: leaf.at[lane].set(new), moving, _moving(state)), metrics

            # The states are carried along and changed in place: mapped over, they would be in memory twice.
            return jax.lax.scan(one, moving, (jnp.arange(len(moving.step)), own))

        def all_rows(moving: TrainState, constant: Any, batch: Batch) -> tuple[TrainState, Metrics]:
            lane, everywhere = PartitionSpec(LANE), PartitionSpec()
            of_batch = {name: everywhere if name in _SHARED else PartitionSpec(LANE, DATA) for name in batch}
            if 'settings' in batch:
                of_batch['settings'] = lane
            # Without tracking of what varies over which axis: the step averages its gradients over `data` itself.
            mapped = jax.shard_map(
                row,
                mesh=self.mesh,
                in_specs=(lane, everywhere, of_batch),
                out_specs=(lane, lane),
                check_vma=False,
            )
            return mapped(moving, constant, batch)

        compiled = jax.jit(all_rows, donate_argnums=0)

        def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
            # What does not move never leaves its place: it is neither donated nor returned.
            constant = _constant(state)
            moving, metrics = compiled(_moving(state), constant, dict(batch))
            return _whole(moving, constant), metrics

        def lower(state: TrainState, batch: Batch) -> Any:
            return compiled.lower(_moving(state), _constant(state), dict(batch))

        train_step.lower = lower  # type: ignore[attr-defined]  # as programs of `jit` have it
        return train_step


def _moving(state: TrainState) -> TrainState:
    return dataclasses.replace(state, frozen=None, source=None)


def _constant(state: TrainState) -> dict[str, Any]:
    return {'frozen': state.frozen, 'source': state.source}


def _whole(moving: TrainState, constant: Mapping[str, Any]) -> TrainState:
    return dataclasses.replace(moving, **constant)
