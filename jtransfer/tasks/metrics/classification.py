"""What a classifier got right, and how it is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from jtransfer.errors import UserError
from jtransfer.tasks.metrics.calibration import (
    CalibrationBin,
    calibration_bins,
    expected_calibration_error,
    reliability,
)
from jtransfer.tasks.metrics.class_figures import (
    ClassMetrics,
    class_by_class,
    most_confused,
    per_example,
    top_prediction,
    wilson_interval,
)
from jtransfer.tasks.metrics.figure import COUNT, INDEX, SHARE, Figure
from jtransfer.tasks.metrics.measured import Baseline, Measured
from jtransfer.tasks.metrics.panels import METER, MOST_IN_MATRIX, NAME, Block, Column, Listing, Matrix, Table

SCORE = Figure('accuracy', None, SHARE)
# Rows of the table of most frequent mistakes, beside a matrix and in its place.
_PAIRS, _PAIRS_ALONE = 12, 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metrics(Measured):
    """The whole of an evaluation; its `loss` is the mean negative log likelihood of the label, nats.

    Attributes:
        top1: share of the examples whose most likely class is the label, in [0, 1].
        top1_interval: Wilson interval of `top1`.
        top_k: share of them with the label among the `k` most likely classes.
        k: 5, or the number of classes where that is less.
        expected_calibration_error: mean distance of probability and accuracy over the bins, weighted by examples.
        balanced_accuracy: mean accuracy of the classes that occur.
        per_class: one entry a class, in the order of the class numbers.
        calibration: the bins of the reliability diagram, in order.
        confusion_matrix: how often label (row) was taken for class (column).
    """

    top1: float
    top1_interval: tuple[float, float]
    top_k: float
    k: int
    expected_calibration_error: float
    balanced_accuracy: float
    per_class: tuple[ClassMetrics, ...]
    calibration: tuple[CalibrationBin, ...]
    confusion_matrix: Int[np.ndarray, 'classes classes'] = dataclasses.field(compare=False)

    wrong_title: ClassVar[str] = 'Most confidently wrong'

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, by class number."""
        return tuple(entry.name for entry in self.per_class)

    @property
    def score_figure(self) -> Figure:
        """The accuracy."""
        return dataclasses.replace(SCORE, value=self.top1, interval=self.top1_interval, confidence=self.confidence)

    def baseline(self) -> Baseline:
        """What naming the commonest class always would be worth."""
        commonest = max(entry.examples for entry in self.per_class) / self.examples
        return Baseline(commonest, f'always the commonest class: {commonest:.1%}')

    def more(self) -> list[tuple[str, str]]:
        """Top-k accuracy, loss and calibration."""
        top_k = f'top-{self.k} accuracy {self.top_k:.1%}; ' if self.k < len(self.per_class) else ''
        calibration = f'calibration error {self.expected_calibration_error:.3f}'
        return [('also', f'{top_k}cross-entropy {self.loss:.3f}; {calibration}')]

    def describe(self, part: str) -> str:
        """The accuracy with its interval, loss and calibration."""
        figure = self.score_figure
        interval = f'({self.confidence:.0%} interval {figure.interval_text})'
        return (
            f'{figure.name} {figure.text} {interval} on {self.examples:,} examples ({part}); loss {self.loss:.3f}; '
            f'calibration error {self.expected_calibration_error:.3f}'
        )

    def figures(self) -> list[Figure]:
        """Mistakes, balanced accuracy, top-k accuracy, loss and calibration."""
        mistakes = self.examples - int(np.trace(self.confusion_matrix))
        top_k = Figure(f'top-{self.k} accuracy', self.top_k, SHARE, note=f'of {len(self.per_class)} classes')
        bins = f'{len(self.calibration)} bins'
        return [
            Figure('mistakes', mistakes, COUNT, note=f'of {self.examples:,}'),
            Figure('balanced accuracy', self.balanced_accuracy, SHARE, note='mean over classes'),
            *([top_k] if self.k < len(self.per_class) else []),
            Figure('loss', self.loss, INDEX, note='nats an example'),
            Figure('calibration error', self.expected_calibration_error, SHARE, note=bins),
        ]

    def blocks(self) -> list[Block]:
        """The confusion matrix, where it can be read, the most frequent mistakes, reliability, and the classes."""
        names, matrix = self.class_names, self.confusion_matrix
        readable = len(names) <= MOST_IN_MATRIX
        mistakes = Listing(
            title='Most frequent mistakes',
            columns=[
                *(Column('True class', NAME), Column('Taken for', NAME)),
                *(Column('Times', COUNT), Column('Of the class', SHARE)),
            ],
            rows=[
                (pair.label, pair.predicted, pair.count, pair.share)
                for pair in most_confused(matrix, names, _PAIRS if readable else _PAIRS_ALONE)
            ],
        )
        confusion = Matrix('Confusion matrix', 'confusion matrix', names, matrix, 'true class', 'predicted class')
        by_class = Listing(
            title='Worst first',
            columns=[
                *(Column('Class', NAME), Column('Examples', COUNT), Column('Accuracy', SHARE), Column('', METER)),
                *(Column('Precision', SHARE), Column('F1', SHARE)),
            ],
            rows=[
                (c.name, c.examples, c.accuracy, c.accuracy, c.precision, c.f1)
                for c in sorted(self.per_class, key=lambda c: (c.accuracy is None, c.accuracy or 0.0))
            ],
        )
        return [
            Block('Where it errs', [confusion if readable else mistakes, reliability(self.calibration)]),
            Block('Class by class', [by_class, mistakes] if readable else [by_class], last=True),
        ]

    def validation(self) -> dict[str, float]:
        """Top-1 accuracy and loss."""
        return {'top1': self.top1, 'loss': self.loss}

    def with_absent(self, names: tuple[str, ...]) -> Metrics:
        """Itself: a class without an example has a row without figures anyway."""
        del names
        return self

    def without_figure(self) -> tuple[str, ...]:
        """The classes without an example."""
        return tuple(entry.name for entry in self.per_class if not entry.examples)

    def tables(self, outputs: np.ndarray, labels: np.ndarray, ids: Sequence[Any]) -> list[Table]:
        """The predictions, the classes, and how often one (row) was taken for another (column)."""
        names = self.class_names
        predicted, probability = top_prediction(outputs)
        rows = [
            (example, names[label], names[guess], f'{p:.6f}', int(label == guess))
            if label >= 0
            else (example, None, names[guess], f'{p:.6f}', None)
            for example, label, guess, p in zip(ids, labels, predicted, probability, strict=True)
        ]
        return [
            Table('predictions', ('id', 'label', 'predicted', 'probability', 'correct'), rows),
            Table(
                'per_class',
                ('class', 'examples', 'accuracy', 'precision', 'f1'),
                [(c.name, c.examples, c.accuracy, c.precision, c.f1) for c in self.per_class],
            ),
            Table(
                'confusion_matrix',
                ('label', *names),
                [(name, *row) for name, row in zip(names, self.confusion_matrix.tolist(), strict=True)],
            ),
        ]


