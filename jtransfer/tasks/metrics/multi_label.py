"""How well several labels an example were told, and how that is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Num

from jtransfer.errors import UserError
from jtransfer.tasks.metrics.figure import COUNT, INDEX, SHARE, Figure
from jtransfer.tasks.metrics.measured import Baseline, Measured
from jtransfer.tasks.metrics.panels import METER, NAME, Block, Column, Listing, Table
from jtransfer.tasks.metrics.ranking import average_precision, mean_precision_interval, resamples_for, roc_auc
from jtransfer.tasks.thresholds import predict_labels, sigmoid

SCORE = Figure('mean average precision', None, SHARE)
# Between the labels of an example, in tables.
LABEL_SEPARATOR = '|'


@dataclasses.dataclass(frozen=True)
class LabelMetrics:
    """How one class fared.

    Attributes:
        name: of the class.
        positives: how many examples have this label.
        average_precision: of the examples ranked by the class's output, in [0, 1]; None without positives.
        roc_auc: chance that an example with the label ranks above one without; None without one of the two.
        threshold: probability from which on the class is predicted.
        precision: share of the predictions that were right; None when it was never predicted.
        recall: share of the positives that were predicted; None without positives.
        f1: harmonic mean of the two; None when the class neither occurs nor was predicted.
    """

    name: str
    positives: int
    average_precision: float | None
    roc_auc: float | None
    threshold: float
    precision: float | None
    recall: float | None
    f1: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiLabelMetrics(Measured):
    """The whole of an evaluation; its `loss` is the mean binary cross-entropy of an example and class, nats.

    Attributes:
        mean_average_precision: over the classes that have a positive (macro), in [0, 1].
        mean_average_precision_interval: percentile bootstrap over the examples.
        resamples: of the bootstrap.
        micro_average_precision: of all pairs of example and class ranked together.
        roc_auc: mean over the classes that have positives and negatives; None where none has.
        subset_accuracy: share of the examples with every class right.
        hamming_loss: share of the pairs of example and class that are wrong.
        macro_f1: mean over the classes that have one.
        micro_f1: of all pairs of example and class; None where nothing occurs and nothing was predicted.
        per_class: one entry a class, in order.
    """

    mean_average_precision: float
    mean_average_precision_interval: tuple[float, float]
    resamples: int
    micro_average_precision: float
    roc_auc: float | None
    subset_accuracy: float
    hamming_loss: float
    macro_f1: float
    micro_f1: float | None
    per_class: tuple[LabelMetrics, ...]

    wrong_title: ClassVar[str] = 'Largest losses'

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in order."""
        return tuple(entry.name for entry in self.per_class)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Of every class, the probability from which on it is predicted."""
        return tuple(entry.threshold for entry in self.per_class)

    @property
    def score_figure(self) -> Figure:
        """The mean average precision."""
        value, interval = self.mean_average_precision, self.mean_average_precision_interval
        return dataclasses.replace(SCORE, value=value, interval=interval, confidence=self.confidence)

    def baseline(self) -> Baseline:
        """What ranking at random would be worth: the mean share of positives."""
        chance = float(np.mean([entry.positives / self.examples for entry in self.per_class if entry.positives]))
        return Baseline(chance, f'ranked at random: about {chance:.1%}')

    def more(self) -> list[tuple[str, str]]:
        """F1 and loss."""
        return [('also', f'macro F1 {self.macro_f1:.3f}; binary cross-entropy {self.loss:.3f}')]

    def figures(self) -> list[Figure]:
        """What is right at the thresholds, the area under ROC, and the loss."""
        return [
            Figure('F1', self.macro_f1, SHARE, note='mean over classes'),
            Figure('F1, all pairs', self.micro_f1, SHARE, note='of example and class'),
            Figure('area under ROC', self.roc_auc, INDEX, note='mean over classes'),
            Figure('all labels right', self.subset_accuracy, SHARE, note='of the examples'),
            Figure('hamming loss', self.hamming_loss, SHARE, note='of the labels are wrong'),
            Figure('loss', self.loss, INDEX, note='nats a label'),
        ]

    def blocks(self) -> list[Block]:
        """The classes, the worst first."""
        columns = [
            *(Column('Class', NAME), Column('Positives', COUNT), Column('Average precision', SHARE), Column('', METER)),
            *(Column('F1', SHARE), Column('Precision', SHARE), Column('Recall', SHARE)),
            *(Column('ROC area', INDEX), Column('From', SHARE)),
        ]
        classes = sorted(self.per_class, key=lambda c: (c.average_precision is None, c.average_precision or 0.0))
        listing = Listing(
            title='Worst first',
            columns=columns,
            rows=[
                (
                    *(c.name, c.positives, c.average_precision, c.average_precision),
                    *(c.f1, c.precision, c.recall, c.roc_auc, c.threshold),
                )
                for c in classes
            ],
            note='From: the probability from which on a class is predicted. F1, precision and recall are at that '
            'probability.',
        )
        return [Block('Class by class', [listing], last=True)]

    def without_figure(self) -> tuple[str, ...]:
        """The classes without an example, and the outputs without a label."""
        return (*(entry.name for entry in self.per_class if not entry.positives), *self.absent)

    def tables(self, outputs: np.ndarray, labels: np.ndarray, ids: Sequence[Any]) -> list[Table]:
        """The predictions with the probability of every class, and the classes."""
        names, known = self.class_names, ~np.isnan(labels).any(axis=1)
        guessed, probability = predict_labels(outputs, self.thresholds), sigmoid(outputs)
        rows = [
            (
                example,
                int(known[i]),
                joined(names, labels[i] > 0.5) if known[i] else None,
                joined(names, guessed[i]),
                *(f'{p:.6f}' for p in probability[i]),
            )
            for i, example in enumerate(ids)
        ]
        header = ('id', 'labelled', 'labels', 'predicted', *(f'probability {name}' for name in names))
        columns = ('positives', 'average_precision', 'roc_auc', 'threshold', 'precision', 'recall', 'f1')
        classes = [
            *((c.name, *(getattr(c, column) for column in columns)) for c in self.per_class),
            *((name, 0, *(None for _ in columns[1:])) for name in self.absent),
        ]
        return [Table('predictions', header, rows), Table('per_class', ('class', *columns), classes)]


def multi_label_metrics(
    logits: Float[np.ndarray, 'example classes'],
    labels: Num[np.ndarray, 'example classes'],
    class_names: Sequence[str],
    *,
    confidence: float = 0.95,
    thresholds: Sequence[float] | None = None,
    seed: int = 0,
) -> MultiLabelMetrics:
    """Measures logits against labels.

    The average precision is the sum over the ranks of precision times the step in recall, without interpolation, equal
    logits counting as one rank (scikit-learn's). The interval of its mean takes 1,000 resamples of the examples, fewer
    (50 at least) of a large data set; see `mean_precision_interval`.

    Args:
        logits: of each class; their sigmoid is its probability. Finite.
        labels: 0 or 1.
        class_names: one name a column.
        confidence: level of the interval around the mean average precision, in (0, 1).
        thresholds: probability of each class from which on it is predicted, of `thresholds.fit_thresholds`. None: 0.5.
        seed: of the resamples.

    Raises:
        UserError: no examples, no positive at all, shapes that do not fit, a label other than 0 and 1, or logits that
            are not finite.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    limits = np.full(len(class_names), 0.5) if thresholds is None else np.asarray(thresholds, np.float64)
    _check(logits, labels, class_names, limits)
    logits, truth = logits.astype(np.float64), labels > 0.5
    predicted = predict_labels(logits, limits)
    precision_of = [average_precision(logits[:, i], truth[:, i]) for i in range(truth.shape[1])]
    auc = [roc_auc(logits[:, i], truth[:, i]) for i in range(truth.shape[1])]
    hits, occurs, guessed = ((part.sum(axis=0)) for part in (truth & predicted, truth, predicted))
    f1 = [_ratio(2 * hits[i], occurs[i] + guessed[i]) for i in range(len(hits))]
    resamples = resamples_for(logits.size)
    return MultiLabelMetrics(
        examples=len(logits),
        mean_average_precision=_mean(precision_of),
        mean_average_precision_interval=mean_precision_interval(
            logits, truth, resamples=resamples, confidence=confidence, seed=seed
        ),
        confidence=confidence,
        resamples=resamples,
        micro_average_precision=average_precision(logits.ravel(), truth.ravel()) or 0.0,
        roc_auc=_mean(auc) if any(value is not None for value in auc) else None,
        subset_accuracy=float((truth == predicted).all(axis=1).mean()),
        hamming_loss=float((truth != predicted).mean()),
        macro_f1=_mean(f1),
        micro_f1=_ratio(2 * hits.sum(), occurs.sum() + guessed.sum()),
        loss=float(binary_cross_entropy(logits, truth).mean()),
        per_class=tuple(
            LabelMetrics(
                name=str(name),
                positives=int(occurs[i]),
                average_precision=precision_of[i],
                roc_auc=auc[i],
                threshold=float(limits[i]),
                precision=_ratio(hits[i], guessed[i]),
                recall=_ratio(hits[i], occurs[i]),
                f1=f1[i],
            )
            for i, name in enumerate(class_names)
        ),
    )


def binary_cross_entropy(
    logits: Float[np.ndarray, 'example classes'], labels: Bool[np.ndarray, 'example classes']
) -> Float[np.ndarray, 'example classes']:
    """Negative log likelihood of every label, nats, float64."""
    logits = np.asarray(logits, np.float64)
    return np.logaddexp(0.0, np.where(labels, -logits, logits))


def _check(logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: np.ndarray) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape:
        raise UserError(f'logits {logits.shape} and labels {labels.shape} must both be [examples, classes]')
    if not len(logits):
        raise UserError('there are no examples to evaluate')
    for name, count in (('class names', len(class_names)), ('thresholds', len(thresholds))):
        if count != logits.shape[1]:
            raise UserError(f'{count} {name} for {logits.shape[1]} logits an example')
    if not np.isin(labels, (0, 1)).all():
        raise UserError('labels of several classes an example must be 0 or 1')
    if not (labels == 1).any():
        raise UserError(f'none of the {len(labels)} examples has any of the labels: nothing can be measured on them')
    broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(broken):
        raise UserError(
            f'the logits of {len(broken)} of {len(logits)} examples are not finite (first: example {broken[0]}): '
            'the network diverged, or its weights are damaged'
        )


def _ratio(part: Any, whole: Any) -> float | None:
    return float(part) / float(whole) if whole else None


def _mean(values: Sequence[float | None]) -> float:
    return float(np.mean([value for value in values if value is not None]))


def joined(names: Sequence[str], chosen: np.ndarray) -> str:
    """The chosen names, with `|` between them."""
    return LABEL_SEPARATOR.join(name for name, taken in zip(names, chosen, strict=True) if taken)
