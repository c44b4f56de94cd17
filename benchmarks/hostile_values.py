"""What stands in a crafted file in the place of what is right: values, raw pieces of JSON, and where they go."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

Action = Callable[[], Any]
Kind = Callable[[np.random.Generator, pathlib.Path], Action]

# Written into JSON as they stand: what no writer of JSON would write.
RAW = {
    'deep list': '[' * 100_000,
    'deep object': '{"a":' * 100_000,
    'deep and closed': '[' * 50_000 + ']' * 50_000,
    'digits': '9' * 5000,
    'NUL': '"a\\u0000b"',
    'surrogate': '"\\ud800"',
    'NaN': 'NaN',
    'infinite': '1e999',
    'not closed': '"',
    'nothing': '',
    'control': '"\x01"',
}
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    3.5,
    1e-9,
    -1e300,
    10**6,
    10**9,
    30_000,
    10**39,
    '',
    'a',
    '../../../etc/passwd',
    '/etc/passwd',
    'é' * 300,
    'x' * 200_000,
    '\x1b[31mred\n',
    [],
    [[]],
    [0],
    [10**6],
    [10**6] * 4,
    [1.5, 'x'],
    [3, 10**9, 10**9],
    list(range(5000)),
    {},
    {'a': 1},
    {'height': 10**9, 'width': True},
    {str(index): str(index) for index in range(2000)},
]


def mangled(random: np.random.Generator, value: Any) -> str:
    """A JSON text of a value, one field of which, at any depth, holds something else; one time in ten as it is."""
    value = json.loads(json.dumps(value))
    if random.random() < 0.1:
        return json.dumps(value)
    holder, key = _place(random, value)
    way = random.random()
    if holder is None:
        value = any_value(random)
    elif way < 0.1 and isinstance(holder, dict):
        holder.pop(key)
    elif way < 0.2 and isinstance(holder, dict):
        holder[str(any_value(random))[:300]] = holder[key]
    elif way < 0.4:
        name = list(RAW)[random.integers(len(RAW))]
        holder[key] = '@@@'
        return json.dumps(value).replace('"@@@"', RAW[name])
    else:
        holder[key] = any_value(random)
    return json.dumps(value, ensure_ascii=bool(random.integers(2)))


def any_value(random: np.random.Generator) -> Any:
    return VALUES[random.integers(len(VALUES))]


def _place(random: np.random.Generator, value: Any) -> tuple[Any, Any]:
    """A container in a value, and a key of it; None for the value itself."""
    places: list[tuple[Any, Any]] = [(None, None)]

    def walk(one: Any) -> None:
        keys = one.keys() if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            places.append((one, key))
            walk(one[key])

    walk(value)
    return places[random.integers(len(places))]
