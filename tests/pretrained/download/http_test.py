"""A download is gone on with where it was cut, never joined from two files, and fails in one clear line."""

import contextlib
import errno
import gzip
import io
import os
import shutil
import socket
import threading
import time

import pytest
import requests

from jtransfer.errors import UserError
from jtransfer.pretrained.download import http, pace
from jtransfer.pretrained.download.http import download_part
from jtransfer.text.terminal import PlainConsole
from tests.pretrained.local_server import serve

CONTENT = bytes(range(256)) * 4096
HALF = len(CONTENT) // 2


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch):
    monkeypatch.setattr(time, 'sleep', lambda seconds: None)
    for name in ('NO_PROXY', 'no_proxy'):
        monkeypatch.setenv(name, '127.0.0.1,localhost')


@pytest.fixture(scope='module')
def _running():
    with serve() as server:
        yield server


@pytest.fixture
def server(_running):
    _running.clear()
    return _running


@pytest.fixture
def place(tmp_path):
    return tmp_path / 'w.bin'


def refusal(url, place):
    with pytest.raises(UserError) as caught:
        download_part(url, place)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def answers(server):
    """Whether a range was asked for, and the status, request by request."""
    return [(bool(request.range), request.status) for request in server.requests]


def start(server, place, **behaviour):
    """Leaves a part of a file there, as an unlucky call does, and returns the URL."""
    refusal(server.add('/w.bin', CONTENT, cuts=[HALF, 0, 0, 0, 0], **behaviour), place)
    url = server.add('/w.bin', CONTENT, **behaviour)
    server.requests.clear()
    return url


