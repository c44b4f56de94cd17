"""A run directory is one process's at a time, and free again as soon as that process is gone."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from jtransfer.errors import DataWarning, UserError
from jtransfer.experiments.run import lock
from jtransfer.experiments.run.lock import LOCK, check_free, held

HOLD = """
import sys
from jtransfer.experiments.run.lock import held
with held(sys.argv[1], shared=len(sys.argv) > 2):
    print('held', flush=True)
    sys.stdin.read()
"""


def holder(folder, *shared):
    process = subprocess.Popen(
        [sys.executable, '-c', HOLD, folder, *shared], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == 'held\n'
    return process


def hold(folder, **options):
    with held(folder, **options):
        pass


def end(process, number):
    process.send_signal(number)
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_second_is_told_who_is_first_and_a_kill_frees_the_folder(tmp_path):
    first = holder(tmp_path / 'run')
    (tmp_path / 'run' / f'.{first.pid}.partial.x').touch()
    for second in (hold, check_free):
        with pytest.raises(UserError) as caught:
            second(tmp_path / 'run')
        assert str(caught.value).startswith(f'{tmp_path}/run is in use by process {first.pid} of this machine, which')
    end(first, signal.SIGKILL)
    assert sorted(os.listdir(tmp_path / 'run')) == [f'.{first.pid}.partial.x', LOCK]
    check_free(tmp_path / 'run')
    with held(tmp_path / 'run'):  # what the killed one left is swept, and the lock goes with its holder
        assert os.listdir(tmp_path / 'run') == [LOCK]
    assert os.listdir(tmp_path / 'run') == []


def test_those_who_share_a_folder_keep_out_whoever_wants_it_alone(tmp_path):
    first = holder(tmp_path, 'shared')
    check_free(tmp_path, shared=True)
    hold(tmp_path, shared=True)
    for alone in (hold, check_free):
        with pytest.raises(UserError, match='is in use by another process'):
            alone(tmp_path)
    end(first, signal.SIGKILL)
    with held(tmp_path), pytest.raises(UserError, match=f'is in use by process {os.getpid()} of this machine'):
        hold(tmp_path, shared=True)


@pytest.mark.filterwarnings('ignore:os.fork')
def test_a_child_does_not_hold_what_its_parent_held(tmp_path):
    read, write = os.pipe()
    with held(tmp_path):
        child = os.fork()
        if not child:
            os.close(write)
            os.read(read, 1)  # until the parent lets it go
            os._exit(0)
        (descriptor,) = lock._open
        os.dup2(os.open(os.devnull, os.O_RDONLY), descriptor)  # as if the parent were gone
        hold(tmp_path)
    os.write(write, b'x')
    os.waitpid(child, 0)


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(lock.fcntl, 'flock', refuse)
    with pytest.warns(DataWarning, match='cannot lock: nothing would stop a second process'):
        hold(tmp_path)
    with pytest.warns(DataWarning, match='cannot lock'):
        hold(tmp_path, shared=True)
