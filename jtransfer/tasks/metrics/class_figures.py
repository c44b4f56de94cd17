"""What one label an example is measured by: functions of logits, labels and the confusion matrix, on the host."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

# Rows turned into float64 at a time: bounds the memory at 1000 classes to some 30 MiB, whatever the number of examples.
_BLOCK = 4096


@dataclasses.dataclass(frozen=True)
class ClassMetrics:
    """How one class fared.

    Attributes:
        name: of the class.
        examples: how many examples carry this label.
        accuracy: share of them that was recognised (the class's recall), in [0, 1]; None without examples.
        precision: share of the predictions of this class that were right; None when it was never predicted, or without
            examples.
        f1: harmonic mean of the two; None without examples.
    """

    name: str
    examples: int
    accuracy: float | None
    precision: float | None
    f1: float | None


@dataclasses.dataclass(frozen=True)
class Confusion:
    """How often one class was taken for another; `share` is of the examples of the true class."""

    label: str
    predicted: str
    count: int
    share: float


def top_prediction(
    logits: Float[np.ndarray, 'example classes'],
) -> tuple[Int[np.ndarray, ' example'], Float[np.ndarray, ' example']]:
    """The most likely class (of equal ones the smallest number) and its softmax probability, in float64."""
    predicted, probability, _, _ = per_example(logits, np.zeros(len(logits), np.int32))
    return predicted, probability


def per_example(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Predicted class, its probability, loss of the label, and rank of the label (0: predicted), one an example."""
    size = len(logits)
    predicted, rank = np.zeros(size, np.int64), np.zeros(size, np.int64)
    probability, loss = np.zeros(size), np.zeros(size)
    for start in range(0, size, _BLOCK):
        rows = slice(start, start + _BLOCK)
        block, label = np.asarray(logits[rows], np.float64), np.asarray(labels[rows], np.int64)[:, None]
        top = block.max(axis=1)
        log_normaliser = top + np.log(np.exp(block - top[:, None]).sum(axis=1))
        true = np.take_along_axis(block, label, axis=1)
        earlier = np.arange(block.shape[1]) < label
        predicted[rows] = block.argmax(axis=1)
        probability[rows] = np.exp(top - log_normaliser)
        loss[rows] = log_normaliser - true[:, 0]
        rank[rows] = ((block > true) | ((block == true) & earlier)).sum(axis=1)
    return predicted, probability, loss, rank


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson, 1927): holds its level near 0 and 1, unlike mean ± 2 sd."""
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(confidence_level=confidence, method='wilson')
    return float(interval.low), float(interval.high)


def class_by_class(matrix: np.ndarray, class_names: Sequence[str]) -> tuple[ClassMetrics, ...]:
    """The figures of every class, in label order.

    Args:
        matrix: how many examples of each class (rows) were taken for each (columns), int [classes, classes].
        class_names: in label order.
    """
    hits, occurs, guessed = (a.tolist() for a in (np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)))
    return tuple(
        ClassMetrics(
            name=str(name),
            examples=occurs[i],
            accuracy=_ratio(hits[i], occurs[i]),
            precision=_ratio(hits[i], guessed[i]) if occurs[i] else None,
            f1=_ratio(2 * hits[i], occurs[i] + guessed[i]) if occurs[i] else None,
        )
        for i, name in enumerate(class_names)
    )


def most_confused(
    matrix: Int[np.ndarray, 'classes classes'], class_names: Sequence[str], count: int
) -> list[Confusion]:
    """The `count` most frequent mistakes (label, predicted class), most frequent first; ties by class number."""
    errors = np.array(matrix)
    np.fill_diagonal(errors, 0)
    rows, columns = np.nonzero(errors)
    order = np.argsort(-errors[rows, columns], kind='stable')[:count]
    totals = np.asarray(matrix).sum(axis=1)
    return [
        Confusion(str(class_names[r]), str(class_names[c]), int(errors[r, c]), float(errors[r, c] / totals[r]))
        for r, c in zip(rows[order], columns[order], strict=True)
    ]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
