"""Too little memory is told from other errors, in a line; what there is, is what the system and its limits say."""

import errno
import os

import jax
import numpy as np
import pytest

from jtransfer import out_of_memory
from jtransfer.errors import OutOfMemoryError, UserError
from jtransfer.out_of_memory import available_memory, check_room, is_out_of_memory, memory_told


@pytest.mark.parametrize(
    'error',
    [
        MemoryError(),
        jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes.'),
        jax.errors.JaxRuntimeError('INTERNAL: CUDA error: out of memory'),
        RuntimeError('std::bad_alloc'),
        RuntimeError("can't start new thread"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
)
def test_memory_is_told_from_other_errors(error):
    assert is_out_of_memory(error)
    with pytest.raises(OutOfMemoryError) as raised, memory_told('while training', 'a smaller batch'):
        raise error
    assert str(raised.value).startswith('memory ran out while training')
    assert str(raised.value).endswith(': a smaller batch')
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
    'error', [RuntimeError('shapes differ'), UserError('out of memory'), OSError(errno.ENOSPC, 'full'), KeyError('x')]
)
def test_other_errors_pass(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)) as raised, memory_told('while training', 'a smaller batch'):
        raise error
    assert raised.value is error


def test_what_numpy_says_is_kept():
    said = r'ran out here \(Unable to allocate .* uint8\): less'
    with pytest.raises(OutOfMemoryError, match=said), memory_told('here', 'less'):
        np.empty(2**60, np.uint8)


def test_what_does_not_fit_is_said_before(monkeypatch):
    monkeypatch.setattr(out_of_memory, 'available_memory', lambda: 2**30)
    check_room(2**30, 'it', 'less')
    with pytest.raises(OutOfMemoryError, match=r'^it: 2,048 MiB of memory are needed, and 1,024 MiB are free: less$'):
        check_room(2**31, 'it', 'less')
    monkeypatch.setattr(out_of_memory, 'available_memory', lambda: None)
    check_room(2**60, 'it', 'less')


def test_the_least_of_machine_container_and_limit_counts(tmp_path, monkeypatch):
    (tmp_path / 'meminfo').write_text('MemTotal: 9 kB\nMemAvailable:   4000 kB\nSwapFree: 96 kB\nHugePages_Total: 0\n')
    assert out_of_memory._of_machine(str(tmp_path / 'meminfo')) == 4096 * 1024
    assert out_of_memory._of_machine(str(tmp_path / 'absent')) is None
    for name, text in (
        ('memory.max', '1000'),
        ('memory.current', '900'),
        ('memory.stat', 'anon 1\ninactive_file 50\n'),
    ):
        (tmp_path / name).write_text(f'{text}\n')
    assert out_of_memory._of_container(str(tmp_path)) == 150
    (tmp_path / 'memory.max').write_text('max\n')
    assert out_of_memory._of_container(str(tmp_path)) is None
    assert out_of_memory._of_container(str(tmp_path / 'absent')) is None
    for name, room in (('_of_machine', 7), ('_of_container', 5), ('_of_limit', None)):
        monkeypatch.setattr(out_of_memory, name, lambda room=room: room)
    assert available_memory() == 5
    monkeypatch.undo()
    assert available_memory() is None or available_memory() > 2**20
