"""A disk that is full, as far as a test can have one: files that may not grow beyond so many bytes."""

import contextlib

import pytest

resource = pytest.importorskip('resource', reason='limits of a process are a matter of Unix')


@contextlib.contextmanager
def files_up_to(size):
    """No file of this process grows beyond so many bytes while the block lasts; Python ignores the signal."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
