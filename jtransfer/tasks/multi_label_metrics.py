"""How well several labels an image were told: pure functions of logits and labels, on the host."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Num

from jtransfer.errors import UserError
from jtransfer.tasks.measured import Measured, Table
from jtransfer.tasks.ranking import average_precision, mean_precision_interval, ranks, resamples_for, roc_auc

# Between the labels of an image, in tables.
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


@dataclasses.dataclass(frozen=True)
class MultiLabelMetrics(Measured):
    """The whole of an evaluation.

    Attributes:
        examples: how many examples were evaluated.
        mean_average_precision: over the classes that have a positive (macro), in [0, 1].
        mean_average_precision_interval: percentile bootstrap over the examples.
        confidence: level of that interval, in (0, 1).
        resamples: of the bootstrap.
        micro_average_precision: of all pairs of example and class ranked together.
        roc_auc: mean over the classes that have positives and negatives; None where none has.
        subset_accuracy: share of the examples with every class right.
        hamming_loss: share of the pairs of example and class that are wrong.
        macro_f1: mean over the classes that have one.
        micro_f1: of all pairs of example and class; None where nothing occurs and nothing was predicted.
        loss: mean binary cross-entropy of an example and class, nats.
        per_class: one entry a class, in order.
        test_time_augmentation: the views of each picture that were averaged, see `Views.name`.
        unlabelled: how many examples were left out because they have no labels.
        absent: names of the network's other outputs, for which no example has a label: they have no figures.
    """

    examples: int
    mean_average_precision: float
    mean_average_precision_interval: tuple[float, float]
    confidence: float
    resamples: int
    micro_average_precision: float
    roc_auc: float | None
    subset_accuracy: float
    hamming_loss: float
    macro_f1: float
    micro_f1: float | None
    loss: float
    per_class: tuple[LabelMetrics, ...]
    test_time_augmentation: str = 'none'
    unlabelled: int = 0
    absent: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in order."""
        return tuple(entry.name for entry in self.per_class)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Of every class, the probability from which on it is predicted."""
        return tuple(entry.threshold for entry in self.per_class)

    @property
    def score(self) -> float:
        """What chooses a checkpoint: `mean_average_precision`."""
        return self.mean_average_precision

    @property
    def score_name(self) -> str:
        """What `score` is."""
        return 'mean average precision'

    @property
    def score_interval(self) -> tuple[float, float]:
        """The interval of `score`."""
        return self.mean_average_precision_interval

    def headline(self) -> str:
        """The mean average precision with its interval, in a line."""
        low, high = self.mean_average_precision_interval
        return (
            f'mean average precision {self.mean_average_precision:.1%} ({self.confidence:.0%} interval {low:.1%} to '
            f'{high:.1%}) on {self.examples:,} examples'
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        values: dict[str, Any] = {'score_name': self.score_name, 'score': self.score}
        values |= dataclasses.asdict(self)
        values['mean_average_precision_interval'] = list(self.mean_average_precision_interval)
        values['per_class'] = list(values['per_class'])
        values['absent'] = list(self.absent)
        if not self.absent:
            del values['absent']
        return values

    def more(self) -> list[tuple[str, str]]:
        """F1 and loss."""
        return [('also', f'macro F1 {self.macro_f1:.3f}; binary cross-entropy {self.loss:.3f}')]

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
        thresholds: probability of each class from which on it is predicted, of `fit_thresholds`. None: 0.5.
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


def fit_thresholds(
    logits: Float[np.ndarray, 'example classes'], labels: Num[np.ndarray, 'example classes']
) -> tuple[float, ...]:
    """Of each class, the probability from which on to predict it so that its F1 is the largest.

    To be fitted on the training or validation side alone: fitted on what is reported, the figures flatter.
    A threshold lies half-way between two neighbouring probabilities; of equal F1, the one nearest 0.5 is taken. A class
    without positives has 0.5. Examples without labels (NaN) are left out.

    Args:
        logits: of each class.
        labels: 0 or 1.

    Returns:
        One threshold a class, in [0, 1].
    """
    keep = ~np.isnan(np.asarray(labels, np.float64)).any(axis=1)
    probability, truth = sigmoid(np.asarray(logits)[keep]), np.asarray(labels)[keep] > 0.5
    return tuple(_threshold(probability[:, i], truth[:, i]) for i in range(truth.shape[1]))


def predict_labels(
    logits: Float[np.ndarray, 'example classes'],
    thresholds: Sequence[float] | Float[np.ndarray, ' classes'] | None = None,
) -> Bool[np.ndarray, 'example classes']:
    """Which classes are predicted: those whose probability reaches the threshold (None: 0.5)."""
    return sigmoid(logits) >= (0.5 if thresholds is None else np.asarray(thresholds, np.float64))


def sigmoid(logits: Float[np.ndarray, '*shape']) -> Float[np.ndarray, '*shape']:
    """Probabilities of logits, float64."""
    from scipy.special import expit

    values: np.ndarray = expit(np.asarray(logits, np.float64))
    return values


def binary_cross_entropy(
    logits: Float[np.ndarray, 'example classes'], labels: Bool[np.ndarray, 'example classes']
) -> Float[np.ndarray, 'example classes']:
    """Negative log likelihood of every label, nats, float64."""
    logits = np.asarray(logits, np.float64)
    return np.logaddexp(0.0, np.where(labels, -logits, logits))


def _threshold(probability: np.ndarray, truth: np.ndarray) -> float:
    if not truth.any():
        return 0.5
    order, ends = ranks(probability)
    f1 = 2 * np.cumsum(truth[order])[ends] / (ends + 1 + truth.sum())
    here = probability[order][ends]
    below = np.append(here[1:], 0.0)
    middle = (here + below) / 2
    # Of neighbouring floats the middle is one of the two.
    middle = np.where(middle > below, middle, here)
    best = np.flatnonzero(f1 == f1.max())
    return float(middle[best[np.abs(middle[best] - 0.5).argmin()]])


def _check(logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str], thresholds: np.ndarray) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape:
        raise UserError(f'logits {logits.shape} and labels {labels.shape} must both be [examples, classes]')
    if not len(logits):
        raise UserError('there are no examples to evaluate')
    for name, count in (('class names', len(class_names)), ('thresholds', len(thresholds))):
        if count != logits.shape[1]:
            raise UserError(f'{count} {name} for {logits.shape[1]} logits an example')
    if not np.isin(labels, (0, 1)).all():
        raise UserError('labels of several classes an image must be 0 or 1')
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
