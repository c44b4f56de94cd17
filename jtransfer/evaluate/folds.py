"""What folds say about a method, and about the difference of two: tests and intervals, each with what it assumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jtransfer.errors import UserError

_STREAM = 63
_BLOCK = 4_000_000


@dataclasses.dataclass(frozen=True)
class TTest:
    """A test of whether a mean is 0.

    Attributes:
        mean: of the values.
        standard_error: of the mean, corrected.
        t: their quotient; infinite where all values are the same and not 0.
        degrees: of freedom.
        p: two-sided, in [0, 1].
        low: end of the interval of the mean.
        high: its other end.
    """

    mean: float
    standard_error: float
    t: float
    degrees: int
    p: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class FoldInterval:
    """The mean of a score over folds.

    Attributes:
        mean: of the scores.
        sd: their standard deviation, with n - 1.
        standard_error: of the mean, corrected for the training data that folds share.
        low: end of the interval of the mean.
        high: its other end.
        confidence: its level, in (0, 1).
    """

    mean: float
    sd: float
    standard_error: float
    low: float
    high: float
    confidence: float


@dataclasses.dataclass(frozen=True)
class McNemar:
    """The examples that two classifiers tell apart: right by the first alone, by the second alone; two-sided p."""

    only_a: int
    only_b: int
    p: float


@dataclasses.dataclass(frozen=True)
class Difference:
    """A mean difference with its percentile interval."""

    mean: float
    low: float
    high: float
    confidence: float


def corrected_resampled_t(
    differences: Sequence[float] | Float[np.ndarray, ' n'], test_train_ratio: float, confidence: float = 0.95
) -> TTest:
    """The corrected resampled t-test (Nadeau and Bengio, 2003, https://doi.org/10.1023/A:1024068626366).

    Training parts of different folds overlap, so that the folds' differences are correlated and the plain t-test finds
    too much. The correction takes n_test / (n_train + n_test) for their correlation, which makes the variance of the
    mean s² (1/n + n_test/n_train). It assumes besides that the differences are normal. It is a heuristic: it does not
    know the true correlation. It holds for repeated folds too (Bouckaert and Frank, 2004), with n = folds x repeats.

    Args:
        differences: of the scores of two methods on the same folds, two at least.
        test_train_ratio: size of a test part over the size of a training part, ≥ 0; 1/(k - 1) for k folds. 0: the
            plain t-test.
        confidence: level of the interval, in (0, 1).

    Raises:
        UserError: fewer than two differences, one that is not finite, or a ratio or level that cannot be.
    """
    from scipy.stats import t as student

    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise UserError(f'a t-test needs two folds or more, not {values.size}')
    if not np.isfinite(values).all():
        raise UserError('a t-test needs finite scores of every fold')
    if not (test_train_ratio >= 0 and np.isfinite(test_train_ratio)):
        raise UserError(f'the ratio of test to training examples, {test_train_ratio}, must be at least 0')
    if not 0 < confidence < 1:
        raise UserError(f'confidence={confidence} must be between 0 and 1')
    mean, degrees = float(values.mean()), len(values) - 1
    # Of equal values rounding may leave a spread, and with it a t that means nothing.
    spread = 0.0 if np.ptp(values) == 0 else float(values.std(ddof=1))
    error = spread * float(np.sqrt(1 / len(values) + test_train_ratio))
    t = mean / error if error else float(np.sign(mean)) * np.inf if mean else 0.0
    reach = float(student.ppf((1 + confidence) / 2, degrees)) * error
    p = float(2 * student.sf(abs(t), degrees))
    return TTest(mean, error, t, degrees, p, mean - reach, mean + reach)


def fold_interval(
    scores: Sequence[float] | Float[np.ndarray, ' n'], test_train_ratio: float, confidence: float = 0.95
) -> FoldInterval:
    """The mean score over folds (and repeats), with an interval corrected as in `corrected_resampled_t`.

    The interval is of the score that the method reaches on average with training parts of this size drawn from the same
    population. It assumes normal scores, and takes the correlation of folds to be the share of the test part.

    Args:
        scores: one a fold, two at least.
        test_train_ratio: size of a test part over the size of a training part, ≥ 0.
        confidence: level, in (0, 1).

    Raises:
        UserError: as for `corrected_resampled_t`.
    """
    test = corrected_resampled_t(scores, test_train_ratio, confidence)
    sd = float(np.std(np.asarray(scores, np.float64), ddof=1))
    return FoldInterval(test.mean, sd, test.standard_error, test.low, test.high, confidence)


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> McNemar:
    """McNemar's exact test of whether two classifiers err equally often (McNemar, 1947), on the same examples.

    Only examples that one of them got right and the other wrong count; each is a toss of a fair coin if the two are
    alike. It compares two sets of predictions, not two methods: how much each would change with other training data is
    not in it. On out-of-fold predictions it takes the examples for independent, though those of a fold share a network.

    Args:
        correct_a: bool [n], of every example, whether the first was right; of one repeat.
        correct_b: the same of the second, in the same order.

    Raises:
        UserError: the numbers of examples differ, or there are none.
    """
    from scipy.stats import binomtest

    a, b = _paired(correct_a, correct_b)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    tosses = only_a + only_b
    return McNemar(only_a, only_b, float(binomtest(only_a, tosses, 0.5).pvalue) if tosses else 1.0)


def paired_bootstrap(
    values_a: np.ndarray,
    values_b: np.ndarray,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """The mean of a - b over examples, with a percentile bootstrap interval (Efron and Tibshirani, 1993).

    The examples are drawn anew, a and b of each together. It assumes that they are independent of each other (images of
    one patient or scene are not, and make it too narrow), and that the two networks are given: training again is not in
    it.

    Args:
        values_a: [n], of every example: right (1) or wrong (0), or a loss.
        values_b: the same of the second, in the same order.
        confidence: level, in (0, 1).
        resamples: how many, ≥ 1.
        seed: of the draws.

    Raises:
        UserError: the numbers of examples differ, or there are none.
    """
    a, b = _paired(values_a, values_b)
    difference = a.astype(np.float64) - b.astype(np.float64)
    rng = np.random.default_rng((seed, _STREAM))
    examples = len(difference)
    # Equal differences are drawn together: of right and wrong there are three, whatever the number of examples.
    values, counts = np.unique(difference, return_counts=True)
    rows = max(1, _BLOCK // len(values))
    means = []
    for start in range(0, resamples, rows):
        drawn = rng.multinomial(examples, counts / examples, min(rows, resamples - start))
        means.append(drawn @ values / examples)
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Difference(float(difference.mean()), float(low), float(high), confidence)


def _paired(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 1:
        raise UserError(f'{len(a)} and {len(b)} examples cannot be compared one by one')
    if not len(a):
        raise UserError('there are no examples to compare')
    return a, b
