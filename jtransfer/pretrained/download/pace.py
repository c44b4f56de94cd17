"""An answer of a web server that is given up when it dribbles: a byte now and then keeps any timeout from running out.

It is read in a thread, whose progress the caller watches: a read of the network cannot be told to end by a given time.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests

# Seconds in which so many bytes must arrive, and in which an answer must begin.
WINDOW = 60.0
LEAST = 60 * 2**10
# Small: what has arrived of a chunk is not known before the whole of it has.
_CHUNK = 2**14
_AHEAD = 16  # chunks


class TooSlowError(Exception):
    """Hardly anything arrives; the message says how little."""

    def __init__(self) -> None:
        """Takes the limits as they are."""
        super().__init__(f'fewer than {LEAST:,} bytes arrived in {WINDOW:g} seconds')


@contextmanager
def answer(
    url: str, headers: Mapping[str, str], timeouts: tuple[int | float, int | float]
) -> Iterator[tuple[requests.Response, Iterator[tuple[bytes, int]]]]:
    """Asks for a file.

    Args:
        url: http or https.
        headers: of the request.
        timeouts: seconds to connect, and without a byte.

    Yields:
        The answer, and what gives its content piece by piece, each with the number of bytes that arrived so far (fewer
        than there are where the server has compressed them).

    Raises:
        TooSlowError: the answer does not begin, or hardly goes on.
        requests.RequestException: anything else about the network.
    """
    arrived: queue.Queue[Any] = queue.Queue(_AHEAD)
    wanted, stop = threading.Event(), threading.Event()
    opened: list[requests.Response] = []

    def give(item: Any) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                arrived.put(item, timeout=0.1)
                return

    def read() -> None:
        try:
            with requests.get(url, headers=dict(headers), stream=True, timeout=timeouts) as response:
                opened.append(response)
                give(response)
                wanted.wait()
                if not stop.is_set():
                    for chunk in response.iter_content(_CHUNK):
                        give((chunk, response.raw.tell()))
                        if stop.is_set():
                            return
            give(None)
        except Exception as error:
            give(error)

    def chunks() -> Iterator[tuple[bytes, int]]:
        wanted.set()
        left, count = WINDOW, 0
        while True:
            began = time.monotonic()
            item = _take(arrived, left)
            # Only what is waited for counts: a slow disk is not the server's fault.
            left -= time.monotonic() - began
            if isinstance(item, tuple):
                count += len(item[0])
            if left <= 0 and item is not None:
                if count < LEAST:
                    raise TooSlowError
                left, count = WINDOW, 0
            if item is None:
                return
            if item is not _NOTHING:
                yield item

    threading.Thread(target=read, name='download', daemon=True).start()
    try:
        response = _take(arrived, WINDOW)
        if response is _NOTHING:
            raise TooSlowError
        yield response, chunks()
    finally:
        stop.set()
        wanted.set()
        for response in opened:
            # Wakes a thread that waits for the next byte; urllib3 has it since 2.3.
            with contextlib.suppress(Exception):
                response.raw.shutdown()


_NOTHING = object()


def _take(arrived: queue.Queue[Any], seconds: float) -> Any:
    """What the thread gives, its errors raised; `_NOTHING` if there is none in time."""
    try:
        item = arrived.get(timeout=max(0.0, seconds))
    except queue.Empty:
        return _NOTHING
    if isinstance(item, Exception):
        raise item
    return item
