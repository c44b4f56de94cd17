"""What a way of preparing examples does, as text: two runs may share what they decoded where these agree."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import PIL
from PIL import features

from jtransfer.data.decode import images
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.prepare import Prepare


class _Opaque(Exception):
    """A value that text cannot stand for."""


def describe(prepare: Prepare, pixel_range: Sequence[float] = ()) -> str | None:
    """All that what is held depends on besides the bytes of a file, as JSON.

    That is the class of `prepare` with its version and its settings, the version of the decoding, and those of Pillow
    and of the decoders that it uses.

    Args:
        prepare: a dataclass of plain values, of an importable class.
        pixel_range: as `data.pixel_range`.

    Returns:
        None for what cannot be described: a class within a function or of a session, settings that are neither numbers,
        texts, sequences nor dataclasses.
    """
    try:
        settings = [_named(type(prepare)), prepare.version, _value(prepare.settings)]
    except _Opaque:
        return None
    codecs = {name: features.version(name) for name in ('jpg', 'libjpeg_turbo', 'webp', 'libtiff', 'avif')}
    codecs['heic'] = _version('pillow-heif')
    described = {'prepare': settings, 'pixel_range': list(pixel_range), 'decoding': images.VERSION}
    return json.dumps({**described, 'pillow': PIL.__version__, 'codecs': codecs}, sort_keys=True)


def name_of(prepare: Prepare) -> str:
    """A short name, for people."""
    return type(prepare).__name__.lower()


def _value(value: Any) -> Any:
    """The value as JSON, in which no two that differ look alike."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_value(item) for item in value]
    if isinstance(value, Mapping):
        return {'mapping': [[_value(k), _value(v)] for k, v in value.items()]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        left_out = value.on_device if isinstance(value, Preprocessor) else ()
        names = [field.name for field in dataclasses.fields(value) if field.name not in left_out]
        fields = {name: _value(getattr(value, name)) for name in names}
        return {'dataclass': _named(type(value)), 'version': getattr(value, 'version', 1), 'fields': fields}
    raise _Opaque


def _named(cls: type) -> str:
    """Where to import a class from, which must be possible: names alone could stand for anything."""
    module, name = cls.__module__, cls.__qualname__
    if module == '__main__' or getattr(sys.modules.get(module), name, None) is not cls:
        raise _Opaque
    return f'{module}.{name}'


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ''
