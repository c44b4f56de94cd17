"""Tasks as JSON values, as checkpoints and runs have them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from jtransfer.errors import UserError
from jtransfer.tasks.base import Task, task_class
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
    if not isinstance(values, Mapping) or not {'name', 'kind', 'class_names'} <= set(values):
        raise _unlike(Task, values)
    for field, value in values.items():
        if field in _KINDS_OF_FIELDS and not _KINDS_OF_FIELDS[field](value):
            raise UserError(f'a task has {field}={clipped(repr(value))}, which is of another kind')
    # A kind may have fields of its own beside those of all.
    kind = task_class(values['kind'], f"task '{values['name']}': ")
    if set(values) - {field.name for field in dataclasses.fields(kind)}:
        raise _unlike(kind, values)
    return kind(**{name: _tupled(value) for name, value in values.items()})


def _unlike(kind: type[Task], values: Any) -> UserError:
    known = sorted(field.name for field in dataclasses.fields(kind))
    return UserError(f'a task has the fields {", ".join(known)}, unlike {clipped(str(values))}')


def _tupled(value: Any) -> Any:
    """Lists, which JSON makes of tuples, as tuples, at any depth."""
    return tuple(map(_tupled, value)) if isinstance(value, list | tuple) else value


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
