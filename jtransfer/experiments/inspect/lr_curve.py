"""The curve of a range test: the loss while the learning rate rises, smoothed, and the rates that it suggests."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

SMOOTHING = 0.98
DIVERGED = 4.0

DIVERGENCE, OVERFLOW, END = 'divergence', 'overflow', 'end'
ENDINGS = {
    DIVERGENCE: f'the smoothed loss rose above {DIVERGED:g} times its best',
    OVERFLOW: 'the loss, a gradient or a parameter was no longer finite',
    END: 'the highest learning rate was reached',
}


@dataclasses.dataclass(frozen=True)
class Suggestions:
    """Learning rates that a range test suggests, as values of `optim.learning_rate`.

    Attributes:
        valley: the one to take: two thirds (by logarithm) through the longest stretch where the smoothed loss falls.
        steepest: where the smoothed loss falls fastest against the logarithm of the learning rate.
        minimum: a tenth of that with the lowest smoothed loss.
        valley_ends: where that stretch begins and ends.
    """

    valley: float
    steepest: float
    minimum: float
    valley_ends: tuple[float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class RangeTest:
    """What a range test measured, a value a step.

    Attributes:
        learning_rates: `optim.learning_rate` of the step, rising.
        losses: the loss of the step's batch, before its update.
        smoothed: the same, by `smooth`.
        ending: why it ended there, a key of `ENDINGS`.
        suggestions: what to take. None: the loss did not fall.
    """

    learning_rates: Float[np.ndarray, ' steps']
    losses: Float[np.ndarray, ' steps']
    smoothed: Float[np.ndarray, ' steps']
    ending: str
    suggestions: Suggestions | None

    def summary(self) -> str:
        """One line: the suggestion and how the loss moved, or that there is none."""
        best = int(np.argmin(self.smoothed))
        begin, low = self.smoothed[min(_settled(len(self.smoothed)), best)], self.smoothed[best]
        end = f'{ENDINGS[self.ending]} at {self.learning_rates[-1]:.1e}'
        if self.suggestions is None:
            return f'no suggestion: the loss never falls (smoothed {begin:.3g}, at best {low:.3g}; {end})'
        return (
            f'suggestion: optim.learning_rate={self.suggestions.valley:.1e} '
            f'(smoothed loss falls from {begin:.3g} to {low:.3g} at {self.learning_rates[best]:.1e}; {end})'
        )


def smooth(losses: Float[np.ndarray, ' steps'], decay: float = SMOOTHING) -> Float[np.ndarray, ' steps']:
    """The exponential moving average of a curve, without the bias of starting at zero (as in Adam).

    Args:
        losses: the curve.
        decay: weight of the past, in [0, 1).
    """
    average, values = 0.0, np.empty(len(losses))
    for step, loss in enumerate(losses):
        average = decay * average + (1 - decay) * loss
        values[step] = average / (1 - decay ** (step + 1))
    return values


def suggest(learning_rates: Float[np.ndarray, ' steps'], losses: Float[np.ndarray, ' steps']) -> Suggestions | None:
    """Reads learning rates off a range test's curve; None where its loss does not fall.

    The first tenth of the steps, where the smoothed loss still follows single batches, gives the level from which the
    loss falls, and no suggestion. The loss counts as fallen when the smoothed loss gets below that level by more than
    2% and by more than three standard errors of it.

    `valley` is what fastai documents for its default: two thirds through the longest valley. The valley is the longest
    falling subsequence of the smoothed loss, so that a bump does not end it.

    Args:
        learning_rates: of the steps, rising.
        losses: raw.
    """
    skip = _settled(len(losses))
    start, smoothed, rates = losses[:skip], smooth(losses)[skip:], learning_rates[skip:]
    if len(rates) < 3:
        return None
    level, error = start.mean(), start.std(ddof=1) / np.sqrt(skip)
    lowest = int(np.argmin(smoothed))
    if not level - smoothed[lowest] > max(0.02 * abs(level), 3 * error):
        return None
    slopes = np.gradient(smoothed, np.log(rates))
    first, last = longest_fall(smoothed)
    valley = np.exp(np.log(rates[first]) + 2 / 3 * np.log(rates[last] / rates[first]))
    return Suggestions(
        valley=float(valley),
        steepest=float(rates[np.argmin(slopes)]),
        minimum=float(rates[lowest] / 10),
        valley_ends=(float(rates[first]), float(rates[last])),
    )


def longest_fall(curve: Float[np.ndarray, ' steps']) -> tuple[int, int]:
    """Where the longest falling subsequence of a curve begins and ends; of several equally long ones the first."""
    lengths, begins = np.ones(len(curve), int), np.arange(len(curve))
    for index in range(1, len(curve)):
        above = np.flatnonzero(curve[:index] > curve[index])
        if len(above):
            # Of equally long ones the one that begins last, which is the steepest.
            before = max(above, key=lambda other: (lengths[other], begins[other]))
            lengths[index], begins[index] = lengths[before] + 1, begins[before]
    last = int(np.argmax(lengths))
    return int(begins[last]), last


def _settled(steps: int) -> int:
    return max(3, steps // 10)
