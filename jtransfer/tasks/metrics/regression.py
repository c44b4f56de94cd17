"""How close predicted numbers came, and how it is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from jtransfer.errors import UserError
from jtransfer.tasks.metrics.figure import INDEX, NUMBER, Figure
from jtransfer.tasks.metrics.measured import Baseline, Measured
from jtransfer.tasks.metrics.number_figures import Interval, NumberMetrics, bootstrap, errors, pearson
from jtransfer.tasks.metrics.panels import NAME, Block, Column, Listing, Scatter, Table
from jtransfer.tasks.metrics.ranking import resamples_for
from jtransfer.text.numbers import digits_of, exact, rounded

SCORE = Figure('R²', None)
# Points kept for the diagram of predicted against true.
_SHOWN = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegressionMetrics(Measured):
    """The whole of an evaluation; its `loss` is the mean squared error, in the numbers' own units.

    Attributes:
        r2: mean over the numbers.
        r2_interval: of `r2`: percentile bootstrap over the examples.
        resamples: of the bootstrap.
        mae: mean over the numbers, whatever their units.
        rmse: the same.
        pearson: the same, of the numbers that have one; None where none has.
        per_number: one entry a number, in order.
        shown_true: of some examples, evenly spaced, for the diagram.
        shown_predicted: of the same examples.
    """

    r2: float
    r2_interval: Interval
    resamples: int
    mae: float
    rmse: float
    pearson: float | None
    per_number: tuple[NumberMetrics, ...]
    shown_true: Float[np.ndarray, 'shown numbers'] = dataclasses.field(compare=False)
    shown_predicted: Float[np.ndarray, 'shown numbers'] = dataclasses.field(compare=False)

    wrong_title: ClassVar[str] = 'Largest errors'

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the numbers, in order."""
        return tuple(entry.name for entry in self.per_number)

    @property
    def score_figure(self) -> Figure:
        """R²."""
        return dataclasses.replace(SCORE, value=self.r2, interval=self.r2_interval, confidence=self.confidence)

    def baseline(self) -> Baseline:
        """Naming the mean always."""
        return Baseline(0.0, 'always the mean of the true values: 0')

    def headline(self) -> str:
        """R² with its interval, and the mean absolute error, in a line."""
        low, high = self.r2_interval
        mean = 'mean ' if len(self.per_number) > 1 else ''
        return (
            f'{mean}R² {self.r2:.3f} ({self.confidence:.0%} interval {low:.3f} to {high:.3f}), '
            f'{mean}absolute error {self.mae:.4g} on {self.examples:,} examples'
        )

    def more(self) -> list[tuple[str, str]]:
        """Absolute and squared error."""
        return [('also', f'mean absolute error {self.mae:.4g}; root mean squared error {self.rmse:.4g}')]

    def figures(self) -> list[Figure]:
        """Errors, correlation and loss."""
        several = len(self.per_number) > 1
        note = f'mean over {len(self.per_number)} numbers' if several else 'in the unit of the number'
        return [
            Figure('absolute error', self.mae, NUMBER, note=note),
            Figure('root mean squared error', self.rmse, NUMBER, note=note),
            Figure('correlation', self.pearson, INDEX, note='Pearson'),
            Figure('loss', self.loss, NUMBER, note='squared error'),
        ]

    def blocks(self) -> list[Block]:
        """Predicted against true, and the figures of each number."""
        shown, several = len(self.shown_true), len(self.per_number) > 1
        caption = 'On the dashed line the two are the same.'
        if shown < self.examples:
            caption = f'{caption} {shown:,} of {self.examples:,} examples.'
        plots = [
            Scatter(
                title=entry.name,
                alt=f'predicted against true {entry.name}',
                xs=self.shown_true[:, i],
                ys=self.shown_predicted[:, i],
                caption=caption,
            )
            for i, entry in enumerate(self.per_number)
        ]
        if several:
            return [
                Block('Predicted against true', plots, even=True),
                Block('', [self._number_by_number()]),
            ]
        return [Block('Predicted against true', [*plots, _in_figures(self.per_number[0])])]

    def _number_by_number(self) -> Listing:
        names = ('Absolute error', 'Root mean squared error', 'R²', 'Correlation')
        return Listing(
            title='Number by number',
            columns=[Column('Number', NAME), *(Column(name) for name in names)],
            rows=[(entry.name, *entry.figures()) for entry in self.per_number],
        )

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
    mae, rmse, r2 = errors(np.ones((1, len(truth))), predicted, truth)
    resamples = resamples_for(truth.size)
    intervals, mean_interval = bootstrap(predicted, truth, resamples, confidence, seed)
    correlation = [pearson(predicted[:, i], truth[:, i]) for i in range(truth.shape[1])]
    known = [value for value in correlation if value is not None]
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
                pearson=correlation[i],
            )
            for i, name in enumerate(names)
        ),
        shown_true=truth[shown],
        shown_predicted=predicted[shown],
    )


def _in_figures(entry: NumberMetrics) -> Listing:
    return Listing(
        title='In figures',
        columns=[Column('Measure', NAME), Column('Value'), Column('Interval')],
        rows=[
            (figure.title, dataclasses.replace(figure, interval=None), figure.interval_text)
            for figure in entry.figures()
        ],
    )


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
