"""Runs a launch script as a person does, in a process of its own."""

import atexit
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent.parent


def launch(cwd, script, *arguments, status=0, alone=False, code='', **variables):
    """Runs `python -m launch.SCRIPT` in a folder with a cache of its own, and checks the exit status.

    Args:
        cwd: the working directory.
        script: its name.
        arguments: what stands behind it.
        status: how it must end.
        alone: in an interpreter of its own, and not in a fork of one that has imported the library already. Every
            script has one test that does so.
        code: what to run instead of the script; the arguments are those of `python -c`.
        variables: of the environment, beside those of the tests.
    """
    # One device, as most people have.
    flags = os.environ.get('XLA_FLAGS', '').replace('device_count=8', 'device_count=1')
    environment = {
        **os.environ,
        'PYTHONPATH': str(ROOT),
        'PYTHONIOENCODING': 'utf-8',
        'XDG_CACHE_HOME': str(cwd / 'cache'),
        'XLA_FLAGS': flags,
        'HF_HUB_OFFLINE': '1',
        **variables,
    }
    if alone:
        command = [sys.executable, '-c', code] if code else [sys.executable, '-m', f'launch.{script}']
        done = subprocess.run(
            [*command, *arguments],
            cwd=cwd,
            capture_output=True,
            encoding='utf-8',
            check=False,
            env=environment,
        )
    else:
        done = _forked(cwd, environment, script, arguments, code)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def _forked(cwd, environment, script, arguments, code):
    with tempfile.TemporaryDirectory() as folder:
        streams = {name: pathlib.Path(folder, name) for name in ('stdout', 'stderr')}
        for path in streams.values():
            path.touch()
        request = {'cwd': str(cwd), 'environment': environment, 'script': script, 'arguments': arguments, 'code': code}
        server = _server()
        server.stdin.write(json.dumps(request | {name: str(path) for name, path in streams.items()}) + '\n')
        server.stdin.flush()
        status = int(server.stdout.readline())
        texts = {name: path.read_text('utf-8') for name, path in streams.items()}
    return subprocess.CompletedProcess([script, *arguments], status, **texts)


@functools.cache
def _server():
    """The process that forks, one for the whole of a test process."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONIOENCODING': 'utf-8'}
    server = subprocess.Popen(
        [sys.executable, str(pathlib.Path(__file__).with_name('forks.py'))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        encoding='utf-8',
    )
    atexit.register(_end, server)
    return server


def _end(server):
    server.stdin.close()
    server.wait()
    server.stdout.close()
