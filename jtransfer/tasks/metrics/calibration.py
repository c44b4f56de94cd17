"""Whether a network is as sure as it is right: the bins of a reliability diagram and their error."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jtransfer.tasks.metrics.panels import Bar, Bars


@dataclasses.dataclass(frozen=True)
class CalibrationBin:
    """The predictions whose probability lies in (low, high]; means are None in an empty bin."""

    low: float
    high: float
    examples: int
    confidence: float | None
    accuracy: float | None


def calibration_bins(
    probability: Float[np.ndarray, ' example'], correct: np.ndarray, bins: int = 15
) -> tuple[CalibrationBin, ...]:
    """Sorts predictions into `bins` equal-width bins (low, high] of their probability.

    Args:
        probability: of the predicted class, in [0, 1].
        correct: whether the prediction was right, bool, one an example.
        bins: number of bins, ≥ 1.

    Returns:
        The bins from low to high, empty ones included.
    """
    index = np.clip(np.ceil(probability * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    confidence = np.bincount(index, weights=probability, minlength=bins)
    accuracy = np.bincount(index, weights=correct, minlength=bins)
    return tuple(
        CalibrationBin(
            low=i / bins,
            high=(i + 1) / bins,
            examples=int(n),
            confidence=float(confidence[i] / n) if n else None,
            accuracy=float(accuracy[i] / n) if n else None,
        )
        for i, n in enumerate(counts)
    )


def expected_calibration_error(table: Sequence[CalibrationBin]) -> float:
    """Mean of |accuracy − confidence| over the bins, weighted by their examples; in [0, 1]."""
    total = sum(entry.examples for entry in table)
    gaps = (
        entry.examples * abs(entry.accuracy - entry.confidence)
        for entry in table
        if entry.accuracy is not None and entry.confidence is not None
    )
    return float(sum(gaps) / total)


def reliability(table: Sequence[CalibrationBin]) -> Bars:
    """The reliability diagram: of the bins that hold examples, how sure the network was and how often it was right."""
    return Bars(
        title='Reliability',
        alt='reliability diagram',
        caption='A calibrated network follows the dashed line. Grey: how many predictions.',
        x='probability of the prediction',
        y='share that was right',
        bars=[
            Bar(
                low=entry.low,
                high=entry.high,
                height=entry.accuracy,
                mark=entry.confidence,
                weight=entry.examples,
                text=f'{entry.examples} predictions at {entry.low:.0%} to {entry.high:.0%}: '
                f'mean probability {entry.confidence:.1%}, right {entry.accuracy:.1%}',
            )
            for entry in table
            if entry.accuracy is not None and entry.confidence is not None
        ],
    )
