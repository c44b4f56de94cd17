"""What a search varies: from texts such as `optim.learning_rate=log(1e-5, 1e-2)` to fields and ranges."""

from __future__ import annotations

import ast
import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jtransfer import config as config_lib
from jtransfer.checks import nearest, split_values
from jtransfer.config import Config
from jtransfer.config.fields import field_names, get_field, unknown_field
from jtransfer.config.search import Search
from jtransfer.errors import UserError
from jtransfer.experiments.run.directory import NOT_IDENTITY

FORMS = {
    'uniform': 'uniform(0, 0.1)',
    'log': 'log(1e-5, 1e-2)',
    'int': 'int(5, 50)',
    'log_int': 'log_int(8, 512)',
    'choice': 'choice(sgd, adamw)',
}
# The parts are made once, before the first trial; of their settings these alone may differ between trials.
_OF_TRAINING = ('data.batch_size', 'data.sampling')
_PAIR = {'train.epochs': 'train.steps', 'train.steps': 'train.epochs'}


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One field that is varied.

    Attributes:
        field: its dotted name.
        kind: `uniform`, `log` (numbers, the latter even on a logarithmic scale), `int`, `log_int` (whole numbers) or
            `choice`.
        low: least value of a range.
        high: largest value of a range, itself possible.
        choices: the values of a `choice`, as texts.
    """

    field: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()

    @property
    def logarithmic(self) -> bool:
        """Whether the scale is."""
        return self.kind in ('log', 'log_int')

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.kind in ('int', 'log_int')

    def probes(self) -> tuple[Any, ...]:
        """Values that stand for all: the choices, or the ends and one that is no end and, of numbers, not whole."""
        if self.choices:
            return self.choices
        if self.whole:
            return int(self.low), int(self.high)
        return self.low, self.low + (self.high - self.low) / math.e, self.high


def parse_space(config: Config) -> tuple[Dimension, ...]:
    """The fields that `config.search.space` varies, every value of them tried on the configuration.

    Raises:
        UserError: no field, one that does not exist, is named twice or must not be varied, a range or choice that is
            written wrongly, or a value that does not fit the field or the configuration.
    """
    if not config.search.space:
        raise UserError(f"search.space is empty: name what is varied, ('optim.learning_rate={FORMS['log']}',)")
    space = tuple(_parse(text, config) for text in config.search.space)
    fields = [dimension.field for dimension in space]
    if twice := [field for field in fields if fields.count(field) > 1]:
        raise UserError(f'search.space names {twice[0]} twice')
    if set(_PAIR) <= set(fields):
        raise UserError('search.space varies train.epochs and train.steps, of which a run has exactly one')
    for dimension in space:
        _check_values(dimension, config)
    return space


def settled(config: Config, values: Mapping[str, Any]) -> Config:
    """The configuration with the fields of a trial, checked, and nothing left to search for.

    Where `train.steps` is given `train.epochs` becomes 0, and the other way round.

    Args:
        config: of the search.
        values: by dotted field; texts as on the command line.

    Raises:
        UserError: the values do not go together.
    """
    result = dataclasses.replace(config, search=Search())
    for field, value in values.items():
        if field in _PAIR:
            result = config_lib.replace(result, _PAIR[field], 0)
        result = config_lib.replace(result, field, value)
    return config_lib.validate(result)


def _parse(text: str, config: Config) -> Dimension:
    field, equals, rest = (part.strip() for part in text.partition('='))
    written = re.fullmatch(r'(\w+)\s*\((.*)\)', rest, re.DOTALL)
    if not equals or not field or not written:
        raise UserError(f'search.space: {text!r} is not of the form FIELD={FORMS["log"]}')
    _check_field(field, config)
    kind, inside = written[1], written[2]
    if kind not in FORMS:
        raise UserError(f"search.space: {field} has '{kind}(…)', which is no range.{nearest(kind, FORMS)}")
    values = tuple(split_values(inside))
    if kind == 'choice':
        return Dimension(field, kind, choices=_choices(field, values, config))
    low, high = _ends(field, kind, values)
    return Dimension(field, kind, low, high)


def _check_field(field: str, config: Config) -> None:
    """Raises `UserError` for a field that does not exist, or must be the same in all trials."""
    if field not in field_names(config):
        raise unknown_field(field, config)
    group = field.partition('.')[0]
    if field in (*NOT_IDENTITY, 'name') or group in ('search', 'crossval'):
        raise UserError(f'search.space: {field} changes nothing in how a network is trained')
    if field == 'seed':
        raise UserError('search.space: seed is the same in all trials, or the luckiest would be taken for the best')
    if group == 'data' and field not in _OF_TRAINING:
        raise UserError(
            f'search.space: {field} is of the images and their parts, which are the same in all trials; of data, '
            f'{" and ".join(_OF_TRAINING)} may be varied'
        )


def _ends(field: str, kind: str, values: Sequence[str]) -> tuple[float, float]:
    """The least and the largest value of a range."""
    said = f'search.space: {field}={kind}({", ".join(values)})'
    numbers = [_number(value) for value in values]
    if len(numbers) != 2 or None in numbers:
        raise UserError(f'{said} must have two numbers, as {FORMS[kind]}')
    low, high = (float(number) for number in numbers if number is not None)
    if kind in ('int', 'log_int') and not (low.is_integer() and high.is_integer()):
        raise UserError(f'{said} must have whole numbers, as {FORMS[kind]}')
    if not low < high:
        raise UserError(f'{said} must have the smaller number first, as {FORMS[kind]}')
    if kind.startswith('log') and low <= 0:
        raise UserError(f'{said}: a logarithmic scale begins above 0')
    return low, high


def _number(text: str) -> float | None:
    try:
        value = float(ast.literal_eval(text))
    except (ValueError, TypeError, SyntaxError):
        return None
    return value if math.isfinite(value) else None


def _choices(field: str, values: Sequence[str], config: Config) -> tuple[str, ...]:
    """The values of a choice: two at least, none empty, none twice, be it in another spelling (1, 1.0)."""
    said = f'search.space: {field}=choice({", ".join(values)})'
    if '' in values:
        raise UserError(f'{said} has an empty value')
    meant: list[Any] = []
    for value in values:
        own = get_field(config_lib.replace(config, field, value), field)
        if own in meant:
            raise UserError(f'{said} has the value {value} twice')
        meant.append(own)
    if len(values) < 2:
        raise UserError(f'{said} leaves nothing to choose from')
    return tuple(values)


def _check_values(dimension: Dimension, config: Config) -> None:
    """Raises `UserError` for a value that is not possible in this configuration."""
    for value in dimension.probes():
        try:
            settled(config, {dimension.field: value})
        except UserError as error:
            raise UserError(f'search.space: {dimension.field}={value}: {error}') from None
