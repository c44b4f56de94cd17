"""A server on 127.0.0.1 that stands in for a bucket of files and for the Hugging Face hub, and can misbehave.

The hub's side answers what huggingface_hub asks for: `HEAD` and `GET` of `/REPO/resolve/REVISION/FILE`, with
`X-Repo-Commit` and ETags, `X-Error-Code` when something is not there, and a redirect to where large files lie.
"""

import dataclasses
import hashlib
import http.server
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

COMMIT = '0123456789abcdef0123456789abcdef01234567'


@dataclasses.dataclass(frozen=True)
class Request:
    """What was asked and answered.

    Attributes:
        method: GET or HEAD.
        path: of the URL.
        range: the Range header, or ''.
        status: of the answer.
    """

    method: str
    path: str
    range: str
    status: int


@dataclasses.dataclass
class File:
    """A file, and how its server behaves.

    Attributes:
        content: of the file.
        etag: with its quotes; '': none.
        modified: the Last-Modified header; '': none.
        ranges: answers Range requests.
        if_range: heeds If-Range.
        shift: bytes by which it misses the range asked for.
        cuts: a number of bytes for each of the next answers that ends early.
        statuses: of the next answers, which are these instead of the file.
        chunked: no Content-Length, and the end is where the server says.
        hold: the answer to a GET waits for this after `hold_after` bytes.
        hold_after: see hold.
        headers: more of them, or others.
        unasked: answers a part of the file where all of it is asked for.
        endless: no Content-Length, and the content again and again.
        dribble: seconds before each byte. 0: all at once.
    """

    content: bytes
    etag: str = ''
    modified: str = ''
    ranges: bool = True
    if_range: bool = True
    shift: int = 0
    cuts: list[int] = dataclasses.field(default_factory=list)
    statuses: list[int] = dataclasses.field(default_factory=list)
    chunked: bool = False
    hold: threading.Event | None = None
    hold_after: int = 0
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    unasked: bool = False
    endless: bool = False
    dribble: float = 0.0


class LocalServer(http.server.ThreadingHTTPServer):
    """The server; its files may be changed while it runs.

    Attributes:
        files: by path of the URL.
        repos: the hub's files by repository and name, all of one commit.
        refusals: (status, X-Error-Code) by repository.
        requests: so far.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.files: dict[str, File] = {}
        self.repos: dict[str, dict[str, File]] = {}
        self.refusals: dict[str, tuple[int, str]] = {}
        self.requests: list[Request] = []

    def handle_error(self, *about) -> None:
        """Says nothing of who left in the middle of an answer, as some tests want it."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*about)

    def clear(self) -> None:
        """Forgets all files and requests."""
        for memory in (self.files, self.repos, self.refusals, self.requests):
            memory.clear()

    @property
    def url(self) -> str:
        """Without a slash at the end; the hub's endpoint too."""
        return f'http://127.0.0.1:{self.server_port}'

    def add(self, path: str, content: bytes, **behaviour) -> str:
        """Puts a file into the bucket and returns its URL."""
        behaviour.setdefault('etag', f'"{hashlib.md5(content).hexdigest()}"')
        self.files[path] = File(content, **behaviour)
        return self.url + path

    def add_large(self, repo: str, name: str, content: bytes, **behaviour) -> str:
        """Puts a file into a repository of the hub and returns the path of the URL it is redirected to."""
        digest = hashlib.sha256(content).hexdigest()
        self.repos.setdefault(repo, {})[name] = File(content, f'"{digest}"')
        self.add(f'/lfs/{digest}', content, **behaviour)
        return f'/lfs/{digest}'

    def add_small(self, repo: str, name: str, content: bytes) -> None:
        """Puts a file into a repository of the hub that serves it itself."""
        self.repos.setdefault(repo, {})[name] = File(content, f'"{hashlib.sha1(content).hexdigest()}"')

    def gets(self, path: str) -> list[Request]:
        """The GET requests of a path."""
        return [request for request in self.requests if (request.method, request.path) == ('GET', path)]


