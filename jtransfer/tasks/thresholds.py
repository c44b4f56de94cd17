"""From which probability on a class of several an example is predicted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Num

from jtransfer.tasks.metrics.ranking import ranks


def fit_thresholds(
    logits: Float[np.ndarray, 'example classes'], labels: Num[np.ndarray, 'example classes']
) -> tuple[float, ...]:
    """Of each class, the probability from which on to predict it so that its F1 is the largest.

    To be fitted on the training or validation side alone: fitted on what is reported, the figures flatter.
    A threshold lies half-way between two neighbouring probabilities; of equal F1, the one nearest 0.5 is taken. A class
    without positives has 0.5. Examples without labels (NaN) are left out.

    Args:
        logits: of each class.
        labels: 0 or 1.

    Returns:
        One threshold a class, in [0, 1].
    """
    keep = ~np.isnan(np.asarray(labels, np.float64)).any(axis=1)
    probability, truth = sigmoid(np.asarray(logits)[keep]), np.asarray(labels)[keep] > 0.5
    return tuple(_threshold(probability[:, i], truth[:, i]) for i in range(truth.shape[1]))


def predict_labels(
    logits: Float[np.ndarray, 'example classes'],
    thresholds: Sequence[float] | Float[np.ndarray, ' classes'] | None = None,
) -> Bool[np.ndarray, 'example classes']:
    """Which classes are predicted: those whose probability reaches the threshold (None: 0.5)."""
    return sigmoid(logits) >= (0.5 if thresholds is None else np.asarray(thresholds, np.float64))


def sigmoid(logits: Float[np.ndarray, '*shape']) -> Float[np.ndarray, '*shape']:
    """Probabilities of logits, float64."""
    from scipy.special import expit

    values: np.ndarray = expit(np.asarray(logits, np.float64))
    return values


def _threshold(probability: np.ndarray, truth: np.ndarray) -> float:
    if not truth.any():
        return 0.5
    order, ends = ranks(probability)
    f1 = 2 * np.cumsum(truth[order])[ends] / (ends + 1 + truth.sum())
    here = probability[order][ends]
    below = np.append(here[1:], 0.0)
    middle = (here + below) / 2
    # Of neighbouring floats the middle is one of the two.
    middle = np.where(middle > below, middle, here)
    best = np.flatnonzero(f1 == f1.max())
    return float(middle[best[np.abs(middle[best] - 0.5).argmin()]])
