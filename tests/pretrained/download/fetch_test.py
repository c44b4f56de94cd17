"""Files from the hub and from URLs, against a local server: whole, once, or one clear line."""

import errno
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import are_progress_bars_disabled

from jtransfer.errors import UserError
from jtransfer.pretrained.download import fetch
from jtransfer.pretrained.download.fetch import fetch_hub, fetch_url
from tests.pretrained.local_server import COMMIT, serve

ROOT = pathlib.Path(__file__).parent.parent.parent.parent
CONTENT = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENT).hexdigest()
REPO = 'owner/name'
FILE = 'model.safetensors'
WORKER = """
import sys
from jtransfer.errors import UserError
from jtransfer.pretrained.download.fetch import fetch_hub, fetch_url
print('ready', flush=True)
for line in sys.stdin:
    try:
        print(eval(line).path, flush=True)
    except UserError as error:
        print('UserError', error, flush=True)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> pathlib.Path:
    monkeypatch.setenv('JTRANSFER_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('HF_HOME', str(tmp_path / 'hf'))
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hf' / 'hub'))
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    for name in ('NO_PROXY', 'no_proxy'):
        monkeypatch.setenv(name, '127.0.0.1,localhost')
    return tmp_path / 'cache'


@pytest.fixture(scope='module')
def _running():
    with serve() as server:
        yield server


@pytest.fixture
def server(_running):
    _running.clear()
    return _running


@pytest.fixture
def no_waiting(monkeypatch):
    monkeypatch.setattr(time, 'sleep', lambda seconds: None)


@pytest.fixture
def worker():
    """Starts a process that evaluates a call a line, once it has imported everything."""
    workers = []

    def start(**environment):
        process = subprocess.Popen(
            [sys.executable, '-c', WORKER],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        workers.append(process)
        assert process.stdout.readline() == 'ready\n'
        return process

    yield start
    for process in workers:
        process.kill()
        process.communicate()


def ask(process, call):
    process.stdin.write(f'{call}\n')


def line(process):
    return process.stdout.readline().rstrip('\n')


def refusal(call, *arguments, **settings):
    with pytest.raises(UserError) as caught:
        call(*arguments, **settings)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def place_of(server, cache, name='w.bin'):
    return cache / f'127.0.0.1_{server.server_port}' / name


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != '.lock')


def test_the_cache_is_where_the_environment_says(monkeypatch, cache):
    assert fetch.cache_dir() == cache
    monkeypatch.delenv('JTRANSFER_CACHE')
    assert fetch.cache_dir() == pathlib.Path.home() / '.cache/jtransfer/weights'


def test_a_url_is_downloaded_once(server, cache):
    url = server.add('/bucket/w.bin', CONTENT)
    fetched = fetch_url(url, sha256=DIGEST)
    assert fetched == fetch.Fetched(place_of(server, cache, 'bucket/w.bin'), '')
    assert fetched.path.read_bytes() == CONTENT
    assert fetch_url(url, sha256=DIGEST) == fetched
    assert len(server.requests) == 1
    assert names(fetched.path.parent) == ['w.bin']


def test_nothing_is_said_where_there_is_no_terminal(server, worker):
    process = worker()
    output, said = process.communicate(f"fetch_url('{server.add('/w.bin', CONTENT)}')\n")
    assert output.strip().endswith('w.bin')
    assert said == ''


def test_the_file_is_readable_as_other_files_are(server, tmp_path):
    (tmp_path / 'plain').touch()
    fetched = fetch_url(server.add('/w.bin', CONTENT))
    assert fetched.path.stat().st_mode == (tmp_path / 'plain').stat().st_mode


def test_a_bucket(server, cache, monkeypatch):
    monkeypatch.setattr(fetch, '_BUCKETS', f'{server.url}/')
    server.add('/bucket/a%20b.npz', b'PK\3\4' + CONTENT)
    fetched = fetch_url('gs://bucket/a b.npz')
    assert fetched.path == place_of(server, cache, 'bucket/a%20b.npz')
    assert fetched.path.read_bytes() == b'PK\3\4' + CONTENT


def test_addresses_that_differ_in_their_query_are_different_files(server):
    paths = {fetch_url(server.add(f'/w.bin{query}', CONTENT)).path for query in ('', '?version=1', '?version=2')}
    assert len(paths) == 3


def test_a_name_in_the_cache(server, cache):
    assert fetch_url(server.add('/w.bin', CONTENT), filename='vit/B_16.pth2').path == cache / 'vit' / 'B_16.pth2'


@pytest.mark.parametrize('filename', ['/etc/x', '../x', 'a/../../x'])
def test_a_name_outside_the_cache_is_refused(server, filename):
    assert 'leaves the cache' in refusal(fetch_url, server.add('/w.bin', CONTENT), filename=filename)
    assert not server.requests


@pytest.mark.parametrize('url', ['w.bin', 'ftp://host/w.bin', 'https://host', 'https://host/folder/', 'gs://', ''])
def test_what_is_no_address_of_a_file(url):
    message = refusal(fetch_url, url, filename='x')
    assert message.endswith('is no address of a file; expected https://host/path or gs://bucket/key')


@pytest.mark.parametrize('sha256', [DIGEST, DIGEST[:8], DIGEST.upper()])
def test_a_checksum_or_its_beginning(server, sha256):
    url = server.add('/w.bin', CONTENT)
    assert fetch_url(url, sha256=sha256).path.read_bytes() == CONTENT


@pytest.mark.parametrize('sha256', ['abc', 'sha256:' + DIGEST, DIGEST + '0', 'g' * 8])
def test_what_is_no_checksum(server, sha256):
    assert 'hexadecimal' in refusal(fetch_url, server.add('/w.bin', CONTENT), sha256=sha256)


@pytest.mark.parametrize('length', [8, 64])
def test_a_wrong_checksum_leaves_nothing_behind(server, cache, length):
    url = server.add('/w.bin', b'not the file')
    actual = hashlib.sha256(b'not the file').hexdigest()
    message = refusal(fetch_url, url, sha256=DIGEST[:length])
    assert f'{url}: the download has sha256 {actual}, expected {DIGEST[:length]}; try again' in message
    assert names(cache / f'127.0.0.1_{server.server_port}') == []
    server.add('/w.bin', CONTENT)
    assert fetch_url(url, sha256=DIGEST[:length]).path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('w.bin', b'\n<!DOCTYPE html><title>Log in</title>', 'is an HTML page'),
        ('w.bin', b'', 'is empty'),
        ('w.npz', CONTENT, r'is no .npz file by its first bytes'),
    ],
)
def test_what_is_no_such_file_never_enters_the_cache(server, cache, name, content, message):
    url = server.add(f'/{name}', content)
    said = refusal(fetch_url, url)
    assert f'{url}: the download {message}; check the URL (a login may be needed), or download it elsewhere' in said
    assert names(cache / f'127.0.0.1_{server.server_port}') == []
    place_of(server, cache, name).write_bytes(content)
    assert refusal(fetch_url, url) == f'{place_of(server, cache, name)} {message}; delete it to download {url} again'


def test_a_file_put_there_by_hand(server, cache):
    place = place_of(server, cache)
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    assert fetch_url(f'{server.url}/w.bin', sha256=DIGEST).path == place
    place.write_bytes(b'another file')
    message = refusal(fetch_url, f'{server.url}/w.bin', sha256=DIGEST)
    assert message.startswith(f'{place}: its sha256 is {hashlib.sha256(b"another file").hexdigest()}, expected')
    assert place.read_bytes() == b'another file'
    assert not server.requests


def test_offline_what_is_cached_is_found(server, cache, monkeypatch):
    url = server.add('/w.bin', CONTENT)
    fetched = fetch_url(url)
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    assert fetch_url(url) == fetched
    message = refusal(fetch_url, server.add('/other.bin', CONTENT))
    place = place_of(server, cache, 'other.bin')
    assert message == (
        f'{server.url}/other.bin: not in the cache, and HF_HUB_OFFLINE is set; '
        f'download it elsewhere and put it at {place}'
    )
    assert len(server.requests) == 1


def test_a_cache_that_is_no_folder(server, tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('JTRANSFER_CACHE', str(tmp_path / 'file'))
    message = refusal(fetch_url, server.add('/w.bin', CONTENT))
    assert 'cannot be written or read' in message
    assert 'JTRANSFER_CACHE' in message


def test_two_processes_download_a_url_once(server, worker):
    hold = threading.Event()
    url = server.add('/w.bin', CONTENT, hold=hold)
    workers = [worker(), worker()]
    for process in workers:
        ask(process, f'fetch_url({url!r}, sha256={DIGEST!r})')
    # Without a lock there would be a second request by now.
    _wait(lambda: server.gets('/w.bin'))
    _wait(lambda: len(server.gets('/w.bin')) > 1, seconds=0.5)
    hold.set()
    first, second = map(line, workers)
    assert first == second
    assert pathlib.Path(first).read_bytes() == CONTENT
    assert len(server.gets('/w.bin')) == 1


def test_what_a_killed_process_left_is_gone_on_with(server, cache, worker):
    hold = threading.Event()
    url = server.add('/w.bin', CONTENT, hold=hold, hold_after=len(CONTENT) // 2)
    process = worker()
    ask(process, f'fetch_url({url!r})')
    part = place_of(server, cache, 'w.bin.part')
    _wait(lambda: part.exists() and part.stat().st_size)
    process.kill()
    process.wait()
    hold.set()
    left = part.stat().st_size
    assert fetch_url(url).path.read_bytes() == CONTENT
    assert [(get.range, get.status) for get in server.gets('/w.bin')] == [('', 200), (f'bytes={left}-', 206)]


@pytest.mark.parametrize('revision', ['', 'main', COMMIT])
def test_the_hub(server, revision):
    place = server.add_large(REPO, f'deep/er/{FILE}', CONTENT)
    fetched = fetch_hub(REPO, f'deep/er/{FILE}', revision=revision, endpoint=server.url)
    assert fetched.revision == COMMIT
    assert fetched.path.name == FILE
    assert fetched.path.read_bytes() == CONTENT
    assert fetch_hub(REPO, f'deep/er/{FILE}', revision=revision, endpoint=server.url) == fetched
    assert len(server.gets(place)) == 1


def test_a_commit_that_is_cached_needs_no_hub(server):
    server.add_large(REPO, FILE, CONTENT)
    fetched = fetch_hub(REPO, FILE, endpoint=server.url)
    before = len(server.requests)
    assert fetch_hub(REPO, FILE, revision=COMMIT, endpoint=server.url) == fetched
    assert len(server.requests) == before


def test_a_cut_download_from_the_hub_is_gone_on_with(server, monkeypatch, no_waiting):
    monkeypatch.setattr(constants, 'DOWNLOAD_CHUNK_SIZE', 2**16)
    place = server.add_large(REPO, FILE, CONTENT, cuts=[len(CONTENT) // 2, len(CONTENT) // 4])
    assert fetch_hub(REPO, FILE, endpoint=server.url).path.read_bytes() == CONTENT
    first, *others = server.gets(place)
    assert first.range == ''
    assert [get.status for get in others] == [206, 206]


def test_a_hub_that_cuts_every_time(server, monkeypatch, no_waiting):
    server.add_large(REPO, FILE, CONTENT, cuts=[0] * 50)
    message = refusal(fetch_hub, REPO, FILE, endpoint=server.url)
    assert message.startswith(f'{REPO}/{FILE}: the download failed: ')


def test_two_processes_download_from_the_hub_once(server, worker):
    hold = threading.Event()
    place = server.add_large(REPO, FILE, CONTENT, hold=hold)
    workers = [worker(HF_ENDPOINT=server.url), worker(HF_ENDPOINT=server.url)]
    for process in workers:
        ask(process, f'fetch_hub({REPO!r}, {FILE!r})')
    _wait(lambda: len([request for request in server.requests if request.status == 302]) > 1)
    _wait(lambda: len(server.gets(place)) > 1, seconds=0.5)
    hold.set()
    first, second = map(line, workers)
    assert first == second
    assert pathlib.Path(first).read_bytes() == CONTENT
    assert len(server.gets(place)) == 1


def test_the_environment_says_offline(server, cache, worker):
    server.add_small(REPO, FILE, CONTENT)
    cached = fetch_hub(REPO, FILE, endpoint=server.url)
    before = len(server.requests)
    process = worker(HF_ENDPOINT=server.url, HF_HUB_OFFLINE='1')
    ask(process, f'fetch_hub({REPO!r}, {FILE!r})')
    assert line(process) == str(cached.path)
    ask(process, f"fetch_hub({REPO!r}, 'other', missing_ok=True)")
    assert line(process) == (
        f'UserError {REPO}/other: not in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set; '
        f'download {server.url}/{REPO}/resolve/main/other elsewhere and give the path of that file instead'
    )
    url = server.add('/w.bin', CONTENT)
    ask(process, f'fetch_url({url!r})')
    assert line(process).endswith(
        f'HF_HUB_OFFLINE is set; download it elsewhere and put it at {place_of(server, cache)}'
    )
    assert len(server.requests) == before


def test_a_hub_that_cannot_be_reached(server, no_waiting):
    server.add_small(REPO, FILE, CONTENT)
    cached = fetch_hub(REPO, FILE, endpoint=server.url)
    assert fetch_hub(REPO, FILE, endpoint='http://127.0.0.1:9') == cached
    message = refusal(fetch_hub, REPO, 'other', endpoint='http://127.0.0.1:9')
    assert (
        'http://127.0.0.1:9: Connection refused; download http://127.0.0.1:9/owner/name/resolve/main/other' in message
    )


def test_a_hub_that_is_down(server, no_waiting):
    server.refusals[REPO] = (503, '')
    assert f'{server.url}: the server answered 503 Service Unavailable; download' in refusal(
        fetch_hub, REPO, FILE, endpoint=server.url
    )


def test_what_the_hub_does_not_have(server):
    server.add_small(REPO, FILE, CONTENT)
    hub = server.url
    assert f'{hub} has no repository no/such, or it is private' in refusal(fetch_hub, 'no/such', FILE, endpoint=hub)
    assert f"owner/name has no file 'x/y'; see {hub}/owner/name/tree/main" in refusal(
        fetch_hub, REPO, 'x/y', endpoint=hub
    )
    assert "owner/name/model.safetensors at v9: owner/name has no revision 'v9'" in refusal(
        fetch_hub, REPO, FILE, revision='v9', endpoint=hub
    )
    assert "'a/b/c' names no repository of the hub" in refusal(fetch_hub, 'a/b/c', FILE, endpoint=hub)


@pytest.mark.parametrize(
    ('answer', 'expected'),
    [
        ((403, 'GatedRepo'), 'accept the conditions at http'),
        ((401, ''), 'the server answered 401 Unauthorized; log in'),
        ((403, ''), 'the server answered 403 Forbidden'),
        ((400, ''), 'the server answered 400 Bad Request'),
    ],
)
def test_what_the_hub_keeps_back(server, answer, expected):
    server.refusals[REPO] = answer
    assert expected in refusal(fetch_hub, REPO, FILE, endpoint=server.url)


def test_a_file_that_may_be_missing(server, no_waiting):
    server.add_small(REPO, FILE, CONTENT)
    assert fetch_hub(REPO, FILE, endpoint=server.url, missing_ok=True).path.read_bytes() == CONTENT
    assert fetch_hub(REPO, 'config.json', endpoint=server.url, missing_ok=True) is None
    # Remembered, for a commit without asking the hub at all.
    assert fetch_hub(REPO, 'config.json', endpoint='http://127.0.0.1:9', missing_ok=True) is None
    before = len(server.requests)
    assert fetch_hub(REPO, 'config.json', revision=COMMIT, endpoint=server.url, missing_ok=True) is None
    assert len(server.requests) == before
    # A repository that is missing is still an error, and so is not to know.
    refusal(fetch_hub, 'no/such', 'config.json', endpoint=server.url, missing_ok=True)
    refusal(fetch_hub, REPO, 'other.json', endpoint='http://127.0.0.1:9', missing_ok=True)


@pytest.mark.parametrize(
    'error',
    [
        OSError(errno.ENOSPC, 'No space left on device'),
        OSError(errno.EDQUOT, 'Disk quota exceeded'),
        RuntimeError('Data processing error: IO Error: No space left on device (os error 28)'),
    ],
)
def test_no_space_for_a_file_of_the_hub(monkeypatch, error):
    def full(*_, **__):
        raise error

    monkeypatch.setattr(fetch, 'hf_hub_download', full)
    free = shutil.disk_usage(ROOT)._replace(free=77)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: free)
    assert refusal(fetch_hub, REPO, FILE) == (
        f'{REPO}/{FILE}: no space: more is needed in {constants.HF_HUB_CACHE}, 77 are free; '
        'make room, or set HF_HOME to a folder on a larger disk'
    )


def test_without_progress_the_bars_of_the_hub_are_off_meanwhile(server, monkeypatch):
    server.add_small(REPO, FILE, CONTENT)
    seen = []

    def look(*arguments, **settings):
        seen.append(are_progress_bars_disabled('huggingface_hub.http_get'))
        return str(ROOT / 'README.md')

    monkeypatch.setattr(fetch, 'hf_hub_download', look)
    for progress in (True, False, True):
        fetch_hub(REPO, FILE, progress=progress)
    assert seen == [False, True, False]


def _wait(condition, seconds=30.0):
    """Until it holds, or that long."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
