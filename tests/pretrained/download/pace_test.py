"""What arrives too slowly is given up, however it keeps timeouts from running out."""

import threading
import time

import pytest
import requests

from jtransfer.pretrained.download import pace
from jtransfer.pretrained.download.pace import TooSlowError, answer
from tests.pretrained.local_server import serve

CONTENT = bytes(2**17)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')


@pytest.fixture(scope='module')
def server():
    with serve() as running:
        yield running


def test_everything_arrives_in_order(server):
    with answer(server.add('/a', CONTENT, etag='"a"'), {'X': 'y'}, (5, 5)) as (response, chunks):
        assert response.headers['ETag'] == '"a"'
        pieces = list(chunks)
    assert b''.join(piece for piece, _ in pieces) == CONTENT
    assert pieces[-1][1] == len(CONTENT)


def test_an_error_of_the_network_is_the_callers():
    with pytest.raises(requests.ConnectionError), answer('http://127.0.0.1:9/a', {}, (5, 5)):
        pass


def test_a_body_that_dribbles_and_its_thread_are_ended(server, monkeypatch):
    monkeypatch.setattr(pace, 'WINDOW', 0.2)
    url = server.add('/a', CONTENT, dribble=0.02)
    with (
        pytest.raises(TooSlowError, match=r'fewer than 61,440 bytes arrived in 0\.2 seconds'),
        answer(url, {}, (5, 5)) as (_, chunks),
    ):
        list(chunks)
    end = time.monotonic() + 5
    while any(thread.name == 'download' for thread in threading.enumerate()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(thread.name == 'download' for thread in threading.enumerate())


def test_an_answer_that_is_not_begun(server, monkeypatch):
    monkeypatch.setattr(pace, 'WINDOW', 0.1)
    hold = threading.Event()
    # Nothing at all is sent before that.
    monkeypatch.setattr(server, 'verify_request', lambda *_: hold.wait(5))
    with pytest.raises(TooSlowError), answer(server.add('/a', CONTENT), {}, (5, 5)):
        pass
    hold.set()


def test_a_reader_that_takes_its_time_is_not_the_servers_fault(server, monkeypatch):
    monkeypatch.setattr(pace, 'WINDOW', 0.1)
    monkeypatch.setattr(pace, '_AHEAD', 1)
    count = 0
    with answer(server.add('/a', CONTENT), {}, (5, 5)) as (_, chunks):
        for piece, _ in chunks:
            count += len(piece)
            time.sleep(0.03)
    assert count == len(CONTENT)
