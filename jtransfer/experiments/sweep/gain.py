"""How much better one setting of a sweep is than another, with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from jtransfer.evaluate.folds import corrected_resampled_t

CONFIDENCE = 0.95


class Gain(NamedTuple):
    """A difference of means, with the ends of its 95 % interval where there are runs enough for one."""

    mean: float
    low: float | None
    high: float | None
    paired: bool


def gain(
    values: Sequence[float], seeds: Sequence[str], baseline: Sequence[float], baseline_seeds: Sequence[str]
) -> Gain:
    """The mean of some runs less that of others.

    Runs of one seed share training images, order and augmentation: where both sides have the same seeds, the interval
    is Student's of the differences seed by seed; otherwise Welch's, of two independent means. Both assume that runs
    vary normally, and know no other variation than that of the seeds.

    Args:
        values: of the runs, one at least.
        seeds: of the same runs.
        baseline: of the others, one at least.
        baseline_seeds: of these.
    """
    from scipy import stats

    mean = math.fsum(values) / len(values) - math.fsum(baseline) / len(baseline)
    theirs = dict(zip(baseline_seeds, baseline, strict=True))
    paired = sorted(seeds) == sorted(baseline_seeds) and len(theirs) == len(baseline)
    if min(len(values), len(baseline)) < 2:
        return Gain(mean, None, None, paired)
    if paired:
        differences = [value - theirs[seed] for value, seed in zip(values, seeds, strict=True)]
        test = corrected_resampled_t(differences, 0.0, CONFIDENCE)
        return Gain(mean, test.low, test.high, True)
    if len({*values}) == len({*baseline}) == 1:
        return Gain(mean, mean, mean, False)
    interval = stats.ttest_ind(values, baseline, equal_var=False).confidence_interval(CONFIDENCE)
    return Gain(mean, float(interval.low), float(interval.high), False)
