"""Tasks as JSON values, as checkpoints and runs have them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from jtransfer.errors import UserError
from jtransfer.tasks.base import Task
from jtransfer.text.outside import clipped


def to_dict(task: Task) -> dict[str, Any]:
    """The task as JSON values."""
    return dataclasses.asdict(task)


def from_dict(values: Any) -> Task:
    """The task that `to_dict` describes.

    Args:
        values: whatever a file has in its place.

    Raises:
        UserError: a field is missing or unknown, or holds a value of another kind.
    """
    known = {field.name for field in dataclasses.fields(Task)}
    if not isinstance(values, Mapping) or set(values) - known or not {'name', 'kind', 'class_names'} <= set(values):
        raise UserError(f'a task has the fields {", ".join(sorted(known))}, unlike {clipped(str(values))}')
    for field, value in values.items():
        if not _KINDS_OF_FIELDS[field](value):
            raise UserError(f'a task has {field}={clipped(repr(value))}, which is of another kind')
    tuples = {name: tuple(values[name]) for name in ('class_names', 'offset', 'scale') if name in values}
    return Task(**{**values, **tuples})


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_number(value: Any) -> bool:
    # No whole number is too large to be compared, and NaN is not less than anything.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _are(one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list | tuple) and all(map(one, value))


_KINDS_OF_FIELDS: dict[str, Callable[[Any], bool]] = {
    'name': _is_word,
    'kind': _is_word,
    'class_names': _are(_is_text),
    'weight': lambda value: _is_number(value) and value >= 0,
    'offset': _are(_is_number),
    'scale': _are(lambda value: _is_number(value) and value > 0),
}
