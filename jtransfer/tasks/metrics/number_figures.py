"""What numbers are measured by: errors and R² with their intervals, functions of predictions and truth on the host."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import numpy as np

from jtransfer.tasks.metrics.figure import INDEX, NUMBER, Figure

_BLOCK = 4_000_000
_STREAM = 62

Interval: TypeAlias = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class NumberMetrics:
    """How one number fared; intervals are percentile bootstrap over the examples.

    Attributes:
        name: of the number.
        mae: mean absolute error, in the number's unit.
        mae_interval: of `mae`.
        rmse: root of the mean squared error, in the number's unit.
        rmse_interval: of `rmse`.
        r2: 1 - (squared error) / (squared distance from the mean), ≤ 1.
        r2_interval: of `r2`.
        pearson: correlation of predicted and true, in [-1, 1]; None where either is all the same.
    """

    name: str
    mae: float
    mae_interval: Interval
    rmse: float
    rmse_interval: Interval
    r2: float
    r2_interval: Interval
    pearson: float | None

    def figures(self) -> tuple[Figure, ...]:
        """The errors, R² and the correlation."""
        return (
            Figure('absolute error', self.mae, NUMBER, self.mae_interval),
            Figure('root mean squared error', self.rmse, NUMBER, self.rmse_interval),
            Figure('R²', self.r2, NUMBER, self.r2_interval),
            Figure('correlation', self.pearson, INDEX),
        )


def errors(weights: np.ndarray, predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """MAE, RMSE and R² of every number, for each row of weights of the examples: [rows, numbers] each."""
    total = weights.sum(axis=1, keepdims=True)
    error = predicted - truth
    squared = weights @ error**2
    # Centred first: the difference of two large sums would lose its digits.
    centred = truth - truth.mean(axis=0)
    spread = weights @ centred**2 - (weights @ centred) ** 2 / total
    # Rounding leaves something where the values drawn are all the same.
    rounding = 1e-13 * (weights @ centred**2) + total * (1e-14 * np.abs(truth).max(axis=0)) ** 2
    constant = spread <= rounding
    r2 = np.where(constant, (squared == 0).astype(float), 1 - squared / np.where(constant, 1.0, spread))
    return weights @ np.abs(error) / total, np.sqrt(squared / total), r2


def bootstrap(
    predicted: np.ndarray, truth: np.ndarray, resamples: int, confidence: float, seed: int
) -> tuple[list[list[Interval]], Interval]:
    """Percentile intervals of MAE, RMSE and R² of every number, and of the mean R²."""
    rng = np.random.default_rng((seed, _STREAM))
    examples = len(truth)
    rows = max(1, _BLOCK // examples)
    found: list[np.ndarray] = []
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = rng.multinomial(examples, np.full(examples, 1 / examples), size).astype(np.float64)
        found.append(np.stack(errors(drawn, predicted, truth)))
    every = np.concatenate(found, axis=1)
    levels = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(every, levels, axis=1)
    intervals = [list(zip(a, b, strict=True)) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    of_mean = np.quantile(every[2].mean(axis=1), levels).tolist()
    return intervals, (of_mean[0], of_mean[1])


def pearson(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    """Pearson's correlation, in [-1, 1]; None where either does not vary.

    Args:
        predicted: of every example, float [n].
        truth: of the same.
    """
    if np.ptp(predicted) == 0 or np.ptp(truth) == 0:
        return None
    return float(np.clip(np.corrcoef(predicted, truth)[0, 1], -1.0, 1.0))
