"""The built-in source `digits`: 1,797 real handwritten digits that scikit-learn ships."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jtransfer.config.data import Data
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.tasks.base import Task


def load_digits() -> ArraySource:
    """Handwritten digits of 8 x 8 pixels, 10 classes, undivided, from scikit-learn (no download).

    They are the test part of Alpaydin and Kaynak's 'Optical Recognition of Handwritten Digits' (UCI, 1998): bitmaps of
    32 x 32 pixels whose ink was counted in blocks of 4 x 4; the counts 0 to 16 are scaled to 0 to 255.
    """
    from sklearn import datasets

    digits = datasets.load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    ids = tuple(f'digits/{i}' for i in range(len(images)))
    return ArraySource(images, digits.target, tuple('0123456789'), ids, name='digits')


def open_digits(argument: str, data: Data, known: Sequence[Task]) -> ArraySource:
    """As `kinds.Open`."""
    del argument, data, known
    return load_digits()