def classification_metrics(
    logits: Float[np.ndarray, 'example classes'],
    labels: Int[np.ndarray, ' example'],
    class_names: Sequence[str],
    *,
    confidence: float = 0.95,
    bins: int = 15,
) -> Metrics:
    """Measures logits against labels.

    Of equal logits the class with the smaller number ranks first, in the prediction as in the top k. The expected
    calibration error has equal-width bins (Guo et al., 2017, https://arxiv.org/abs/1706.04599).

    Args:
        logits: unnormalised log probabilities, finite.
        labels: class numbers, in [0, classes).
        class_names: one name a column of `logits`.
        confidence: level of the interval around the top-1 accuracy, in (0, 1).
        bins: number of equal-width bins of the calibration error, ≥ 1.

    Returns:
        The metrics.

    Raises:
        UserError: no examples, shapes that do not fit, a label out of range, or logits that are not finite.
    """
    from sklearn.metrics import confusion_matrix

    logits, labels = np.asarray(logits), np.asarray(labels)
    _check(logits, labels, class_names)
    examples, classes = logits.shape
    k = min(5, classes)
    predicted, probability, loss, rank = per_example(logits, labels)
    correct = rank == 0
    matrix = confusion_matrix(labels, predicted, labels=np.arange(classes)).astype(np.int64)
    table = calibration_bins(probability, correct, bins)
    per_class = class_by_class(matrix, class_names)
    return Metrics(
        examples=examples,
        top1=float(correct.mean()),
        top1_interval=wilson_interval(int(correct.sum()), examples, confidence),
        confidence=confidence,
        top_k=float((rank < k).mean()),
        k=k,
        loss=float(loss.mean()),
        expected_calibration_error=expected_calibration_error(table),
        balanced_accuracy=float(np.mean([entry.accuracy for entry in per_class if entry.accuracy is not None])),
        per_class=per_class,
        calibration=table,
        confusion_matrix=matrix,
    )


def _check(logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise UserError(f'logits {logits.shape} and labels {labels.shape} must be [examples, classes] and [examples]')
    if not len(logits):
        raise UserError('there are no examples to evaluate')
    if len(class_names) != logits.shape[1]:
        raise UserError(f'{len(class_names)} class names for {logits.shape[1]} logits an example')
    outside = np.flatnonzero((labels < 0) | (labels >= logits.shape[1]))
    if len(outside):
        raise UserError(
            f'label {labels[outside[0]]} of example {outside[0]} is outside 0 … {logits.shape[1] - 1}, '
            f'the {logits.shape[1]} classes of the network'
        )
    broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(broken):
        raise UserError(
            f'the logits of {len(broken)} of {len(logits)} examples are not finite (first: example {broken[0]}): '
            'the network diverged, or its weights are damaged'
        )