@contextmanager
def serve() -> Iterator[LocalServer]:
    """Runs a server in a thread."""
    with LocalServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    server: LocalServer

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_) -> None:
        pass

    def _answer(self) -> None:
        found = re.fullmatch('/(.+)/resolve/([^/]+)/(.+)', self.path)
        if found:
            self._hub(*found.groups())
        elif self.path in self.server.files:
            self._file(self.server.files[self.path], {})
        else:
            self._empty(404)

    def _hub(self, repo: str, revision: str, name: str) -> None:
        if repo in self.server.refusals:
            status, code = self.server.refusals[repo]
            self._empty(status, {'X-Error-Code': code})
        elif repo not in self.server.repos:
            # As the hub does for those who are not logged in.
            self._empty(401, {'X-Error-Code': 'RepoNotFound'})
        elif revision not in ('main', COMMIT):
            self._empty(404, {'X-Error-Code': 'RevisionNotFound'})
        elif name not in self.server.repos[repo]:
            self._empty(404, {'X-Error-Code': 'EntryNotFound', 'X-Repo-Commit': COMMIT})
        else:
            file = self.server.repos[repo][name]
            place = f'/lfs/{file.etag[1:-1]}'
            headers = {'X-Repo-Commit': COMMIT}
            if place in self.server.files:
                headers |= {'X-Linked-Etag': file.etag, 'X-Linked-Size': str(len(file.content))}
                # By another name: huggingface_hub asks again what is redirected within a host.
                self._empty(302, headers | {'Location': self.server.url.replace('127.0.0.1', 'localhost') + place})
            else:
                self._file(file, headers)

    def _file(self, file: File, headers: dict[str, str]) -> None:
        if file.statuses:
            self._empty(file.statuses.pop(0))
            return
        headers = headers | {'ETag': file.etag} if file.etag else headers
        headers = headers | {'Last-Modified': file.modified} if file.modified else headers
        wanted = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range', ''))
        condition = self.headers.get('If-Range')
        if file.if_range and condition and condition not in (file.etag, file.modified):
            wanted = None
        status, start, length = 200, 0, len(file.content)
        if file.ranges and wanted:
            start = int(wanted[1]) + file.shift
            if start >= length:
                self._empty(416, {'Content-Range': f'bytes */{length}'})
                return
            status, headers = 206, headers | {'Content-Range': f'bytes {start}-{length - 1}/{length}'}
        elif file.unasked:
            length //= 2
            status, headers = 206, headers | {'Content-Range': f'bytes 0-{length - 1}/{len(file.content)}'}
        unstated = file.chunked or file.endless
        self._begin(status, headers | ({} if unstated else {'Content-Length': str(length - start)}) | file.headers)
        if self.command == 'GET':
            self._body(file, file.content[start:length])

    def _body(self, file: File, content: bytes) -> None:
        if file.hold is not None:
            self._send(content[: file.hold_after])
            file.hold.wait()
            content = content[file.hold_after :]
        for byte in content if file.dribble else b'':
            time.sleep(file.dribble)
            self._send(bytes([byte]))
            if self.close_connection:
                return
        while file.endless and not self.close_connection:
            self._send(b'%x\r\n%s\r\n' % (len(content), content))
        if file.dribble or file.endless:
            return
        if file.cuts:
            self._send(content[: file.cuts.pop(0)])
            self.close_connection = True
        elif file.chunked:
            self._send(b'%x\r\n%s\r\n0\r\n\r\n' % (len(content), content))
        else:
            self._send(content)

    def _send(self, content: bytes) -> None:
        try:
            self.wfile.write(content)
            self.wfile.flush()
        except ConnectionError:
            # Who asked for it is gone, as some tests want it.
            self.close_connection = True

    def _empty(self, status: int, headers: dict[str, str] | None = None) -> None:
        self._begin(status, (headers or {}) | {'Content-Length': '0'})

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.server.requests.append(Request(self.command, self.path, self.headers.get('Range', ''), status))
        self.send_response(status)
        if 'Content-Length' not in headers:
            headers = headers | {'Transfer-Encoding': 'chunked'}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
