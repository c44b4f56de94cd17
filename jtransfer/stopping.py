"""Ending early when a signal asks for it: what was computed is saved, one line says where, and the status says why.

A script works in a thread of its own while the main thread waits for signals (`work`), so that they are heard at once,
whatever is going on: imports, XLA compiling for minutes, a reader that waits for a disk. What a signal does depends on
the block that the work is in:

- in none of these, there is nothing to save, and the process ends at once;
- in `finishing`, the work goes on until it asks (`asked`), saves, and raises `Stopped`: a training step is such work;
- in `interruptible` within it, nothing is changing, and the main thread saves and ends the process.

A second signal ends the process at once, unless it comes together with the first. The process ends without Python's
teardown: that unwinds by force whichever thread comes back from XLA meanwhile, which aborts or is a segmentation fault.

Python calls that no script has started have no such thread. There `finishing` puts Ctrl-C off until the work asks, and
`Stopped` is a `KeyboardInterrupt`; a second one is Python's own.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from jtransfer.errors import TrainingDivergedError
from jtransfer.files.writing import drop_unfinished, is_partial
from jtransfer.text.outside import printable

SIGNALS = tuple(getattr(signal, name) for name in ('SIGINT', 'SIGTERM', 'SIGHUP') if hasattr(signal, name))

_AT_ONCE = 0.3  # seconds

Save = Callable[[], str]


class Stopped(KeyboardInterrupt):
    """A signal has ended the work, and what can be saved is saved; the message is the line that says so."""


class _Work:
    """What the main thread knows of the work, and the work of signals; one a process, as signals are.

    Attributes:
        signal: that arrived first; None as long as none has.
        heard: whether `work` or `listen` is what hears signals, and not Python.
        save: of the innermost block. None: there is nothing to save. `_not_now`: the work will ask.
        kept: folders that hold what is done, with how it goes on; of blocks within one another, the outermost first.
        lock: held by the work where it enters or leaves a block, by the main thread from a signal to the end.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.heard = False
        self.save: Save | None = None
        self.kept: list[tuple[Path, str]] = []
        self.lock = threading.Lock()


def _not_now() -> str:
    raise AssertionError('a step is being made')


_WORK = _Work()


def asked() -> bool:
    """Whether a signal has asked the work to end; what asks then saves, and calls `stop`."""
    return _WORK.signal is not None


def stop(saved: str = '') -> NoReturn:
    """Raises `Stopped`.

    Args:
        saved: what has just been saved (`step 12 of 30`). Empty: nothing more than was there.
    """
    raise Stopped(line(saved))


def line(saved: str = '') -> str:
    """What a person is told: which signal, what is saved, where, and how it goes on."""
    number = _WORK.signal
    what = 'interrupted' if number in (None, signal.SIGINT) else f'stopped by {signal.Signals(number).name}'
    kept = [(folder, how) for folder, how in _WORK.kept if _holds_anything(folder)]
    if not kept:
        return f'{what}: {saved} is saved' if saved else f'{what}: nothing to save yet'
    # Where: the run that was at work. How: of the sweep, search or cross-validation that it belongs to.
    return f'{what}: {saved or "what is done"} is saved in {kept[-1][0]}; {kept[0][1]} goes on from there'


def _holds_anything(folder: Path) -> bool:
    """Besides locks and what is only begun."""
    return folder.is_dir() and not all(e.name.endswith('.lock') or is_partial(e.name) for e in folder.iterdir())


@contextlib.contextmanager
def resumable(folder: str | Path, how: str = 'the same command') -> Iterator[None]:
    """A block whose results are in a folder, as soon as there is something in it.

    Args:
        folder: where.
        how: what a person does to go on with it.
    """
    _WORK.kept.append((Path(folder), how))
    try:
        yield
    finally:
        _WORK.kept.pop()


@contextlib.contextmanager
def finishing() -> Iterator[None]:
    """A block that a signal does not end: it asks between its steps.

    Raises:
        Stopped: a signal arrived after it asked for the last time.
    """
    with _ctrl_c_put_off():
        with _WORK.lock:
            before, _WORK.save = _WORK.save, _not_now
        try:
            yield
            if asked():
                stop()
        finally:
            with _WORK.lock:
                _WORK.save = before


