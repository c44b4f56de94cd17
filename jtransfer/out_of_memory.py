"""Too little memory: how much there is, how its lack is told from other errors, and the line that says what helps."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jtransfer.errors import OutOfMemoryError

_MIB = 2**20
# What XLA, its allocators and C++ say; they have no type of their own for it.
_SIGNS = (
    'resource_exhausted',
    'out of memory',
    'bad_alloc',
    'unable to allocate',
    'memoryerror',
    "can't start new thread",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory has run out: NumPy's, JAX's on any device, or the system's."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    text = str(error).casefold()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS)


@contextmanager
def memory_told(doing: str, remedy: str) -> Iterator[None]:
    """Says of memory that runs out inside what it was needed for and what helps.

    Args:
        doing: what is going on, such as 'while training'.
        remedy: what needs less.

    Raises:
        OutOfMemoryError: instead of whatever says so inside; other errors pass.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(out_of_memory_line(error, doing, remedy)) from error


def out_of_memory_line(error: BaseException, doing: str, remedy: str) -> str:
    """The line about memory that has run out, see `memory_told`."""
    said = (str(error).strip().splitlines() or [''])[0].removeprefix('RESOURCE_EXHAUSTED: ').rstrip('.')
    return f'memory ran out {doing}{f" ({said[:200]})" if said else ""}: {remedy}'


def check_room(needed: int, what: str, remedy: str) -> None:
    """Raises `OutOfMemoryError` if so many bytes do not fit into the memory of this machine, as far as is known.

    Args:
        needed: bytes.
        what: needs them, such as 'the decoded images'.
        remedy: what needs less.
    """
    there = available_memory()
    if there is not None and needed > there:
        raise OutOfMemoryError(no_room_line(needed, there, what, remedy))


def no_room_line(needed: int, there: int, what: str, remedy: str, where: str = 'of memory') -> str:
    """The line about what is known beforehand not to fit."""
    return f'{what}: {needed / _MIB:,.0f} MiB {where} are needed, and {there / _MIB:,.0f} MiB are free: {remedy}'


def available_memory() -> int | None:
    """Bytes that this process can still take, swap included, by what the system, its container and its limits say.

    None: nobody says so, as on systems other than Linux.
    """
    known = [room for room in (_of_machine(), _of_container(), _of_limit()) if room is not None]
    return min(known, default=None)


def _of_machine(path: str = '/proc/meminfo') -> int | None:
    fields = _fields(path)
    return None if 'MemAvailable:' not in fields else 1024 * (fields['MemAvailable:'] + fields.get('SwapFree:', 0))


def _of_container(folder: str = '/sys/fs/cgroup') -> int | None:
    """What the control group of a container leaves; files that are cached would give way."""
    for limit, used, stat, cached in (
        ('memory.max', 'memory.current', 'memory.stat', 'inactive_file'),
        ('memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes', 'memory/memory.stat', 'total_inactive_file'),
    ):
        with contextlib.suppress(OSError, ValueError):  # 'max' is no limit
            most, now = (int((Path(folder) / name).read_text(encoding='ascii')) for name in (limit, used))
            return max(0, most - now + _fields(str(Path(folder) / stat)).get(cached, 0))
    return None


def _of_limit() -> int | None:
    """What `ulimit -v` leaves."""
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most != resource.RLIM_INFINITY:
            pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[0])
            return max(0, most - pages * resource.getpagesize())
    return None


def _fields(path: str) -> dict[str, int]:
    """The lines of a file that are a name and a number."""
    with contextlib.suppress(OSError, ValueError):
        rows = (line.split() for line in Path(path).read_text(encoding='ascii').splitlines())
        return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}
    return {}