def test_a_cut_is_gone_on_with(server, place):
    url = server.add('/w.bin', CONTENT, cuts=[HALF, HALF // 2])
    part = download_part(url, place)
    assert part.read_bytes() == CONTENT
    assert answers(server) == [(False, 200), (True, 206), (True, 206)]
    assert [path.name for path in place.parent.iterdir()] == ['w.bin.part']


def test_many_cuts_with_something_in_between(server, place, monkeypatch):
    monkeypatch.setattr(pace, '_CHUNK', 2**12)
    url = server.add('/w.bin', CONTENT, cuts=[HALF // 8] * 10)
    assert download_part(url, place).read_bytes() == CONTENT
    assert len(server.requests) == 11


def test_a_cut_that_the_http_client_does_not_mind(server, place, monkeypatch):
    strict = requests.Response.iter_content

    # As with urllib3 before 2.0.
    def lenient(response, size):
        with contextlib.suppress(requests.exceptions.ChunkedEncodingError):
            yield from strict(response, size)

    monkeypatch.setattr(requests.Response, 'iter_content', lenient)
    url = server.add('/w.bin', CONTENT, cuts=[HALF])
    assert download_part(url, place).read_bytes() == CONTENT
    server.files['/w.bin'].cuts = [HALF] * 50
    place.with_name('w.bin.part').unlink()
    server.files['/w.bin'].ranges = False
    assert f'the connection was cut after {HALF:,} of {len(CONTENT):,} bytes; try again' in refusal(url, place)


def test_a_later_call_goes_on(server, place):
    url = start(server, place)
    left = place.with_name('w.bin.part').stat().st_size
    assert 0 < left < len(CONTENT)
    assert download_part(url, place).read_bytes() == CONTENT
    assert [request.range for request in server.requests] == [f'bytes={left}-']


@pytest.mark.parametrize(('if_range', 'expected'), [(True, [(True, 200)]), (False, [(True, 206), (False, 200)])])
@pytest.mark.parametrize('by', ['etag', 'modified'])
def test_a_file_that_changed_is_not_joined(server, place, if_range, expected, by):
    first, second = (
        ('"1"', '"2"') if by == 'etag' else ('Mon, 01 Jan 2024 00:00:00 GMT', 'Tue, 02 Jan 2024 00:00:00 GMT')
    )
    start(server, place, **({'etag': ''} | {by: first}))
    changed = bytes(reversed(CONTENT))
    url = server.add('/w.bin', changed, if_range=if_range, **({'etag': ''} | {by: second}))
    assert download_part(url, place).read_bytes() == changed
    assert answers(server) == expected


def test_a_server_without_ranges(server, place):
    url = start(server, place)
    server.files['/w.bin'].ranges = False
    assert download_part(url, place).read_bytes() == CONTENT
    assert answers(server) == [(True, 200)]


@pytest.mark.parametrize('etag', ['', 'W/"weak"'])
def test_nothing_tells_versions_apart(server, place, etag):
    url = start(server, place, etag=etag)
    assert download_part(url, place).read_bytes() == CONTENT
    assert answers(server) == [(False, 200)]


def test_a_range_that_was_not_asked_for(server, place):
    url = start(server, place)
    server.files['/w.bin'].shift = 1
    assert download_part(url, place).read_bytes() == CONTENT
    assert answers(server) == [(True, 206), (False, 200)]


@pytest.mark.parametrize(('more', 'expected'), [(b'', [(True, 416)]), (b'more', [(True, 416), (False, 200)])])
def test_as_much_as_the_file_is_there_or_more(server, place, more, expected):
    url = start(server, place)
    place.with_name('w.bin.part').write_bytes(CONTENT + more)
    assert download_part(url, place).read_bytes() == CONTENT
    assert answers(server) == expected


def test_a_server_that_never_gets_further_is_given_up(server, place):
    url = server.add('/w.bin', CONTENT, cuts=[HALF] * 50, shift=1)
    assert 'try again later' in refusal(url, place)
    assert len(server.requests) < 10


def test_a_length_that_is_not_known(server, place):
    url = server.add('/w.bin', CONTENT, chunked=True)
    assert download_part(url, place).read_bytes() == CONTENT


def test_an_empty_file(server, place):
    assert download_part(server.add('/w.bin', b''), place).read_bytes() == b''


def test_a_server_that_is_busy_for_a_while(server, place):
    url = server.add('/w.bin', CONTENT, statuses=[503, 429, 500])
    assert download_part(url, place).read_bytes() == CONTENT
    assert [status for _, status in answers(server)] == [503, 429, 500, 200]


def test_a_server_that_stays_busy(server, place):
    url = server.add('/w.bin', CONTENT, statuses=[503] * 50)
    assert refusal(url, place) == (
        f'{url}: the server answered 503 Service Unavailable; '
        f'try again later, or download it elsewhere and put it at {place}'
    )
    assert len(server.requests) == 1 + len(http._PAUSES)


@pytest.mark.parametrize('status', [404, 410])
def test_no_such_file(server, place, status):
    url = server.add('/w.bin', CONTENT, statuses=[status])
    assert refusal(url, place) == f'{url}: there is no such file on the server ({status})'
    assert len(server.requests) == 1


def test_not_for_everybody(server, place):
    url = server.add('/w.bin', CONTENT, statuses=[403])
    assert refusal(url, place) == (
        f'{url}: the server answered 403 Forbidden; download it elsewhere and put it at {place}'
    )
    assert len(server.requests) == 1


def test_nobody_listens(place):
    message = refusal('http://127.0.0.1:9/w.bin', place)
    assert message.startswith('http://127.0.0.1:9/w.bin: Connection refused; ')
    assert message.endswith(f'put it at {place}')


def test_no_such_host(place, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')

    monkeypatch.setattr(socket, 'getaddrinfo', unknown)
    assert refusal('http://weights.invalid/w.bin', place).startswith(
        'http://weights.invalid/w.bin: Name or service not known; '
    )


def test_a_server_that_says_nothing(server, place, monkeypatch):
    monkeypatch.setattr(http, '_TIMEOUTS', (5, 0.05))
    hold = threading.Event()
    url = server.add('/w.bin', CONTENT, hold=hold)
    message = refusal(url, place)
    hold.set()
    assert message.startswith(f'{url}: timed out; ')


def test_no_space_is_seen_before_anything_is_written(server, place, monkeypatch):
    url = start(server, place)
    part = place.with_name('w.bin.part')
    left = part.read_bytes()
    usage = shutil.disk_usage(place.parent)
    needed = len(CONTENT) - len(left)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(free=needed - 1))
    assert refusal(url, place) == (
        f'{url}: no space: {needed:,} bytes are needed in {place.parent}, {needed - 1:,} are free; '
        'make room, or set JTRANSFER_CACHE to a folder on a larger disk'
    )
    assert part.read_bytes() == left
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(free=needed))
    assert download_part(url, place).read_bytes() == CONTENT


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_is_left_with_room(server, place, monkeypatch, number):
    def full(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, 'fsync', full)
    url = server.add('/w.bin', CONTENT)
    assert f'no space: {len(CONTENT):,} bytes are needed in {place.parent}' in refusal(url, place)
    assert not list(place.parent.iterdir())


def test_other_failures_of_the_disk_are_the_callers(server, place, monkeypatch):
    def broken(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, 'fsync', broken)
    with pytest.raises(OSError, match='Input/output error'):
        download_part(server.add('/w.bin', CONTENT), place)


@pytest.mark.parametrize('terminal', [True, False])
@pytest.mark.parametrize('progress', [True, False])
def test_a_bar_on_a_terminal_only(server, place, monkeypatch, terminal, progress):
    output = io.StringIO()
    monkeypatch.setattr(
        http,
        'PlainConsole',
        lambda stderr: PlainConsole(file=output, force_terminal=terminal, width=100),
    )
    download_part(server.add('/w.bin', CONTENT), place, progress=progress)
    assert ('w.bin' in output.getvalue() and '1.0/1.0 MB' in output.getvalue()) == (terminal and progress)


def test_a_part_that_nobody_asked_for_is_no_file(server, place):
    url = server.add('/w.bin', CONTENT, unasked=True)
    assert 'the server sent a part of the file, which nobody asked for; try again later' in refusal(url, place)
    assert not list(place.parent.iterdir())


def test_a_rest_that_is_no_whole_rest_is_gone_on_with(server, place, monkeypatch):
    url = start(server, place)
    left = place.with_name('w.bin.part').stat().st_size
    # The server gives the rest in two pieces, each as if it were all.
    rest = server.files['/w.bin']
    rest.headers = {'Content-Range': f'bytes {left}-{left + 9}/{len(CONTENT)}', 'Content-Length': '10'}
    monkeypatch.setattr(time, 'sleep', lambda seconds: rest.headers.clear())
    assert download_part(url, place).read_bytes() == CONTENT


@pytest.mark.parametrize('status', [204, 226, 304])
def test_an_answer_without_a_file(server, place, status):
    url = server.add('/w.bin', CONTENT, statuses=[status] * 9)
    assert f'{url}: the server answered {status} ' in refusal(url, place)
    assert not list(place.parent.iterdir())


def test_a_size_beyond_the_limit_is_refused_by_its_statement(server, place):
    url = server.add('/w.bin', CONTENT, headers={'Content-Length': str(2**40)})
    assert refusal(url, place) == (
        f'{url}: the server states 1,099,511,627,776 bytes, more than the 68,719,476,736 allowed; '
        f'download it elsewhere and put it at {place} if they are meant'
    )
    assert not list(place.parent.iterdir())


@pytest.mark.parametrize('length', ['', '-1', 'x', '9' * 400])
def test_a_length_that_is_none(server, place, length):
    url = server.add('/w.bin', CONTENT, headers={'Content-Length': length}, cuts=[HALF] * 9)
    assert 'the server states a length that is none' in refusal(url, place)


def test_a_body_without_end(server, place, monkeypatch):
    monkeypatch.setattr(http, 'MAX_UNSTATED', 3 * len(CONTENT))
    url = server.add('/w.bin', CONTENT, endless=True)
    assert refusal(url, place) == (
        f'{url}: more than {3 * len(CONTENT):,} bytes came without an end being stated; '
        f'download it elsewhere and put it at {place} if they are meant'
    )
    assert not list(place.parent.iterdir())


def test_what_swells_when_it_is_unpacked(server, place, monkeypatch):
    encoded = {'headers': {'Content-Encoding': 'gzip'}}
    url = server.add('/w.bin', gzip.compress(CONTENT), **encoded)
    assert download_part(url, place).read_bytes() == CONTENT
    monkeypatch.setattr(http, '_ALWAYS_SWELLS', 2**20)
    place.with_name('w.bin.part').unlink()
    url = server.add('/w.bin', gzip.compress(bytes(2**25)), **encoded)
    assert 'when they were unpacked (a decompression bomb?); download it elsewhere' in refusal(url, place)
    assert not list(place.parent.iterdir())


@pytest.mark.parametrize('dribble', ['body', 'nothing'])
def test_a_server_that_dribbles_is_given_up(server, place, monkeypatch, dribble):
    monkeypatch.undo()  # it sleeps in earnest
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setattr(pace, 'WINDOW', 0.3)
    hold = threading.Event()
    behaviour = {'dribble': 0.01} if dribble == 'body' else {'hold': hold}
    url = server.add('/w.bin', CONTENT, **behaviour)
    began = time.monotonic()
    assert refusal(url, place) == (
        f'{url}: fewer than 61,440 bytes arrived in 0.3 seconds; '
        f'try again later, or download it elsewhere and put it at {place} (what has arrived is kept)'
    )
    hold.set()
    assert time.monotonic() - began < 3
    server.files['/w.bin'].dribble = 0
    assert download_part(url, place).read_bytes() == CONTENT


def test_a_server_that_cuts_after_every_byte_is_given_up(server, place):
    url = server.add('/w.bin', CONTENT, cuts=[1] * 50)
    assert 'try again later' in refusal(url, place)
    assert len(server.requests) == 1 + len(http._PAUSES)


@pytest.mark.parametrize('etag', [b'', b'\xff\xfe', b'"a"\r\nHost: x', b'\0' * 10])
def test_a_damaged_note_of_the_version_starts_the_file_anew(server, place, etag):
    url = start(server, place)
    place.with_name('w.bin.part.etag').write_bytes(etag)
    assert download_part(url, place).read_bytes() == CONTENT
    assert answers(server) == [(False, 200)]
