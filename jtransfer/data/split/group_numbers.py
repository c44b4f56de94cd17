"""Groups of examples as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64


def group_numbers(groups: Sequence[str] | None) -> Int64[np.ndarray, ' n'] | None:
    """Group of every example, from 0 in the order in which they first appear, so that their names do not matter.

    Args:
        groups: a name an example.

    Returns:
        None where nothing is to be kept together: no groups, or each of one example.
    """
    if groups is None:
        return None
    numbers: dict[str, int] = {}
    result = np.array([numbers.setdefault(name, len(numbers)) for name in groups], np.int64)
    return result if len(numbers) < len(result) else None
