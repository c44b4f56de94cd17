"""Runs a launch script as a person does, in a process of its own."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent.parent


def launch(cwd, script, *arguments, status=0):
    """Runs `python -m launch.SCRIPT` in a folder with a cache of its own, and checks the exit status."""
    # One device, as most people have.
    flags = os.environ.get('XLA_FLAGS', '').replace('device_count=8', 'device_count=1')
    environment = {
        **os.environ,
        'PYTHONPATH': str(ROOT),
        'XDG_CACHE_HOME': str(cwd / 'cache'),
        'XLA_FLAGS': flags,
        'HF_HUB_OFFLINE': '1',
    }
    done = subprocess.run(
        [sys.executable, '-m', f'launch.{script}', *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done
