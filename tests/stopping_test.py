"""Signals: what a person is told, what waits for what, and that a real process ends in one line with its status."""

import functools
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from jtransfer import stopping

ROOT = pathlib.Path(__file__).parent.parent


def test_the_line_says_which_signal_and_where_it_goes_on(signalled, tmp_path):
    assert stopping.line() == 'interrupted: nothing to save yet'
    signalled()
    run = tmp_path / 'sweep' / 'run'
    with stopping.resumable(tmp_path / 'sweep', 'the same command'), stopping.resumable(run, 'another'):
        assert stopping.line() == 'stopped by SIGTERM: nothing to save yet'  # nothing is there
        run.mkdir(parents=True)
        for name in ('.lock', '.12.partial.config.json'):
            (run / name).touch()
            (tmp_path / 'sweep' / name).touch()
        # The folder of the sweep holds the run's, and the run's nothing that could be gone on with.
        assert stopping.line().startswith(f'stopped by SIGTERM: what is done is saved in {tmp_path / "sweep"};')
        (run / 'config.json').touch()
        assert stopping.line('step 3 of 9') == (
            f'stopped by SIGTERM: step 3 of 9 is saved in {run}; the same command goes on from there'
        )
    assert stopping.line('step 3 of 9') == 'stopped by SIGTERM: step 3 of 9 is saved'


def finish(*steps):
    """Calls the steps in a block that no signal ends."""
    with stopping.finishing():
        return [step() for step in steps]


def test_a_block_that_a_signal_does_not_end_is_ended_when_it_asks(signalled):
    done = []
    with pytest.raises(stopping.Stopped, match='nothing to save'):
        finish(signalled, lambda: done.append(stopping.asked()))
    assert done == [True]


def test_what_a_signal_may_end_at_any_moment_is_not_begun_after_one(signalled):
    done = []

    def reading():
        with stopping.interruptible(lambda: done.append('saved') or 'step 2'):
            done.append('read')

    with pytest.raises(stopping.Stopped, match='SIGTERM: step 2 is saved'):
        finish(reading, signalled, reading)
    assert done == ['read', 'saved']


def test_in_a_python_call_ctrl_c_is_put_off_and_the_second_is_pythons_own():
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest may itself run where it is ignored
    ctrl_c, noted = functools.partial(signal.raise_signal, signal.SIGINT), []
    try:
        with pytest.raises(stopping.Stopped, match='interrupted'):
            finish(ctrl_c, lambda: noted.append(stopping.asked()))
        with pytest.raises(KeyboardInterrupt) as twice:
            finish(ctrl_c, ctrl_c)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert noted == [True]
    assert not stopping.asked()
    assert not isinstance(twice.value, stopping.Stopped)


def test_other_threads_put_nothing_off():
    failed = []

    def block():
        with stopping.finishing():
            failed.append(stopping.asked())

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert failed == [False]


# A minute in C, which hears of no signal: as XLA at its compilations.
_WORKS = """
import signal, sys, time
from jtransfer import stopping
def finishing():
    with stopping.finishing():
        print('ready', flush=True)
        while not stopping.asked():
            time.sleep(0.01)
        stopping.stop('step 1')
def saving():
    with stopping.finishing(), stopping.interruptible(lambda: 'step 2'):
        anywhere()
def anywhere():
    print('ready', flush=True)
    time.sleep(60)
def failing():
    def save():
        raise OSError('the disk is full')
    with stopping.finishing(), stopping.interruptible(save):
        anywhere()
def diverged():
    def save():
        from jtransfer.errors import TrainingDivergedError
        raise TrainingDivergedError('NaN')
    with stopping.finishing(), stopping.interruptible(save):
        anywhere()
def writing():
    from jtransfer.files.writing import atomic_path, temporary_folder
    with atomic_path('a.txt') as partial, temporary_folder(beside=partial) as folder:
        partial.touch()
        (folder / 'b').touch()
        anywhere()
def done():
    pass
def twice():
    with stopping.finishing():
        anywhere()
# Under nohup, SIGHUP is ignored, and stays so.
for number in stopping.SIGNALS:
    signal.signal(number, signal.SIG_DFL)
stopping.work(globals()[sys.argv[1]])
anywhere()  # Python takes its time to end
"""


def ended(number, how, *, again=False):
    """Status and standard error of a process that gets a signal when it is ready, or several."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
    with subprocess.Popen([sys.executable, '-c', _WORKS, how], text=True, env=environment, **pipes) as process:
        assert process.stdout.readline() == 'ready\n'
        process.send_signal(number)
        while again and process.poll() is None:
            time.sleep(0.1)
            process.send_signal(number)
        return process.wait(timeout=30), process.stderr.read()


@pytest.mark.parametrize(
    ('number', 'how', 'expected'),
    [
        (signal.SIGTERM, 'finishing', (143, 'stopped by SIGTERM: step 1 is saved\n')),
        (signal.SIGHUP, 'saving', (129, 'stopped by SIGHUP: step 2 is saved\n')),
        (signal.SIGTERM, 'anywhere', (143, 'stopped by SIGTERM: nothing to save yet\n')),
        (
            signal.SIGTERM,
            'failing',
            (143, 'stopped by SIGTERM: nothing to save yet; the last steps are lost: the disk is full\n'),
        ),
        (signal.SIGTERM, 'diverged', (3, 'training stopped: NaN\n')),
        (signal.SIGTERM, 'done', (0, '')),
    ],
)
def test_a_process_that_gets_a_signal(number, how, expected):
    assert ended(number, how) == expected


def test_what_is_begun_and_not_whole_goes_with_the_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ended(signal.SIGTERM, 'writing')[0] == 143
    assert os.listdir(tmp_path) == []


def test_a_second_signal_ends_the_process_at_once():
    status, told = ended(signal.SIGTERM, 'twice', again=True)
    assert (status, told) == (-signal.SIGTERM, '')
