"""Numbers as texts that keep what tells them apart: 1700003600 and 1700007200 are not both 1.7e+09."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_MOST_DIGITS = 17  # of a float64
_UNITS = ((1e9, 1e9, 'G'), (1e6, 1e6, 'M'), (1e4, 1e3, 'k'))


def exact(value: float | np.floating[Any]) -> str:
    """The shortest text that reads back as the same number of its type; whole numbers are without a point.

    >>> exact(30.0), exact(0.1), exact(1700003600.5)
    ('30', '0.1', '1700003600.5')
    """
    return str(value).removesuffix('.0')


def digits_of(values: np.ndarray, least: int, spread: float | None = None) -> int:
    """How many significant digits numbers need so that `least` of their differences are to be seen.

    >>> digits_of(np.array([1700003600.0, 1700007200.0]), 4)
    9

    Args:
        values: NaN is left out.
        least: digits of numbers that are about as large as they are apart, ≥ 1.
        spread: how far the numbers are apart, > 0. None: as the values are.
    """
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    largest = float(np.abs(known).max(initial=0.0))
    apart = spread or (float(np.ptp(known)) if len(known) else 0.0)
    if not largest or not 0 < apart < math.inf:
        return least
    return int(np.clip(least + math.floor(math.log10(largest) - math.log10(apart)), least, _MOST_DIGITS))


def rounded(value: float | np.floating[Any], digits: int) -> str:
    """The number with so many significant digits at most."""
    return f'{value:.{digits}g}'


def number(value: float | int, *, percent: bool = False, largest: float | int = 0) -> str:
    """A short label: `94.2%`, `15k`, `0.25`, `5e-4`.

    Args:
        value: what to write.
        percent: write a share in percent.
        largest: largest of the values written side by side; they share its unit.
    """
    if percent:
        return f'{value:.1%}'
    if value == 0:
        return '0'
    size = abs(value)
    for limit, divisor, unit in _UNITS:
        if max(size, largest) >= limit:
            return f'{value / divisor:.3g}{unit}'
    if size < 1e-2:
        mantissa, exponent = f'{value:.2e}'.split('e')
        return f'{float(mantissa):g}e{int(exponent)}'
    return f'{value:.3g}' if size < 1e3 else f'{value:.0f}'
