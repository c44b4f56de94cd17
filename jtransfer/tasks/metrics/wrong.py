"""An example that a network got wrong, and how."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Wrong:
    """An example that a network got wrong.

    Attributes:
        index: of the example.
        label: what it is, in words.
        predicted: what it was taken for, in words.
        probability: of the predicted class, where there is one label an example.
        note: how wrong, in words, elsewhere.
    """

    index: int
    label: str
    predicted: str
    probability: float | None = None
    note: str = ''
