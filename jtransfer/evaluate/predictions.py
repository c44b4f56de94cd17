"""Predictions for unlabelled images, as a table."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jtransfer.evaluate.write import write_csv


def write_predictions_csv(
    path: str | os.PathLike[str],
    files: Sequence[str | os.PathLike[str]],
    probabilities: Float[np.ndarray, 'example classes'],
    class_names: Sequence[str],
) -> None:
    """Writes the columns class, probability, file; one row a file, in the order given.

    Args:
        path: of the table; replaced whole, or not at all.
        files: what was classified.
        probabilities: in [0, 1], one row a file; of equal ones the smaller class number is taken.
        class_names: one name a column of `probabilities`.

    Raises:
        ValueError: the lengths do not fit.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.shape != (len(files), len(class_names)):
        raise ValueError(
            f'probabilities {probabilities.shape} do not fit {len(files)} files and {len(class_names)} classes'
        )
    best = probabilities.argmax(axis=1)
    rows = [
        (class_names[index], f'{row[index]:.6f}', os.fspath(file))
        for file, row, index in zip(files, probabilities, best, strict=True)
    ]
    write_csv(path, ('class', 'probability', 'file'), rows)
