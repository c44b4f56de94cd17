"""Folds side by side: a mesh whose rows of devices train different folds, and share out each batch within a row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, UInt8

from jtransfer.errors import UserError
from jtransfer.train.placement import DATA, Placement
from jtransfer.train.state import TrainState
from jtransfer.train.step import Batch, Metrics, TrainStep, make_train_step
from jtransfer.train.step_parts import StepParts

FOLD = 'fold'
_SHARED = ('seed', 'step')


class FoldPlacement(Placement):
    """`shard_map` over a mesh of folds × data: every row of devices trains its folds, and no row hears of another.

    The rows are as many as the largest divisor of the number of folds for which there are devices, so that every row
    has equally many folds and none is computed in vain. A row has as many devices as share out the batch, and whatever
    is left over stays idle. On 8 devices, 4 folds are four rows of two, and 10 folds five rows of one that train two
    folds each. 5 folds on 4 devices are one row, in which all devices share every batch.

    The folds of one row are trained one after another in every step: side by side as one more dimension, their
    convolutions would be grouped ones, which are other numbers and slower.

    On a state, all but `frozen` and `source` has a leading dimension of folds, spread over the rows. These two are the
    same for every fold, and are kept once a device.

    In a row of one device the step is that of `JitPlacement`, in a row of several that of `PmapPlacement` (where
    dropout draws other numbers than under `jit`).

    Attributes:
        folds: how many there are.
        mesh: the devices, rows × devices a row.
    """

    def __init__(
        self, folds: int, batch_size: int, accumulate_steps: int = 1, devices: Sequence[jax.Device] | None = None
    ) -> None:
        """Lays the folds out.

        Args:
            folds: how many there are, ≥ 1.
            batch_size: of each fold.
            accumulate_steps: micro-batches that it is split into.
            devices: the devices to use; all local ones by default.

        Raises:
            UserError: a batch that does not share out over the micro-batches.
        """
        # Of this process: others have folds of their own.
        super().__init__(list(devices or jax.local_devices()))
        if batch_size % accumulate_steps:
            raise UserError(
                f'data.batch_size={batch_size} must be a multiple of {accumulate_steps} (accumulation steps); '
                f'{-(-batch_size // accumulate_steps) * accumulate_steps} would do'
            )
        available = len(self.devices)
        rows = max(n for n in range(1, available + 1) if folds % n == 0)
        columns = max(n for n in range(1, available // rows + 1) if (batch_size // accumulate_steps) % n == 0)
        self.folds = folds
        self.devices = self.devices[: rows * columns]
        self.mesh = Mesh(np.array(self.devices).reshape(rows, columns), (FOLD, DATA))
        self.sharded = NamedSharding(self.mesh, PartitionSpec(FOLD, DATA))
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self._by_fold = NamedSharding(self.mesh, PartitionSpec(FOLD))
        self._take = jax.jit(lambda images, index: images[index], out_shardings=self.sharded)

    @property
    def rows(self) -> int:
        """How many folds are trained at the same time."""
        return self.mesh.shape[FOLD]

    @property
    def device_count(self) -> int:
        """How many devices share a batch: those of a row."""
        return self.mesh.shape[DATA]

    def put_state(self, state: TrainState) -> TrainState:
        """The same state for every fold."""
        return self.put_states([state] * self.folds)

    def get_state(self, state: TrainState) -> TrainState:
        """The state of the first fold."""
        return self.get_states(state)[0]

    def put_states(self, states: Sequence[TrainState]) -> TrainState:
        """The states of all folds, in order, on the devices.

        Args:
            states: of the same phase; `frozen` and `source` are taken from the first.
        """

        def stack(*leaves: Any) -> Array:
            shape = (len(leaves), *np.shape(leaves[0]))

            def rows(index: Any) -> np.ndarray:
                return np.stack([np.asarray(leaf) for leaf in leaves[index[0]]])

            # Row by row, so that the host never holds more than one leaf of a few folds beside the states.
            return jax.make_array_from_callback(shape, self._by_fold, rows)

        stacked = jax.tree.map(stack, *[_moving(state) for state in states])
        return _whole(stacked, jax.device_put(_constant(states[0]), self.replicated))

    def get_states(self, state: TrainState) -> tuple[TrainState, ...]:
        """The state of each fold, in order: copies in memory, but for `frozen` and `source`.

        These are arrays of the first device, which all folds share and no step takes over.
        """
        constant = jax.tree.map(lambda leaf: leaf.addressable_data(0), _constant(state))
        stacked = jax.device_get(_moving(state))
        # Copies: the next step takes over these buffers, and on a CPU NumPy would otherwise look into them.
        return tuple(
            _whole(jax.tree.map(lambda leaf, fold=fold: np.array(leaf[fold]), stacked), constant)
            for fold in range(self.folds)
        )

    def put_batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Leaves [folds, batch, …] spread over rows and their devices, `seed` and `step` on every device."""
        batch = dict(batch)
        shardings = jax.tree.map(lambda leaf: self.sharded if np.ndim(leaf) else self.replicated, batch)
        return jax.device_put(batch, shardings)

    def gather(self, images: UInt8[Array, 'examples h w 3'], batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch with `image` gathered on the devices, chosen by `index` [folds, batch] from what they all share."""
        rest = {name: leaf for name, leaf in batch.items() if name != 'index'}
        return {**self.put_batch(rest), 'image': self._take(images, batch['index'])}

    def compile(self, parts: StepParts, trainable: Any) -> TrainStep:
        """One program for all folds; every metric has a leading dimension of folds.

        A fold whose state is at another step than the batch is left as it is (see `make_train_step`).
        """
        step = make_train_step(parts, trainable, axis_name=DATA if self.device_count > 1 else None)

        def row(moving: TrainState, constant: Any, batch: Batch) -> tuple[TrainState, Metrics]:
            shared = {name: batch[name] for name in _SHARED}
            own = {name: leaf for name, leaf in batch.items() if name not in _SHARED}

            def one(moving: TrainState, inputs: tuple[Array, Batch]) -> tuple[TrainState, Metrics]:
                fold, examples = inputs
                state = _whole(jax.tree.map(lambda leaf: leaf[fold], moving), constant)
                state, metrics = step(state, {**examples, **shared})
                return jax.tree.map(lambda leaf, new: leaf.at[fold].set(new), moving, _moving(state)), metrics

            # The states are carried along and changed in place: mapped over, they would be in memory twice.
            return jax.lax.scan(one, moving, (jnp.arange(len(moving.step)), own))

        def all_rows(moving: TrainState, constant: Any, batch: Batch) -> tuple[TrainState, Metrics]:
            fold, everywhere = PartitionSpec(FOLD), PartitionSpec()
            of_batch = {name: everywhere if name in _SHARED else PartitionSpec(FOLD, DATA) for name in batch}
            # Without tracking of what varies over which axis: the step averages its gradients over `data` itself.
            mapped = jax.shard_map(
                row,
                mesh=self.mesh,
                in_specs=(fold, everywhere, of_batch),
                out_specs=(fold, fold),
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
