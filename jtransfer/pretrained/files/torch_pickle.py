"""What a torch file's pickle asks for, looked through before torch unpickles any of it.

`torch.load(weights_only=True)` executes nothing of a file's own, but some of what it calls makes as much as it is asked
for (`bytearray(10**9)`), and some structures take for ever to hash. The operations are walked here without doing any of
them: `torch` may build tensors, and a few plain types that training scripts keep beside them are stood in for.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from io import BufferedIOBase
from typing import Any, NamedTuple

from jtransfer.text.outside import clipped

# What a file says of its tensors has some hundred bytes for each, and some forty operations.
MAX_BYTES = 64 * 2**20
_MAX_OPERATIONS = 2**22
# A tuple is hashed and compared whole, wherever it is a key. Of those that occur again, so many values in all.
_MAX_REPEATED = 2**20
_MAX_DEPTH = 64


class RefusedError(Exception):
    """A pickle that is not given to torch; the message says what it asks for."""


class ForeignError(Exception):
    """A pickle that names code, or objects of a type that is not known; the message is the name."""


class _Named(NamedTuple):
    """A function or class, by 'module name'."""

    name: str


class _Tuple(NamedTuple):
    """A tuple: the values in it and in the tuples in it, how deep these are nested, and its items."""

    size: int
    depth: int
    items: tuple[Any, ...]


class _Kind(NamedTuple):
    """Any other value."""

    name: str


_PLAIN, _MARK = _Kind('plain'), _Kind('mark')
# A list, dictionary or set that occurs for the first time, and what may hold more each time that it occurs.
_FRESH, _HELD = _Kind('fresh'), _Kind('held')

_SIMPLE = {'NONE', 'NEWTRUE', 'NEWFALSE', 'BININT', 'BININT1', 'BININT2', 'BINFLOAT', 'LONG1', 'SHORT_BINSTRING'}
_EMPTY = {'EMPTY_LIST', 'EMPTY_DICT', 'EMPTY_SET'}
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}


class StandIn:
    """Takes the place of a value beside the tensors that nothing is read from, whatever it was made with."""

    def __new__(cls, *arguments: Any) -> StandIn:
        """Looks at nothing."""
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Keeps nothing."""


class _Dictionary:
    """Makes a dictionary that its items are put into, in place of one of another type."""

    def __new__(cls, *arguments: Any) -> Any:
        return {}


class _List:
    """Makes a list, in the same way."""

    def __new__(cls, *arguments: Any) -> Any:
        return []


_PATHS = ('Path', 'PosixPath', 'WindowsPath', 'PurePath', 'PurePosixPath', 'PureWindowsPath')
# Which types stand for what training scripts keep beside the weights: settings, paths, numbers and times.
STAND_INS: dict[str, type] = {
    'argparse.Namespace': StandIn,
    'types.SimpleNamespace': StandIn,
    **{f'{module}.{name}': StandIn for module in ('pathlib', 'pathlib._local') for name in _PATHS},
    **{f'{core}.multiarray.scalar': StandIn for core in ('numpy.core', 'numpy._core')},
    **{f'{core}.multiarray._reconstruct': StandIn for core in ('numpy.core', 'numpy._core')},
    'numpy.ndarray': StandIn,
    'numpy.dtype': StandIn,
    **{f'datetime.{name}': StandIn for name in ('datetime', 'date', 'time', 'timedelta', 'timezone')},
    'collections.defaultdict': _Dictionary,
    'collections.deque': _List,
    # What makes the values of a defaultdict.
    **{f'builtins.{name}': StandIn for name in ('list', 'dict', 'tuple', 'int', 'float', 'str', 'bool')},
}


def _anything(items: tuple[Any, ...]) -> bool:
    return True


def _of_fresh(items: tuple[Any, ...]) -> bool:
    """A list that is there once; one that occurs again and again would be copied each time."""
    return all(item is _FRESH for item in items)


def _is_bytes(items: tuple[Any, ...]) -> bool:
    """How bytes are written in the protocol that torch has; other encodings make them longer."""
    return len(items) == 2 and isinstance(items[0], str) and items[1] in ('latin1', 'latin-1')


def _is_shape(items: tuple[Any, ...]) -> bool:
    return all(isinstance(item, _Tuple) or item is _FRESH for item in items)


def _with_attributes(items: tuple[Any, ...]) -> bool:
    """A tensor that has attributes: its class, and what builds it."""
    build, kind = (*items, None, None)[:2]
    plain = (_Named('torch Tensor'), _Named('torch.nn.parameter Parameter'))
    return isinstance(build, _Named) and build.name in _REBUILD and kind in plain


_REBUILD: dict[str, Callable[[tuple[Any, ...]], bool]] = {
    f'torch._utils _rebuild_{name}': _anything
    for name in (
        'tensor',
        'tensor_v2',
        'tensor_v3',
        'parameter',
        'parameter_with_state',
        'qtensor',
        'sparse_tensor',
        'meta_tensor_no_storage',
    )
}
# What torch may call, and with which arguments. Other names of torch (types, storages) are handed on, and never called.
_CALLED: dict[str, Callable[[tuple[Any, ...]], bool]] = {
    **_REBUILD,
    'torch._tensor _rebuild_from_type_v2': _with_attributes,
    'torch.nn.parameter Parameter': _anything,
    'torch.serialization _get_layout': _anything,
    'torch Size': _is_shape,
    'torch device': _anything,
    'collections OrderedDict': _of_fresh,
    'collections Counter': _of_fresh,
    '__builtin__ set': _of_fresh,
    'builtins set': _of_fresh,
    '__builtin__ complex': _anything,
    'builtins complex': _anything,
    '_codecs encode': _is_bytes,
    **{' '.join(name.rsplit('.', 1)): _anything for name in STAND_INS},
    # As Python 2 named it, and the protocol that torch has still does.
    **{name.replace('builtins.', '__builtin__ '): _anything for name in STAND_INS if name.startswith('builtins.')},
}


