"""Evaluation results as files; each appears whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import numpy as np
from jaxtyping import Float, Int

from jtransfer.evaluate.metrics import Metrics, top_prediction


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """A temporary path beside `path`, moved onto it when the block ends well and removed when it raises.

    Missing folders above `path` are made.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays: matplotlib and Pillow choose the format by it.
    temporary = path.with_name(f'.{os.getpid()}.partial.{path.name}')
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_text(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """A UTF-8 text file that replaces `path` when the block ends well; line ends are written as given."""
    with atomic_path(path) as temporary, open(temporary, 'w', encoding='utf-8', newline='') as file:
        yield file


def write_csv(path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a comma-separated table (RFC 4180 quoting, newline ends); None becomes an empty cell."""
    with atomic_text(path) as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(header)
        writer.writerows(rows)


def write_evaluation(
    folder: str | os.PathLike[str],
    metrics: Metrics,
    logits: Float[np.ndarray, 'example classes'],
    labels: Int[np.ndarray, ' example'],
    ids: Sequence[Any],
) -> None:
    """Writes `metrics.json`, `per_class.csv`, `confusion_matrix.csv` and `predictions.csv` into `folder`.

    `confusion_matrix.csv` has a row a label and a column a predicted class. `predictions.csv` has a row an example:
    id, label, predicted (both as class names), probability of the prediction, and correct (1 or 0).

    Args:
        folder: made when missing; files of these names are replaced, one at a time.
        metrics: what `classification_metrics` said of these logits.
        logits: one row an example.
        labels: class numbers.
        ids: what identifies an example (a file name, an index), in the order of `logits`.

    Raises:
        ValueError: `logits`, `labels` and `ids` differ in length.
    """
    folder = pathlib.Path(folder)
    names = metrics.class_names
    predicted, probability = top_prediction(logits)
    rows = [
        (example, names[label], names[guess], f'{p:.6f}', int(label == guess))
        for example, label, guess, p in zip(ids, labels, predicted, probability, strict=True)
    ]
    write_csv(folder / 'predictions.csv', ('id', 'label', 'predicted', 'probability', 'correct'), rows)
    write_csv(
        folder / 'per_class.csv',
        ('class', 'examples', 'accuracy', 'precision', 'f1'),
        ((c.name, c.examples, c.accuracy, c.precision, c.f1) for c in metrics.per_class),
    )
    write_csv(
        folder / 'confusion_matrix.csv',
        ('label', *names),
        ((name, *row) for name, row in zip(names, metrics.confusion_matrix.tolist(), strict=True)),
    )
    with atomic_text(folder / 'metrics.json') as file:
        json.dump(metrics.to_dict(), file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write('\n')
