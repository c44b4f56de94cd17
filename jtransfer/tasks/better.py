"""Which of two validation results is the better one: wherever something is chosen by a score, it is chosen by this."""

from __future__ import annotations

import math
from collections.abc import Mapping

# What a validation calls its score, and how that is told: of one label an example, and of every other task.
VALIDATED = {'top1': '.1%', 'score': '.3f'}


def deciding(scores: Mapping[str, float]) -> float:
    """The score that chooses the best checkpoint, of all that a validation tells."""
    return next(scores[name] for name in VALIDATED if name in scores)


def rank(score: float | None, loss: float | None) -> tuple[float, float]:
    """What validation results are ordered by, the best last: the score, and of equal scores the lower loss.

    Accuracies of a small part are often equal, and 100 % may be reached long before a network is sure of it.

    >>> max([(0.9, 0.5), (0.9, 0.3), (0.8, 0.1)], key=lambda pair: rank(*pair))
    (0.9, 0.3)

    Args:
        score: larger is better. None or not a number: worse than any other.
        loss: smaller is better, likewise.
    """
    lowest = -math.inf
    return (
        lowest if score is None or math.isnan(score) else score,
        lowest if loss is None or math.isnan(loss) else -loss,
    )
