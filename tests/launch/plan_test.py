"""The command that shows a plan and its costs: what it prints, and one line for every mistake."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent


def launch(*arguments):
    # One device, as most people have.
    flags = os.environ.get('XLA_FLAGS', '').replace('device_count=8', 'device_count=1')
    return subprocess.run(
        [sys.executable, '-m', 'launch.plan', *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONIOENCODING': 'utf-8', 'XLA_FLAGS': flags},
        encoding='utf-8',
    )


def test_the_quickstart_with_a_frozen_backbone(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    done = launch('--config=configs/quickstart.py', '--config.transfer.strategy=linear_probe', '--batch_sizes=10,40')
    assert (done.returncode, done.stderr) == (0, '')
    for text in (
        'digits: 10 classes (0, 1, 2, 3, 4, …); images: 100 to train on',
        'resnet_small, input 16 × 16, 10 classes (digits)',
        'trained: head (1,290 of 308,826 parameters, 0.4%); frozen: backbone',
        'backbone/stage4      running statistics (3 layers)',
        'full fine-tuning',
        'images a step',
        'no backward work for frozen parameters in the compiled program',
    ):
        assert text in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], '--config is missing'),
        (['--config=configs/quickstart.py', '--batch_sizes=32,many'], "'many' is no batch size"),
        (['--config=configs/quickstart.py', '--batch_sizes=0'], "'0' is no batch size"),
        (['--config=configs/quickstart.py', f'--batch_sizes={"9" * 5000}'], 'is no batch size'),
        (['--config=configs/quickstart.py', '--num_classes=-1'], 'num_classes'),
        (['--config=configs/quickstart.py', '--batch_size=8'], "Did you mean '--batch_sizes'?"),
    ],
)
def test_a_mistake_is_one_line(arguments, message):
    done = launch(*arguments)
    assert (done.returncode, done.stdout) == (2, '')
    assert message in done.stderr
    assert done.stderr.count('\n') == 1
