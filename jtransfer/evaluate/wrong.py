"""Which examples a network got most wrong, and how, whatever the task."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jtransfer.evaluate.charts import number
from jtransfer.evaluate.evaluator import most_wrong
from jtransfer.evaluate.number_text import digits_of, rounded
from jtransfer.tasks.base import Task
from jtransfer.tasks.classification import top_prediction
from jtransfer.tasks.labels import labelled
from jtransfer.tasks.multi_label import binary_cross_entropy, predict_labels


@dataclasses.dataclass(frozen=True)
class Wrong:
    """An example that a network got wrong.

    Attributes:
        index: of the example.
        label: what it is, in words.
        predicted: what it was taken for, in words.
        probability: of the predicted class, where there is one label an image.
        note: how wrong, in words, elsewhere.
    """

    index: int
    label: str
    predicted: str
    probability: float | None = None
    note: str = ''


def worst(
    task: Task,
    outputs: Float[np.ndarray, 'example outputs'],
    labels: np.ndarray,
    count: int,
    thresholds: Sequence[float] | None = None,
) -> list[Wrong]:
    """The examples that a network got most wrong, the worst first; those without a label are left out.

    With one label an image the most confidently wrong (see `most_wrong`), with several those with a wrong class and the
    largest mean binary cross-entropy, and of numbers those with the largest absolute error; of several numbers the mean
    of these, each over the standard deviation of the true values.

    Args:
        task: what was to be learnt.
        outputs: logits; of regression, numbers in their own units.
        labels: in the task's form.
        count: the most to give.
        thresholds: with several labels an image: probability of each class from which on it is predicted. None: 0.5.
    """
    outputs, labels = np.asarray(outputs), np.asarray(labels)
    if task.kind == 'single_label':
        return _single(task, outputs, labels, count)
    known = np.flatnonzero(labelled(labels))
    outputs, labels = outputs[known].astype(np.float64), labels[known]
    found = _multi(task, outputs, labels, count, thresholds) if task.kind == 'multi_label' else None
    found = _numbers(task, outputs, labels, count) if found is None else found
    return [dataclasses.replace(entry, index=int(known[entry.index])) for entry in found]


def _single(task: Task, logits: np.ndarray, labels: np.ndarray, count: int) -> list[Wrong]:
    predicted, probability = top_prediction(logits)
    return [
        Wrong(
            index=int(i),
            label=task.class_names[int(labels[i])],
            predicted=task.class_names[int(predicted[i])],
            probability=float(probability[i]),
        )
        for i in most_wrong(logits, labels, count)
    ]


def _multi(
    task: Task, logits: np.ndarray, labels: np.ndarray, count: int, thresholds: Sequence[float] | None
) -> list[Wrong]:
    truth, guessed = labels > 0.5, predict_labels(logits, thresholds)
    loss = binary_cross_entropy(logits, truth).mean(axis=1)
    wrong = np.flatnonzero((truth != guessed).any(axis=1))
    order = wrong[np.argsort(-loss[wrong], kind='stable')][:count]
    return [
        Wrong(int(i), _names(task, truth[i]), _names(task, guessed[i]), note=f'loss {number(float(loss[i]))}')
        for i in order
    ]


def _numbers(task: Task, predicted: np.ndarray, truth: np.ndarray, count: int) -> list[Wrong]:
    error = np.abs(predicted - truth)
    spread = truth.std(axis=0) if len(truth) else np.ones(truth.shape[1])
    of_one = truth.shape[1] == 1
    size = error[:, 0] if of_one else (error / np.where(spread > 0, spread, 1.0)).mean(axis=1)
    order = np.flatnonzero(size > 0)
    order = order[np.argsort(-size[order], kind='stable')][:count]
    how = 'off by {}' if of_one else 'off by {} standard deviations'
    digits = [digits_of(truth[:, i], 4) for i in range(truth.shape[1])]

    def values(row: np.ndarray) -> str:
        texts = [rounded(value, most) for value, most in zip(row.tolist(), digits, strict=True)]
        named = (f'{name} {text}' for name, text in zip(task.class_names, texts, strict=True))
        return texts[0] if of_one else ', '.join(named)

    return [
        Wrong(int(i), values(truth[i]), values(predicted[i]), note=how.format(number(float(size[i])))) for i in order
    ]


def _names(task: Task, chosen: np.ndarray) -> str:
    return ', '.join(name for name, taken in zip(task.class_names, chosen, strict=True) if taken) or 'none'
