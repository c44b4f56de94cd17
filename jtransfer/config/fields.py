"""Fields of dataclass configurations: by dotted name, from text, of their types, the nearest for a misspelt one."""

from __future__ import annotations

import ast
import dataclasses
import types
import typing
from typing import Any, TypeVar

from jtransfer.checks import closest, meant, nearest
from jtransfer.errors import UserError
from jtransfer.text.outside import clipped

T = TypeVar('T')


def parse_options(text: str) -> dict[str, Any]:
    """Options by name from one line of text; numbers, truth values and words.

    >>> parse_options('gelu=erf, eps=1e-5, pre_norm=True')
    {'gelu': 'erf', 'eps': 1e-05, 'pre_norm': True}

    Raises:
        UserError: a part that is not of the form name=value.
    """
    options = {}
    for part in filter(None, (part.strip() for part in text.split(','))):
        name, equals, value = part.partition('=')
        if not name or not equals or not value:
            raise UserError(f"option '{part}' is not of the form name=value; write gelu=erf,eps=1e-5")
        try:
            options[name.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            options[name.strip()] = value.strip()
    return options


def field_names(config: Any, prefix: str = '') -> list[str]:
    """All dotted names of the leaf fields of a configuration."""
    names = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        name = f'{prefix}{field.name}'
        names += field_names(value, f'{name}.') if dataclasses.is_dataclass(value) else [name]
    return names


def get_field(config: Any, field: str) -> Any:
    """The value of a dotted field."""
    for part in field.split('.'):
        config = getattr(config, part)
    return config


def unknown_field(name: str, config: Any) -> UserError:
    """The error for a dotted name that the configuration does not have, with the nearest one that it has."""
    known = field_names(config)
    group, _, leaf = name.rpartition('.')
    siblings = [k.rpartition('.')[2] for k in known if k.rpartition('.')[0] == group]
    elsewhere = {k.rpartition('.')[2]: k for k in reversed(known)}  # of several the first
    if leaf in elsewhere:
        hint = meant(elsewhere[leaf])
    elif close := closest(leaf, siblings):
        hint = meant(f'{group}.{close}' if group else close)
    elif close := closest(leaf, elsewhere, cutoff=0.7):
        hint = meant(elsewhere[close])
    else:
        hint = (nearest(leaf, siblings) if siblings else '') or nearest(name, known)
    return UserError(f"the configuration has no field '{name}'.{hint}")


def wrong_type(name: str, value: Any, config: Any) -> UserError:
    """The error for a value that cannot be one of the dotted field's type."""
    group, _, leaf = name.rpartition('.')
    hints = typing.get_type_hints(type(get_field(config, group) if group else config))
    return _wrong(name, value, hints[leaf])


def coerce(config: T, prefix: str = '') -> T:
    """A copy of a dataclass configuration with every value of its declared type (1 becomes 1.0, lists tuples).

    Raises:
        UserError: a value that does not fit; names the field and the type.
    """
    hints = typing.get_type_hints(type(config))
    changes = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        value, name = getattr(config, field.name), f'{prefix}{field.name}'
        if dataclasses.is_dataclass(hints[field.name]):
            if not isinstance(value, hints[field.name]):
                raise UserError(f'{name}={value!r} must be a {hints[field.name].__name__}')
            changes[field.name] = coerce(value, f'{name}.')
        else:
            changes[field.name] = fit(name, value, hints[field.name])
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def not_too_large(config: Any, prefix: str = '') -> None:
    """Raises `UserError` for a whole number that 64 bits do not hold: no library below takes it."""
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), f'{prefix}{field.name}'
        if dataclasses.is_dataclass(value):
            not_too_large(value, f'{name}.')
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and not -(2**63) <= number < 2**63:
                raise UserError(f'{name}={number} must be below 2**63')


def fit(name: str, value: Any, hint: Any) -> Any:
    """The value as the declared type, or a `UserError` that names the field."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return fit(name, value, next(a for a in args if a is not type(None)))
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            raise _wrong(name, value, hint)
        if args[-1] is Ellipsis:
            return tuple(fit(name, v, args[0]) for v in value)
        if len(value) != len(args):
            raise _wrong(name, value, hint)
        return tuple(fit(name, v, a) for v, a in zip(value, args, strict=True))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise _wrong(name, value, hint)
    return value


def _wrong(name: str, value: Any, hint: Any) -> UserError:
    kind = hint.__name__ if isinstance(hint, type) else str(hint)
    return UserError(f'{name}={clipped(repr(value), 200)} is not of type {kind}')


def build(cls: type[T], values: dict[str, Any], prefix: str = '') -> T:
    """A dataclass from nested dictionaries; an unknown key is a `UserError` with the nearest name."""
    if not isinstance(values, dict):
        raise UserError(f'a configuration must be a dictionary of fields, not {values!r}')
    hints = typing.get_type_hints(cls)
    changes = {}
    for key, value in values.items():
        if key not in hints:
            raise UserError(f"the configuration has no field '{prefix}{key}'.{nearest(key, hints)}")
        nested = dataclasses.is_dataclass(hints[key])
        if nested and not isinstance(value, dict):
            raise UserError(f'{prefix}{key}={value!r} must hold fields')
        changes[key] = (
            build(hints[key], value, f'{prefix}{key}.') if nested else fit(f'{prefix}{key}', value, hints[key])
        )
    return cls(**changes)


def replace(config: T, field: str, value: Any, where: str = '') -> T:
    """A copy of a configuration with one dotted field set; text is parsed to the field's type.

    Args:
        config: a dataclass.
        field: which.
        value: its value, or text as on the command line.
        where: what stands before the name of the field in messages.

    Raises:
        UserError: the field does not exist (the message has the nearest name) or the value does not fit its type.
    """
    if field not in field_names(config):
        raise unknown_field(field, config)
    return _replace(config, field, f'{where}{field}', value)


def _replace(config: Any, field: str, whole: str, value: Any) -> Any:
    head, _, rest = field.partition('.')
    if rest:
        return dataclasses.replace(config, **{head: _replace(getattr(config, head), rest, whole, value)})
    hint = typing.get_type_hints(type(config))[head]
    return dataclasses.replace(config, **{head: fit(whole, parse(value, hint), hint)})


def parse(value: Any, hint: Any) -> Any:
    """Command-line text as a value of the declared type; anything that is not text, or does not parse, as it is."""
    if not isinstance(value, str) or hint is str:
        return value
    if value.lower() in ('true', 'false'):
        return value.lower() == 'true'
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return None if value.lower() == 'none' else value
