"""Whether a compiled step fits into memory, known before it runs: where a device runs out, others wait for it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import jax

from jtransfer.config import Config
from jtransfer.errors import OutOfMemoryError
from jtransfer.out_of_memory import available_memory, no_room_line
from jtransfer.train.step import TrainStep


class CheckedStep:
    """A training step that refuses to run for the first time where it is known not to fit."""

    def __init__(self, step: TrainStep, devices: Sequence[Any], config: Config) -> None:
        """Compiles nothing yet.

        Args:
            step: compiled when it is called, by `jit` or `pmap`.
            devices: that it runs on.
            config: whose settings the error names.
        """
        self._step, self._devices, self._config = step, devices, config
        self._prepared = False

    def __call__(self, state: Any, batch: Any) -> Any:
        """The step.

        Raises:
            OutOfMemoryError: its temporaries are larger than what is free.
        """
        self.prepare(state, batch)
        return self._step(state, batch)

    def prepare(self, state: Any, batch: Any) -> None:
        """Compiles the step for its first call, which takes over the state; this leaves it as it is.

        Raises:
            OutOfMemoryError: its temporaries are larger than what is free.
        """
        lower = getattr(self._step, 'lower', None)
        if self._prepared or lower is None:
            return
        self._prepared = True
        memory = None
        compiled = lower(state, batch).compile()  # kept by JAX: the call does not compile again
        with contextlib.suppress(Exception):  # not every platform says it
            memory = compiled.memory_analysis()
        if memory is None:
            return
        # Arguments are there already, and results that take them over need nothing.
        needed = memory.temp_size_in_bytes + max(0, memory.output_size_in_bytes - memory.alias_size_in_bytes)
        for bytes_needed, there, where in _rooms(self._devices, needed):
            if bytes_needed > there:
                what = f'a step of data.batch_size={self._config.data.batch_size}'
                raise OutOfMemoryError(no_room_line(bytes_needed, there, what, step_remedy(self._config), where))


def step_remedy(config: Config) -> str:
    """What makes a training step smaller."""
    pieces = 2 * config.optim.accumulate_steps
    return (
        f'a smaller data.batch_size, or optim.accumulate_steps={pieces}, the same batch in {pieces} pieces, needs '
        'less; so do a smaller model.image_size, model.dtype=bfloat16 and a smaller network'
    )


def check_device_room(needed: int, devices: Sequence[Any], what: str, remedy: str) -> None:
    """Raises `OutOfMemoryError` if so many bytes are known not to fit on each of the devices.

    Args:
        needed: bytes on each.
        devices: this process's, of one kind.
        what: needs them.
        remedy: what needs less.
    """
    for bytes_needed, there, where in _rooms(devices, needed):
        if bytes_needed > there:
            raise OutOfMemoryError(no_room_line(bytes_needed, there, what, remedy, where))


def _rooms(devices: Sequence[Any], needed: int) -> list[tuple[int, int, str]]:
    """Bytes needed and free by place: the host's memory for all its devices together, or each device's own."""
    own = [device for device in devices if device.process_index == jax.process_index()]
    if own and own[0].platform == 'cpu':
        there = available_memory()
        return [] if there is None else [(len(own) * needed, there, 'of memory')]
    rooms = []
    for device in own:
        stats: Any = None
        with contextlib.suppress(Exception):
            stats = device.memory_stats()
        if stats and 'bytes_limit' in stats and 'bytes_in_use' in stats:
            rooms.append((needed, stats['bytes_limit'] - stats['bytes_in_use'], f'on {device}'))
    return rooms
