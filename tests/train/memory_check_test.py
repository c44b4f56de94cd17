"""A step that does not fit is refused before it runs; a compiled step is not compiled twice for it."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import pytest

from jtransfer.config import Config
from jtransfer.errors import OutOfMemoryError
from jtransfer.train import memory_check
from jtransfer.train.memory_check import CheckedStep, check_device_room, step_remedy

GIB = 2**30


def stub(state, batch):
    return state + batch.sum(), {}


def test_a_step_that_fits_runs_and_is_compiled_once():
    traced = []

    @jax.jit
    def step(state, batch):
        traced.append(1)
        return stub(state, batch)

    checked = CheckedStep(step, jax.devices(), Config())
    checked.prepare(jnp.zeros(()), jnp.ones(4))
    assert len(traced) == 1
    for _ in range(2):
        assert float(checked(jnp.zeros(()), jnp.ones(4))[0]) == 4
    assert len(traced) == 1


def test_a_step_that_does_not_fit_never_runs(monkeypatch):
    monkeypatch.setattr(memory_check, 'available_memory', lambda: 1000)
    step = jax.jit(lambda state, batch: (state + jnp.sort(batch[:, None] * batch[None]).sum(), {}))
    with pytest.raises(
        OutOfMemoryError, match=r'^a step of data.batch_size=32: .* MiB of memory are needed, and 0 MiB'
    ):
        CheckedStep(step, jax.devices(), Config())(jnp.zeros(()), jnp.ones(1000))


def test_what_cannot_be_compiled_beforehand_runs_as_it_is():
    assert CheckedStep(stub, jax.devices(), Config())(1, jnp.ones(2))[0] == 3


def test_the_memory_of_each_device_or_of_the_host_for_all(monkeypatch):
    gpus = [types.SimpleNamespace(platform='gpu', process_index=0, memory_stats=dict) for _ in range(2)]
    check_device_room(10 * GIB, gpus, 'the images', 'less')  # nobody says how much there is
    gpus[1].memory_stats = lambda: {'bytes_limit': 4 * GIB, 'bytes_in_use': GIB}
    check_device_room(3 * GIB, gpus, 'the images', 'less')
    with pytest.raises(OutOfMemoryError, match=r'the images: 4,096 MiB on .* are needed, and 3,072 MiB are free: less'):
        check_device_room(4 * GIB, gpus, 'the images', 'less')
    cpus = [types.SimpleNamespace(platform='cpu', process_index=0) for _ in range(2)]
    monkeypatch.setattr(memory_check, 'available_memory', lambda: 3 * GIB)
    check_device_room(GIB, cpus, 'the images', 'less')
    with pytest.raises(OutOfMemoryError, match='the images: 4,096 MiB of memory are needed, and 3,072 MiB are free'):
        check_device_room(2 * GIB, cpus, 'the images', 'less')


def test_the_remedy_goes_on_from_what_is_set():
    config = Config()
    assert 'optim.accumulate_steps=2, the same batch in 2 pieces' in step_remedy(config)
    more = dataclasses.replace(config, optim=dataclasses.replace(config.optim, accumulate_steps=4))
    assert 'optim.accumulate_steps=8' in step_remedy(more)
