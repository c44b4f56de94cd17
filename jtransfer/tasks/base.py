"""What is to be learnt about a picture: one label, several labels, numbers, or several of these with a head each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jtransfer.errors import UserError
from jtransfer.text import clipped

KINDS = ('single_label', 'multi_label', 'regression')


@dataclasses.dataclass(frozen=True)
class Task:
    """What one head of a network is for.

    Labels of n examples are class numbers int32 [n] (`single_label`; -1: not labelled), float32 [n, classes] of 0 and 1
    (`multi_label`), or float64 [n, numbers] (`regression`; float32 once they are scaled as the network's outputs are);
    a NaN in a row: not labelled.

    Attributes:
        name: of the head, `heads/NAME`; '' for the only one, `head`.
        kind: one of `KINDS`.
        class_names: of the classes, in label order; of the numbers where it is regression.
        weight: of its loss among those of several tasks, ≥ 0.
        offset: of regression: what is added to the network's outputs, after `scale`, to give the numbers. Empty: 0.
        scale: of regression: what the outputs are multiplied by, each > 0. Empty: 1.
    """

    name: str
    kind: str
    class_names: tuple[str, ...]
    weight: float = 1.0
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Raises `UserError` for an unknown kind, no outputs, or scaling of another length."""
        if self.kind not in KINDS:
            raise UserError(f"task '{self.name}': kind={self.kind!r} is not one of {', '.join(KINDS)}")
        if not self.class_names:
            raise UserError(f"task '{self.name}' has no outputs")
        for name in ('offset', 'scale'):
            values = getattr(self, name)
            if values and (self.kind != 'regression' or len(values) != len(self.class_names)):
                raise UserError(
                    f"task '{self.name}' ({self.kind}): {len(values)} values of {name} for {self.outputs} outputs; "
                    'only numbers are scaled, each with one value'
                )

    @property
    def outputs(self) -> int:
        """Width of the head."""
        return len(self.class_names)


def single_label(class_names: Sequence[str], name: str = '') -> Task:
    """The task of telling classes apart."""
    return Task(name, 'single_label', tuple(class_names))


def to_dict(task: Task) -> dict[str, Any]:
    """The task as JSON values."""
    return dataclasses.asdict(task)


def from_dict(values: Mapping[str, Any]) -> Task:
    """The task that `to_dict` describes.

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
