"""What a function from a picture to pixels does, as text: two runs may share what they decoded where these agree."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import PIL
from PIL import features

from jtransfer.data.decode import grey, image_opening, images, metadata, narrow
from jtransfer.inputs.image import Pixels, Preprocessing

# Of `Preprocessing`: they are applied later, on the device.
_NOT_PIXELS = ('mean', 'std')


class _Opaque(Exception):
    """A value that text cannot stand for."""


def describe(pixels: Pixels, pixel_range: Sequence[float] = ()) -> str | None:
    """All that the pixels depend on besides the bytes of a picture, as JSON.

    That is the function with its settings, the source code of the modules it and the decoding are from, and the
    versions of Pillow and of the decoders it uses.

    Args:
        pixels: a function of a module, a `functools.partial` of one, or a dataclass that can be called.
        pixel_range: as `data.pixel_range`.

    Returns:
        None for what cannot be described: a lambda, a function within another or of a session, settings that are
        neither numbers, texts, sequences nor dataclasses.
    """
    decoding = (images, grey, image_opening, metadata, narrow)
    modules = {Preprocessing.__module__, *(module.__name__ for module in decoding)}
    try:
        settings = _value(pixels, modules)
        code = {name: _code(name) for name in sorted(modules)}
    except _Opaque:
        return None
    codecs = {name: features.version(name) for name in ('jpg', 'libjpeg_turbo', 'webp', 'libtiff', 'avif')}
    codecs['heic'] = _version('pillow-heif')
    described = {'pixels': settings, 'pixel_range': list(pixel_range), 'code': code, 'pillow': PIL.__version__}
    return json.dumps({**described, 'codecs': codecs}, sort_keys=True)


def name_of(pixels: Pixels) -> str:
    """A short name, for people."""
    function = pixels.func if isinstance(pixels, functools.partial) else pixels
    return str(getattr(function, '__name__', type(function).__name__)).lower()


def _value(value: Any, modules: set[str]) -> Any:
    """The value as JSON, in which no two that differ look alike; `modules` gets those that its code is from."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_value(item, modules) for item in value]
    if isinstance(value, Mapping):
        return {'mapping': [[_value(k, modules), _value(v, modules)] for k, v in value.items()]}
    if isinstance(value, functools.partial):
        return {
            'partial': _named(value.func, modules),
            'arguments': _value(value.args, modules),
            'keywords': {name: _value(value.keywords[name], modules) for name in sorted(value.keywords)},
        }
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        left_out = _NOT_PIXELS if isinstance(value, Preprocessing) else ()
        names = [field.name for field in dataclasses.fields(value) if field.name not in left_out]
        fields = {name: _value(getattr(value, name), modules) for name in names}
        return {'dataclass': _named(type(value), modules), 'fields': fields}
    return {'function': _named(value, modules)}


def _named(function: Any, modules: set[str]) -> str:
    """Where to import a function or class from, which must be possible: names alone could stand for anything."""
    module, name = getattr(function, '__module__', ''), getattr(function, '__qualname__', '')
    in_python = inspect.isfunction(function) or inspect.isclass(function)
    if not in_python or module == '__main__' or getattr(sys.modules.get(module), name, None) is not function:
        raise _Opaque
    modules.add(module)
    return f'{module}.{name}'


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ''


@functools.cache
def _code(module: str) -> str:
    try:
        source = inspect.getsource(sys.modules[module])
    except (OSError, TypeError):
        raise _Opaque from None
    return hashlib.blake2b(source.encode(), digest_size=16).hexdigest()
