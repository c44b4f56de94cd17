"""How close predicted numbers came: pure functions of predictions and truth, on the host."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from jtransfer.errors import UserError
from jtransfer.number_text import digits_of, exact, rounded
from jtransfer.tasks.measured import Measured, Table
from jtransfer.tasks.ranking import resamples_for

_BLOCK = 4_000_000
_STREAM = 62
# Points kept for the picture of predicted against true.
_SHOWN = 1000

Interval = tuple[float, float]


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


@dataclasses.dataclass(frozen=True)
class RegressionMetrics(Measured):
    """The whole of an evaluation.

    Attributes:
        examples: how many examples were evaluated.
        r2: mean over the numbers.
        r2_interval: of `r2`: percentile bootstrap over the examples.
        confidence: level of the intervals, in (0, 1).
        resamples: of the bootstrap.
        mae: mean over the numbers, whatever their units.
        rmse: the same.
        pearson: the same, of the numbers that have one; None where none has.
        loss: mean squared error over examples and numbers, in the numbers' own units.
        per_number: one entry a number, in order.
        shown_true: of some examples, evenly spaced, for the picture.
        shown_predicted: of the same examples.
        test_time_augmentation: the views of each picture that were averaged, see `Views.name`.
        unlabelled: how many examples were left out because they have no label.
        absent: names of the network's other outputs, for which no example has a label: they have no figures.
    """

    examples: int
    r2: float
    r2_interval: Interval
    confidence: float
    resamples: int
    mae: float
    rmse: float
    pearson: float | None
    loss: float
    per_number: tuple[NumberMetrics, ...]
    shown_true: Float[np.ndarray, 'shown numbers'] = dataclasses.field(compare=False)
    shown_predicted: Float[np.ndarray, 'shown numbers'] = dataclasses.field(compare=False)
    test_time_augmentation: str = 'none'
    unlabelled: int = 0
    absent: tuple[str, ...] = ()

    percent: ClassVar[bool] = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the numbers, in order."""
        return tuple(entry.name for entry in self.per_number)

    @property
    def score(self) -> float:
        """What chooses a checkpoint: `r2`."""
        return self.r2

    @property
    def score_name(self) -> str:
        """What `score` is."""
        return 'R²'

    @property
    def score_interval(self) -> Interval:
        """The interval of `score`."""
        return self.r2_interval

    def headline(self) -> str:
        """R² with its interval, and the mean absolute error, in a line."""
        low, high = self.r2_interval
        mean = 'mean ' if len(self.per_number) > 1 else ''
        return (
            f'{mean}R² {self.r2:.3f} ({self.confidence:.0%} interval {low:.3f} to {high:.3f}), '
            f'{mean}absolute error {self.mae:.4g} on {self.examples:,} examples'
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but the examples of the picture as plain JSON values."""
        names = [f.name for f in dataclasses.fields(self) if not f.name.startswith('shown')]
        names = [name for name in names if name != 'absent' or self.absent]
        values: dict[str, Any] = {'score_name': self.score_name, 'score': self.score}
        values |= {name: getattr(self, name) for name in names}
        values['r2_interval'] = list(self.r2_interval)
        values['per_number'] = [
            {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in dataclasses.asdict(entry).items()
            }
            for entry in self.per_number
        ]
        return values

    def more(self) -> list[tuple[str, str]]:
        """Absolute and squared error."""
        return [('also', f'mean absolute error {self.mae:.4g}; root mean squared error {self.rmse:.4g}')]

    def without_figure(self) -> tuple[str, ...]:
        """The outputs without a label."""
        return self.absent

    def tables(self, outputs: np.ndarray, labels: np.ndarray, ids: Sequence[Any]) -> list[Table]:
        """The true and the predicted numbers, and the figures of each."""
        names, known = self.class_names, ~np.isnan(labels).any(axis=1)
        digits = [digits_of(np.stack([labels[:, i], outputs[:, i]]), 7) for i in range(len(names))]
        rows = [
            (
                example,
                *(
                    cell
                    for number, (true, guess) in enumerate(zip(labels[i], outputs[i], strict=True))
                    for cell in (exact(true) if known[i] else None, rounded(guess, digits[number]))
                ),
            )
            for i, example in enumerate(ids)
        ]
        header = ('id', *(f'{what} {name}' for name in names for what in ('true', 'predicted')))
        measures = ('mae', 'rmse', 'r2')
        numbers = [
            *(
                (n.name, *(v for m in measures for v in (getattr(n, m), *getattr(n, f'{m}_interval'))), n.pearson)
                for n in self.per_number
            ),
            *((name, *(None for _ in range(10))) for name in self.absent),
        ]
        columns = ('number', *(f'{m}{end}' for m in measures for end in ('', '_low', '_high')), 'pearson')
        return [Table('predictions', header, rows), Table('per_number', columns, numbers)]


def regression_metrics(
    predicted: Float[np.ndarray, 'example numbers'],
    truth: Float[np.ndarray, 'example numbers'],
    names: Sequence[str],
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> RegressionMetrics:
    """Measures predicted numbers against the true ones.

    Where all true values of a number are the same, its R² is 1 if all predictions are exact and 0 otherwise
    (scikit-learn's convention).

    Args:
        predicted: in the numbers' own units: the caller has applied `Task.scale` and `Task.offset` to the outputs.
        truth: in the same units.
        names: one a column.
        confidence: level of the intervals, in (0, 1).
        seed: of the resamples of the examples: 1,000, fewer (50 at least) of a large data set.

    Raises:
        UserError: no examples, shapes that do not fit, or numbers that are not finite.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    _check(predicted, truth, names)
    mae, rmse, r2 = _figures(np.ones((1, len(truth))), predicted, truth)
    resamples = resamples_for(truth.size)
    intervals, mean_interval = _bootstrap(predicted, truth, resamples, confidence, seed)
    pearson = [_pearson(predicted[:, i], truth[:, i]) for i in range(truth.shape[1])]
    known = [value for value in pearson if value is not None]
    shown = np.unique(np.linspace(0, len(truth) - 1, min(_SHOWN, len(truth))).astype(int))
    return RegressionMetrics(
        examples=len(truth),
        r2=float(r2.mean()),
        r2_interval=mean_interval,
        confidence=confidence,
        resamples=resamples,
        mae=float(mae.mean()),
        rmse=float(rmse.mean()),
        pearson=float(np.mean(known)) if known else None,
        loss=float(((predicted - truth) ** 2).mean()),
        per_number=tuple(
            NumberMetrics(
                name=str(name),
                mae=float(mae[0, i]),
                mae_interval=intervals[0][i],
                rmse=float(rmse[0, i]),
                rmse_interval=intervals[1][i],
                r2=float(r2[0, i]),
                r2_interval=intervals[2][i],
                pearson=pearson[i],
            )
            for i, name in enumerate(names)
        ),
        shown_true=truth[shown],
        shown_predicted=predicted[shown],
    )


def _figures(
    weights: np.ndarray, predicted: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def _bootstrap(
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
        found.append(np.stack(_figures(drawn, predicted, truth)))
    every = np.concatenate(found, axis=1)
    levels = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(every, levels, axis=1)
    intervals = [list(zip(a, b, strict=True)) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    of_mean = np.quantile(every[2].mean(axis=1), levels).tolist()
    return intervals, (of_mean[0], of_mean[1])


def _pearson(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    if np.ptp(predicted) == 0 or np.ptp(truth) == 0:
        return None
    return float(np.clip(np.corrcoef(predicted, truth)[0, 1], -1.0, 1.0))


def _check(predicted: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> None:
    if predicted.ndim != 2 or truth.shape != predicted.shape:
        raise UserError(f'predicted {predicted.shape} and true {truth.shape} must both be [examples, numbers]')
    if not len(truth):
        raise UserError('there are no examples to evaluate')
    if len(names) != truth.shape[1]:
        raise UserError(f'{len(names)} names for {truth.shape[1]} numbers an example')
    for name, values in (('predicted', predicted), ('true', truth)):
        broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(broken):
            raise UserError(
                f'the {name} numbers of {len(broken)} of {len(values)} examples are not finite '
                f'(first: example {broken[0]})'
            )
