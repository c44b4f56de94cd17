"""One label an example: classes that are told apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jtransfer.errors import UserError
from jtransfer.tasks.base import Task
from jtransfer.tasks.metrics.class_figures import top_prediction
from jtransfer.tasks.metrics.classification import SCORE, Metrics, classification_metrics
from jtransfer.tasks.metrics.wrong import Wrong

if TYPE_CHECKING:
    from jax import Array

    from jtransfer.config.optim import Loss

# Of a mixed label, smaller shares are not worth a word.
LEAST_SHARE = 0.005


@dataclasses.dataclass(frozen=True)
class Classification(Task, kind='single_label'):
    """Labels are class numbers, int32 [n]; -1: not labelled. Outputs are logits of a softmax."""

    words = ('class', 'classes')
    held = 'one label an example'
    losses = (
        *('cross_entropy', 'focal', 'binary', 'binary_sum'),
        *('generalized_cross_entropy', 'symmetric_cross_entropy'),
    )
    exclusive = True
    mixes = softmax = True
    dtype = np.int32
    score = SCORE

    def unlabelled(self, count: int) -> np.ndarray:
        """-1 throughout."""
        return np.full(count, -1, np.int32)

    def read(self, labels: np.ndarray, where: str) -> np.ndarray:
        """Whole numbers, as int32."""
        if len(labels) and not np.issubdtype(labels.dtype, np.integer):
            raise UserError(f'{where}: labels are {labels.dtype}, but must be integers from 0')
        # Before the conversion to int32, which would wrap a label of 2**32 to 0.
        return np.clip(labels, -1, 2**31 - 1).astype(np.int32)

    def check_form(self, labels: np.ndarray, where: str) -> None:
        """One whole number an example."""
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise UserError(f'{where}: labels are {labels.dtype} {list(labels.shape)}, but must be class numbers')

    def allowed(self, labels: np.ndarray) -> tuple[np.ndarray, str]:
        """Numbers of classes that there are."""
        classes = len(self.class_names)
        fine = (labels >= -1) & (labels < classes)
        return fine, f'outside 0 to {classes - 1} ({classes} classes)'

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """The classes; examples without a label are a stratum of their own, after them."""
        return np.where(labels < 0, len(self.class_names), labels).astype(np.int32)

    def reordered(self, labels: np.ndarray, theirs: Task, *, complete: bool) -> np.ndarray:
        """The same classes under this task's numbers."""
        del complete
        number = {name: index for index, name in enumerate(self.class_names)}
        table = np.array([*(number.get(name, -1) for name in theirs.class_names), -1], np.int32)
        return table[labels]

    def needed_names(self, labels: np.ndarray) -> Sequence[str]:
        """The classes that an example has."""
        there = {self.class_names[index] for index in np.unique(labels[self.labelled(labels)])}
        return [name for name in self.class_names if name in there]

    def label_text(self, label: Any) -> str:
        """The class."""
        return self.class_names[int(label)] if label >= 0 else 'no label'

    def mixed_text(self, label: np.ndarray) -> str:
        """The classes with their shares, the largest first."""
        if label.ndim == 0:
            return self.label_text(label)
        if np.isnan(label).any():
            return 'no label'
        order = [index for index in np.argsort(-label, kind='stable') if label[index] > LEAST_SHARE]
        if len(order) == 1:
            return self.class_names[order[0]]
        return '\n+ '.join(f'{label[index]:.2f} {self.class_names[index]}' for index in order)

    def groups(self, labels: np.ndarray) -> list[tuple[str, np.ndarray]]:
        """A row a class."""
        return [(name, np.flatnonzero(labels == number)) for number, name in enumerate(self.class_names)]

    def log(self, outputs: Array, labels: Array, settings: Loss) -> dict[str, Array]:
        """How right each example is, see `losses.accuracy`."""
        from jtransfer.tasks.losses import accuracy

        return {'accuracy': accuracy(outputs, labels, settings.name)}

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """Probabilities by softmax."""
        from scipy.special import softmax

        return np.asarray(softmax(np.asarray(outputs, np.float64), axis=1))

    def mean(self, outputs: np.ndarray) -> np.ndarray:
        """Logits whose softmax is the mean probability."""
        from scipy.special import log_softmax, logsumexp

        return np.asarray(logsumexp(log_softmax(outputs, axis=-1), axis=0) - np.log(len(outputs)))

    @staticmethod
    def mean_on_device(outputs: Any) -> Any:
        """The same on the device."""
        import jax
        import jax.numpy as jnp

        stack = jnp.stack([jax.nn.log_softmax(view) for view in outputs])
        return jax.nn.logsumexp(stack, axis=0) - jnp.log(float(len(outputs)))

    def measure(
        self,
        outputs: np.ndarray,
        labels: np.ndarray,
        *,
        confidence: float,
        bins: int,
        thresholds: Sequence[float] | None,
    ) -> Metrics:
        """Accuracy and what belongs to it."""
        del thresholds
        return classification_metrics(outputs, labels, self.class_names, confidence=confidence, bins=bins)

    def worst(
        self, outputs: np.ndarray, labels: np.ndarray, count: int, thresholds: Sequence[float] | None = None
    ) -> list[Wrong]:
        """The most confidently wrong ones, see `most_wrong`."""
        del thresholds
        predicted, probability = top_prediction(outputs)
        return [
            Wrong(
                index=int(i),
                label=self.class_names[int(labels[i])],
                predicted=self.class_names[int(predicted[i])],
                probability=float(probability[i]),
            )
            for i in most_wrong(outputs, labels, count)
        ]

    def columns(self, results: np.ndarray, thresholds: Sequence[float] | None) -> list[tuple[str, list[str]]]:
        """The most likely class, and its probability."""
        del thresholds
        best = results.argmax(axis=1)
        return [
            ('class', [self.class_names[index] for index in best]),
            ('probability', [f'{row[index]:.6f}' for row, index in zip(results, best, strict=True)]),
        ]


def most_wrong(logits: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the `count` most confidently wrong examples (fewer if fewer are wrong), the worst first.

    Confidence is the probability of the predicted, wrong class; of equal ones the earlier example comes first. Examples
    without a label (-1) are not wrong.

    Args:
        logits: [n, classes].
        labels: class numbers [n].
        count: the most to give.
    """
    predicted, probability = top_prediction(logits)
    labels = np.asarray(labels)
    wrong = np.flatnonzero((predicted != labels) & (labels >= 0))
    return wrong[np.argsort(-probability[wrong], kind='stable')][:count]