def check_pickle(file: BufferedIOBase, limit: int = MAX_BYTES) -> int:
    """Walks the pickle that begins where a file stands; nothing in it is done.

    Args:
        file: open, of bytes; stands behind the pickle afterwards.
        limit: how many bytes the pickle may have.

    Returns:
        How many bytes it has.

    Raises:
        ForeignError: it names code, or objects of a type that is not known here.
        RefusedError: it asks for more than a file of weights needs.
        ValueError, IndexError, KeyError: it is damaged.
    """
    data = _Counted(file, limit)
    walk = _Walk()
    for operations, (opcode, argument, _) in enumerate(pickletools.genops(data)):  # type: ignore[arg-type]
        if operations > _MAX_OPERATIONS:
            raise RefusedError(f'its description of the tensors has over {_MAX_OPERATIONS:,} operations')
        walk.take(opcode.name, argument)
    return data.read_bytes


class _Counted:
    """A file of which no more than some bytes are read."""

    def __init__(self, file: BufferedIOBase, limit: int) -> None:
        self._file, self._limit, self.read_bytes = file, limit, 0

    def read(self, size: int) -> bytes:
        self._check(size)
        return self._counted(self._file.read(size))

    def readline(self) -> bytes:
        line = self._counted(self._file.readline(self._limit - self.read_bytes + 1))
        self._check(0)
        return line

    def _counted(self, data: bytes) -> bytes:
        self.read_bytes += len(data)
        return data

    def _check(self, size: int) -> None:
        if self.read_bytes + size > self._limit:
            raise RefusedError(f'what describes its tensors has over {self._limit:,} bytes')


class _Walk:
    """The stack of an unpickler, of kinds of values."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._repeated = 0

    def take(self, operation: str, argument: Any) -> None:
        """One operation."""
        stack = self._stack
        if operation in ('BINPUT', 'LONG_BINPUT'):
            self._memo[argument] = stack[-1]
        elif operation in ('BINGET', 'LONG_BINGET'):
            stack.append(self._again(self._memo[argument]))
        elif operation == 'BINUNICODE':
            stack.append(argument)
        elif operation in _SIMPLE:
            stack.append(_PLAIN)
        elif operation in _EMPTY:
            stack.append(_FRESH)
        elif operation == 'MARK':
            stack.append(_MARK)
        elif operation == 'EMPTY_TUPLE':
            stack.append(_tuple([]))
        elif operation in _TUPLES:
            count = _TUPLES[operation]
            stack[-count:] = [_tuple(stack[-count:])]
        elif operation == 'TUPLE':
            stack.append(_tuple(self._to_mark()))
        elif operation in ('APPENDS', 'SETITEMS'):
            self._to_mark()
        elif operation in ('APPEND', 'BUILD'):
            stack.pop()
        elif operation == 'SETITEM':
            del stack[-2:]
        elif operation == 'BINPERSID':
            stack[-1] = _HELD
        elif operation == 'GLOBAL':
            stack.append(_named(argument))
        elif operation in ('REDUCE', 'NEWOBJ'):
            arguments = stack.pop()
            stack[-1] = _called(stack[-1], arguments)
        elif operation not in ('PROTO', 'STOP'):
            raise ValueError(f'an operation {operation}, which torch does not write')

    def _again(self, value: Any) -> Any:
        if isinstance(value, _Tuple):
            self._repeated += value.size
            if self._repeated > _MAX_REPEATED:
                raise RefusedError(f'tuples in it unfold to over {_MAX_REPEATED:,} values')
        return _HELD if value is _FRESH else value

    def _to_mark(self) -> list[Any]:
        items = []
        while (item := self._stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]


def _tuple(items: list[Any]) -> _Tuple:
    inner = [item for item in items if isinstance(item, _Tuple)]
    depth = 1 + max((item.depth for item in inner), default=0)
    if depth > _MAX_DEPTH:
        raise RefusedError(f'tuples in it are nested over {_MAX_DEPTH} deep')
    return _Tuple(1 + len(items) + sum(item.size for item in inner), depth, tuple(items))


def _named(name: str) -> _Named:
    module = name.split(' ')[0]
    if name not in _CALLED and module.split('.')[0] != 'torch':
        raise ForeignError(clipped(name.replace(' ', '.'), 200))
    return _Named(name)


def _called(function: Any, arguments: Any) -> Any:
    name = function.name if isinstance(function, _Named) else 'a value'
    if name not in _CALLED:
        raise ForeignError(clipped(name.replace(' ', '.'), 200))
    items = arguments.items if isinstance(arguments, _Tuple) else (arguments,)
    if not _CALLED[name](items):
        raise RefusedError(f'it asks for {name.replace(" ", ".")} with arguments that no file of weights has')
    # A shape is a tuple.
    return items[0] if name == 'torch Size' and len(items) == 1 and isinstance(items[0], _Tuple) else _HELD
