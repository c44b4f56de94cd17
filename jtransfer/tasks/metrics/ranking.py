"""How well scores rank the positives above the rest: average precision, area under the ROC curve, and an interval."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

_RESAMPLES = (50, 1000)
# Examples x classes x resamples: keeps the interval to a second or two on any data set.
_WORK = 20_000_000
_BLOCK = 1_000_000
_STREAM = 61


def average_precision(scores: Float[np.ndarray, ' n'], truth: Bool[np.ndarray, ' n']) -> float | None:
    """Precision averaged over the steps in recall, equal scores as one rank; None without positives."""
    if not truth.any():
        return None
    order, ends = ranks(scores)
    return float(_weighted_precision(truth[order], ends, np.ones((len(scores), 1)))[0])


def roc_auc(scores: Float[np.ndarray, ' n'], truth: Bool[np.ndarray, ' n']) -> float | None:
    """Area under the ROC curve, by ranks (Mann and Whitney, 1947); None without positives or without negatives."""
    from scipy.stats import rankdata

    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return None
    above = rankdata(scores)[truth].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def ranks(scores: Float[np.ndarray, ' n']) -> tuple[Int[np.ndarray, ' n'], Int[np.ndarray, ' ranks']]:
    """The order from the highest score down, and where in it each run of equal scores ends."""
    order = np.argsort(-scores, kind='stable')
    ordered = scores[order]
    return order, np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(scores) - 1)


def _weighted_precision(truth: np.ndarray, ends: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The average precision for each column of weights of the ordered examples; NaN where no positive has weight."""
    found = np.cumsum(np.where(truth[:, None], weights, 0), axis=0)
    seen = np.cumsum(weights, axis=0)
    if len(ends) < len(truth):
        found, seen = found[ends], seen[ends]
    steps = np.diff(found, axis=0, prepend=0)
    total = found[-1]
    summed = (steps * found / np.maximum(seen, 1)).sum(axis=0)
    return np.where(total > 0, summed / np.maximum(total, 1), np.nan)


def resamples_for(size: int) -> int:
    """How many resamples a bootstrap affords for so many pairs of example and output: 1,000 down to 50."""
    return int(np.clip(_WORK // size, *_RESAMPLES))


def mean_precision_interval(
    scores: Float[np.ndarray, 'example classes'],
    truth: Bool[np.ndarray, 'example classes'],
    *,
    resamples: int,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over classes of the average precision, the examples being resampled.

    It assumes that the examples are independent of each other. A class without positives in a resample is left out of
    that resample's mean.

    Args:
        scores: of each class, by which its examples are ranked.
        truth: which are positive; there is one at least.
        resamples: how often all examples are drawn anew, with replacement.
        confidence: level, in (0, 1).
        seed: of the draws.
    """
    # A resample is how often each example was drawn: nothing is sorted again. Float32 counts exactly up to 2^24.
    rng = np.random.default_rng((seed, _STREAM))
    examples = len(scores)
    present = np.flatnonzero(truth.any(axis=0))
    ranked = [ranks(scores[:, i]) for i in present]
    means = []
    rows = max(1, _BLOCK // examples)
    for start in range(0, resamples, rows):
        drawn = rng.multinomial(examples, np.full(examples, 1 / examples), min(rows, resamples - start))
        weights = np.ascontiguousarray(drawn.T, np.float32)
        of_class = np.stack(
            [
                _weighted_precision(truth[order, i], ends, weights[order])
                for i, (order, ends) in zip(present, ranked, strict=True)
            ]
        )
        known = ~np.isnan(of_class)
        counted = known.any(axis=0)
        means.append(np.where(known, of_class, 0.0).sum(axis=0)[counted] / known.sum(axis=0)[counted])
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
