"""A figure: a number that was measured, with what it is, so that whoever tells it need not know the kind of task."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

SHARE = 'share'  # in [0, 1], told in percent
COUNT = 'count'
INDEX = 'index'  # without a unit, around 1: R², an area under a curve, a loss in nats
NUMBER = 'number'  # of any size, in a unit of its own

_FORMS = {SHARE: '.1%', COUNT: ',', INDEX: '.3f', NUMBER: '.4g'}


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number with what it is.

    Attributes:
        name: what it is, in small letters: `mean average precision`.
        value: the number, Python's or NumPy's; None where it is undefined.
        unit: `share`, `count`, `index` or `number`, which say how it is told; another unit stands behind the number.
        interval: what it lies in, if that is known.
        confidence: level of the interval, in (0, 1).
        note: a remark of a few words.
    """

    name: str
    value: Any
    unit: str = INDEX
    interval: tuple[Any, Any] | None = None
    confidence: float = 0.95
    note: str = ''

    def __post_init__(self) -> None:
        """Makes numbers of NumPy's Python's, which every file takes."""
        object.__setattr__(self, 'value', plain_number(self.value))
        if self.interval is not None:
            low, high = map(plain_number, self.interval)
            object.__setattr__(self, 'interval', (low, high))

    @property
    def title(self) -> str:
        """The name at the start of a line."""
        return capital(self.name)

    @property
    def text(self) -> str:
        """The value as a person reads it."""
        return self.tell(self.value)

    @property
    def interval_text(self) -> str:
        """The interval as a person reads it: `91.0% to 95.2%`; '' where there is none."""
        return '' if self.interval is None else ' to '.join(self.tell(end) for end in self.interval)

    def record(self) -> dict[str, Any]:
        """What every record says of a score, see `docs/results_schema.md`."""
        return {
            'score_name': self.name,
            'score': self.value,
            'score_unit': self.unit,
            'score_interval': None if self.interval is None else list(self.interval),
            'confidence': self.confidence,
        }

    @classmethod
    def of_record(cls, values: Mapping[str, Any]) -> Figure:
        """The score that `record` wrote."""
        ends = values['score_interval']
        interval = None if ends is None else (float(ends[0]), float(ends[1]))
        return cls(values['score_name'], values['score'], values['score_unit'], interval, values['confidence'])

    def tell(self, value: float | int | None) -> str:
        """Another value of the same figure, as a person reads it."""
        return told(value, self.unit)

    def parts(self, value: float) -> tuple[str, str]:
        """A value of this figure and its unit, to be set apart."""
        return (f'{100 * value:.1f}', '%') if self.unit == SHARE else (self.tell(value), '')


def plain_number(value: Any) -> Any:
    """A number of NumPy's as Python's; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def told(value: float | int | None, unit: str) -> str:
    """A value of a unit as a person reads it; a dash where it is undefined."""
    if value is None:
        return '–'
    return format(value, _FORMS[unit]) if unit in _FORMS else f'{value:.4g} {unit}'


def capital(name: str) -> str:
    """The name with a capital letter."""
    return name[:1].upper() + name[1:]
