"""A run that is killed in mid-epoch goes on as if nothing had happened, wherever its pictures are kept."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from safetensors.numpy import load_file

from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import read_result, write_config
from jtransfer.train.logs.log import read_log
from tests.experiments.run.finetune_test import THOROUGH
from tests.tiers import slow

pytestmark = pytest.mark.usefixtures('compile_once')

STEPS, KILLED_AT, BATCH = THOROUGH['train.steps'], 5, 8
KILL = """
import os, signal, sys

import jax

from jtransfer import config as config_lib
from jtransfer.experiments.run import directory, finetune
from jtransfer.train.logs.log import MetricLog

file, folder, cache, at = sys.argv[1:]
write = MetricLog.write

def killing(self, step, *arguments, **options):
    write(self, step, *arguments, **options)
    if step == int(at):
        os.kill(os.getpid(), signal.SIGKILL)

MetricLog.write = killing
jax.config.update('jax_compilation_cache_dir', cache)
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
finetune.run(config_lib.replace(directory.read_config(file), 'run_dir', folder))
"""


@pytest.fixture(scope='module')
def whole(tiny_config, tmp_path_factory, compile_once):
    """A run that nothing happened to."""
    path = tmp_path_factory.mktemp('whole') / 'run'
    finetune.run(tiny_config(**THOROUGH, **{'run_dir': str(path), 'data.placement': 'device'}))
    return path


def logged(path):
    """Everything that is logged but how fast it went."""
    return [{name: value for name, value in line.items() if 'second' not in name} for line in read_log(path)]


@pytest.mark.parametrize('placement', ['device', *slow('host', 'stream')])
def test_a_run_killed_in_mid_epoch_goes_on_bit_for_bit(tiny_config, whole, tmp_path, compile_once, placement):
    run = tmp_path / 'run'
    settings = {
        **THOROUGH,
        'run_dir': str(run),
        'data.placement': placement,
        'data.cache_dir': str(tmp_path / 'cache'),
        'train.resume': 'auto',
    }
    config = tiny_config(**settings)
    (tmp_path / 'config').mkdir()
    write_config(tmp_path / 'config', config)
    killed = subprocess.run(
        [sys.executable, '-c', KILL, tmp_path / 'config', run, compile_once, str(KILLED_AT)],
        env={**os.environ, 'PYTHONPATH': str(pathlib.Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert read_log(run / 'metrics.jsonl')[-1]['step'] == KILLED_AT
    assert not (run / 'model.safetensors').exists()

    said = []
    finetune.run(config, say=said.append)
    assert said[-1] == f'resuming {run}'
    examples = read_result(run)['train_examples']
    assert 0 < KILLED_AT * BATCH % examples < examples
    assert examples % BATCH  # batches straddle epochs
    assert 2 * examples < STEPS * BATCH
    one, other = load_file(whole / 'model.safetensors'), load_file(run / 'model.safetensors')
    assert one.keys() == other.keys()
    for name, leaf in one.items():
        assert leaf.tobytes() == other[name].tobytes(), name
    assert json.dumps(logged(whole / 'metrics.jsonl')) == json.dumps(logged(run / 'metrics.jsonl'))
