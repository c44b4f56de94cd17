"""Numbers as texts that keep what tells them apart: 1700003600 and 1700007200 are not both 1.7e+09."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_MOST_DIGITS = 17  # of a float64


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