@contextlib.contextmanager
def interruptible(save: Save) -> Iterator[None]:
    """A block within `finishing` that a signal may end at any moment, for what is saved does not change in it.

    Args:
        save: saves it, from another thread while the block goes on, and says what it is (`step 12 of 30`).

    Raises:
        Stopped: a signal had arrived before.
    """
    with _WORK.lock:
        before, _WORK.save = _WORK.save, save
    try:
        if asked():
            stop(save())
        yield
    finally:
        # Where the main thread is saving, this waits until the process ends.
        with _WORK.lock:
            _WORK.save = before


def listen() -> None:
    """From now on a signal ends the process in one line, until `work` knows better; in the main thread alone.

    What is ignored stays ignored: SIGHUP under nohup, SIGINT in the background of a shell script.
    """
    _hear(_arrived)
    _WORK.heard = True


def work(function: Callable[[], None]) -> None:
    """Calls a function in a thread of its own while this, the main thread, listens to signals.

    Processes that the function starts hear none of these signals: on a terminal Ctrl-C is for them too, and they must
    live until the step is finished. They have to end with this process by themselves.

    Args:
        function: whose exceptions are raised here; `Stopped` ends the process.
    """
    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            function()
        except BaseException as error:  # raised again in the main thread
            failed.append(error)

    listen()
    worker = threading.Thread(target=guarded, name='work', daemon=True)
    _start_deaf(worker)
    while worker.is_alive():
        worker.join(1.0)  # with a limit, for Windows hears nothing in a wait without one
    # What is done is done, and a signal finds nothing to stop any more.
    _hear(signal.SIG_DFL if failed else _done)
    if failed and isinstance(failed[0], Stopped):
        leave(str(failed[0]), 128 + (_WORK.signal or signal.SIGINT))
    if failed:
        raise failed[0]


def leave(text: str, status: int) -> NoReturn:
    """Says a line on standard error and ends the process, whatever its threads are doing."""
    drop_unfinished()
    with contextlib.suppress(OSError, ValueError, AttributeError):  # what is closed is None
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        # A progress bar may have hidden the cursor.
        begin = '\x1b[?25h\r\x1b[K' if sys.stderr.isatty() else ''
        sys.stderr.write(f'{begin}{printable(text)}\n')
        sys.stderr.flush()
    os._exit(status)


def _arrived(number: int, frame: FrameType | None) -> None:
    """The first signal."""
    del frame
    _hear(functools.partial(_again, time.monotonic()))
    with _WORK.lock:
        _WORK.signal = number
        if _WORK.save is _not_now:
            return
        try:
            text = line(_WORK.save() if _WORK.save else '')
        except TrainingDivergedError as error:
            leave(f'training stopped: {error}', 3)
        except Exception as error:
            text = f'{line()}; the last steps are lost: {" ".join(str(error).split())}'
        leave(text, 128 + number)


def _done(number: int, frame: FrameType | None) -> None:
    """A signal after the work: the end, which Python is preparing, comes at once."""
    del number, frame
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    os._exit(0)


def _again(first: float, number: int, frame: FrameType | None) -> None:
    """A second signal. What closes a terminal or stops a container often sends two at once, which are meant as one."""
    del frame
    if time.monotonic() - first > _AT_ONCE:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def _hear(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


@contextlib.contextmanager
def _ctrl_c_put_off() -> Iterator[None]:
    """In a Python call: the first Ctrl-C of the block is noted, the second raises `KeyboardInterrupt`."""

    def note(number: int, frame: FrameType | None) -> None:
        if asked():
            signal.default_int_handler(number, frame)
        _WORK.signal = number

    mine = threading.current_thread() is threading.main_thread() and not _WORK.heard
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _WORK.signal = None


def _start_deaf(thread: threading.Thread) -> None:
    """Starts a thread that the signals do not reach, nor the threads and processes that it starts."""
    if not hasattr(signal, 'pthread_sigmask'):
        thread.start()
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
