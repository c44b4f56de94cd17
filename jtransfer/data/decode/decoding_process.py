"""What a decoding process does before it decodes: it sees to it that it ends with the process it works for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing import connection


def begin(index: int, count: int) -> None:
    """For `worker_init_fn` of Grain.

    The process that it works for may be killed, and then tells nobody. Ctrl-C on a terminal reaches this one as well,
    which must go on until the step that is being made has its pictures.

    Args:
        index: of this process, unused.
        count: how many there are, unused.
    """
    del index, count
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name='end-with-parent', daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])  # a pipe that the system closes with the parent, however that ends
        os._exit(1)
