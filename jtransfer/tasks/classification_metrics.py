"""What a classifier got right: pure functions of logits and labels, on the host."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from jtransfer.errors import UserError
from jtransfer.tasks.measured import Measured, Table

# Rows turned into float64 at a time: bounds the memory at 1000 classes to some 30 MiB, whatever the number of examples.
_BLOCK = 4096


@dataclasses.dataclass(frozen=True)
class ClassMetrics:
    """How one class fared.

    Attributes:
        name: of the class.
        examples: how many examples carry this label.
        accuracy: share of them that was recognised (the class's recall), in [0, 1]; None without examples.
        precision: share of the predictions of this class that were right; None when it was never predicted, or without
            examples.
        f1: harmonic mean of the two; None without examples.
    """

    name: str
    examples: int
    accuracy: float | None
    precision: float | None
    f1: float | None


@dataclasses.dataclass(frozen=True)
class CalibrationBin:
    """The predictions whose probability lies in (low, high]; means are None in an empty bin."""

    low: float
    high: float
    examples: int
    confidence: float | None
    accuracy: float | None


@dataclasses.dataclass(frozen=True)
class Metrics(Measured):
    """The whole of an evaluation.

    Attributes:
        examples: how many examples were evaluated.
        top1: share of them whose most likely class is the label, in [0, 1].
        top1_interval: Wilson interval of `top1`.
        confidence: level of that interval, in (0, 1).
        top_k: share of them with the label among the `k` most likely classes.
        k: 5, or the number of classes where that is less.
        loss: mean negative log likelihood of the label, nats.
        expected_calibration_error: mean distance of probability and accuracy over the bins, weighted by examples.
        balanced_accuracy: mean accuracy of the classes that occur.
        per_class: one entry a class, in the order of the class numbers.
        calibration: the bins of the reliability diagram, in order.
        confusion_matrix: how often label (row) was taken for class (column).
        test_time_augmentation: the views of each picture that were averaged, see `Views.name`.
        unlabelled: how many examples were left out because they have no label.
    """

    examples: int
    top1: float
    top1_interval: tuple[float, float]
    confidence: float
    top_k: float
    k: int
    loss: float
    expected_calibration_error: float
    balanced_accuracy: float
    per_class: tuple[ClassMetrics, ...]
    calibration: tuple[CalibrationBin, ...]
    confusion_matrix: Int[np.ndarray, 'classes classes'] = dataclasses.field(compare=False)
    test_time_augmentation: str = 'none'
    unlabelled: int = 0

    score_key: ClassVar[str] = 'accuracy'

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, by class number."""
        return tuple(entry.name for entry in self.per_class)

    @property
    def score(self) -> float:
        """What chooses a checkpoint: `top1`."""
        return self.top1

    @property
    def score_name(self) -> str:
        """What `score` is."""
        return 'accuracy'

    @property
    def score_interval(self) -> tuple[float, float]:
        """The interval of `score`."""
        return self.top1_interval

    def headline(self) -> str:
        """The accuracy with its interval, in a line."""
        low, high = self.top1_interval
        return (
            f'accuracy {self.top1:.1%} ({self.confidence:.0%} interval {low:.1%} to {high:.1%}) '
            f'on {self.examples:,} examples'
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but the confusion matrix (a file of its own, `confusion_matrix.csv`) as plain JSON values.

        `unlabelled` is left out where it is 0.
        """
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != 'confusion_matrix'}
        if not self.unlabelled:
            del values['unlabelled']
        values['top1_interval'] = list(self.top1_interval)
        values['per_class'] = [dataclasses.asdict(entry) for entry in self.per_class]
        values['calibration'] = [dataclasses.asdict(entry) for entry in self.calibration]
        return values

    def more(self) -> list[tuple[str, str]]:
        """Top-k accuracy, loss and calibration."""
        top_k = f'top-{self.k} accuracy {self.top_k:.1%}; ' if self.k < len(self.per_class) else ''
        calibration = f'calibration error {self.expected_calibration_error:.3f}'
        return [('also', f'{top_k}cross-entropy {self.loss:.3f}; {calibration}')]

    def describe(self, part: str) -> str:
        """The accuracy with its interval, loss and calibration."""
        low, high = self.top1_interval
        return (
            f'accuracy {self.top1:.1%} ({self.confidence:.0%} interval {low:.1%} to {high:.1%}) '
            f'on {self.examples:,} images ({part}); loss {self.loss:.3f}; '
            f'calibration error {self.expected_calibration_error:.3f}'
        )

    def validation(self) -> dict[str, float]:
        """Top-1 accuracy and loss."""
        return {'top1': self.top1, 'loss': self.loss}

    def scored(self, prefix: str = '') -> dict[str, Any]:
        """The accuracy by its name."""
        return {f'{prefix}accuracy': self.top1}

    def record(self) -> dict[str, Any]:
        """The accuracy by its name, and the calibration."""
        return {
            'accuracy': self.top1,
            'accuracy_interval': list(self.top1_interval),
            'expected_calibration_error': self.expected_calibration_error,
        }

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
    predicted, probability, loss, rank = _per_example(logits, labels)
    correct = rank == 0
    matrix = confusion_matrix(labels, predicted, labels=np.arange(classes)).astype(np.int64)
    table = calibration_bins(probability, correct, bins)
    per_class = _per_class(matrix, class_names)
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


def top_prediction(
    logits: Float[np.ndarray, 'example classes'],
) -> tuple[Int[np.ndarray, ' example'], Float[np.ndarray, ' example']]:
    """The most likely class (of equal ones the smallest number) and its softmax probability, in float64."""
    predicted, probability, _, _ = _per_example(logits, np.zeros(len(logits), np.int32))
    return predicted, probability


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson, 1927): holds its level near 0 and 1, unlike mean ± 2 sd."""
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(confidence_level=confidence, method='wilson')
    return float(interval.low), float(interval.high)


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


def _per_example(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Predicted class, its probability, loss of the label, and rank of the label (0: predicted), one an example."""
    size = len(logits)
    predicted, rank = np.zeros(size, np.int64), np.zeros(size, np.int64)
    probability, loss = np.zeros(size), np.zeros(size)
    for start in range(0, size, _BLOCK):
        rows = slice(start, start + _BLOCK)
        block, label = np.asarray(logits[rows], np.float64), np.asarray(labels[rows], np.int64)[:, None]
        top = block.max(axis=1)
        log_normaliser = top + np.log(np.exp(block - top[:, None]).sum(axis=1))
        true = np.take_along_axis(block, label, axis=1)
        earlier = np.arange(block.shape[1]) < label
        predicted[rows] = block.argmax(axis=1)
        probability[rows] = np.exp(top - log_normaliser)
        loss[rows] = log_normaliser - true[:, 0]
        rank[rows] = ((block > true) | ((block == true) & earlier)).sum(axis=1)
    return predicted, probability, loss, rank


def _per_class(matrix: np.ndarray, class_names: Sequence[str]) -> tuple[ClassMetrics, ...]:
    hits, occurs, guessed = (a.tolist() for a in (np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)))
    return tuple(
        ClassMetrics(
            name=str(name),
            examples=occurs[i],
            accuracy=_ratio(hits[i], occurs[i]),
            precision=_ratio(hits[i], guessed[i]) if occurs[i] else None,
            f1=_ratio(2 * hits[i], occurs[i] + guessed[i]) if occurs[i] else None,
        )
        for i, name in enumerate(class_names)
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
