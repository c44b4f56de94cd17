"""What each field of an `ImagePreprocessor` holds, for values that come from files and from people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jtransfer.errors import UserError
from jtransfer.text.outside import clipped

# Beyond this, no number is compared with another without an overflow.
LARGEST = 1e300


def check_kinds(values: Mapping[str, Any]) -> None:
    """Raises `UserError` for fields by name that hold another kind of value, whose ranges cannot be looked at."""
    for name, value in values.items():
        if not _KINDS[name][1](value):
            raise UserError(f'preprocessing: {name}={clipped(repr(value))} must be {_KINDS[name][0]}')


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    # No whole number is too large to be compared, and NaN is not less than anything.
    return number and abs(value) < LARGEST


# What each field holds, in words, and the test of it.
_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    'image_size': ('a whole number of pixels', _is_whole),
    'image_width': ('a whole number of pixels', _is_whole),
    'mean': ('finite numbers, one for each channel', _are_numbers),
    'std': ('finite numbers, one for each channel', _are_numbers),
    'interpolation': ('a word', lambda value: isinstance(value, str)),
    'crop_rounding': ('a word', lambda value: isinstance(value, str)),
    'crop_fraction': ('a finite number', _is_number),
    'squash': ('true or false', lambda value: isinstance(value, bool)),
}
