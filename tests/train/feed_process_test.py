"""Feeds of several processes, each with devices of its own: together they have the batches of a single one."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from jtransfer.data.decode.memory import decode_part
from jtransfer.data.feed.batches import training_batch

ROOT = pathlib.Path(__file__).parent.parent.parent


@pytest.mark.parametrize(('processes', 'devices'), [(2, 2), pytest.param(4, 1, marks=pytest.mark.slow)])
def test_processes_share_the_batches_of_one(tmp_path, processes, devices):
    from tests.train.feed_process import BATCH, EXAMPLES, PIXELS, SEED, START, STEPS, flat, make_part
    from tests.train.feed_process import __file__ as program

    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')])),
        'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}',
    }
    # Files, not pipes: a process that waits for its reader would keep all the others waiting.
    files = [tmp_path / str(process) for process in range(processes)]
    running = []
    try:
        for process, file in enumerate(files):
            command = [sys.executable, program, str(port), str(processes), str(process)]
            with file.open('w') as out:
                running.append(subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment))
        status = [process.wait(timeout=200) for process in running]
    finally:
        for process in running:
            process.kill()
    assert status == [0] * processes, [file.read_text()[-2000:] for file in files]
    lines = [
        [json.loads(line) for line in file.read_text().splitlines() if line.startswith(('{', '"'))] for file in files
    ]
    decoded = decode_part(make_part(), PIXELS)
    kinds = ('device', 'host', 'stream')
    for number, pieces in enumerate(zip(*[each[:-1] for each in lines], strict=True)):
        kind, step = kinds[number // STEPS], START + number % STEPS
        expected = training_batch(decoded, step, BATCH, SEED)
        for piece in pieces:
            assert piece['kind'] == kind
            assert piece['shape'] == list(expected['inputs']['image'].shape)
            assert piece['sum'] == expected['inputs']['image'].sum()
            assert set(piece['rows'].pop('step')) == {step}
            assert set(piece['rows'].pop('seed')) == {SEED}
            assert piece['rows'].keys() == flat(expected).keys()
        for name, values in flat(expected).items():
            together = np.concatenate([np.array(piece['rows'][name], values.dtype) for piece in pieces])
            np.testing.assert_array_equal(together, values)
    assert number == len(kinds) * STEPS - 1
    for each in lines:
        assert each[-1] == (
            f'train.placement=pmap is for one process, and there are {processes}: use train.placement=jit'
        )
    seen = [training_batch(decoded, step, BATCH, SEED)['id'] for step in range(3)]
    assert sorted(np.concatenate(seen).tolist()) == sorted([*range(EXAMPLES)] * 2)
