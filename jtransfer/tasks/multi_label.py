"""Several labels an example: classes of which an example may have any number."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jtransfer.errors import UserError
from jtransfer.tasks.base import Task
from jtransfer.tasks.classification import LEAST_SHARE
from jtransfer.tasks.metrics.multi_label import (
    SCORE,
    MultiLabelMetrics,
    binary_cross_entropy,
    joined,
    multi_label_metrics,
)
from jtransfer.tasks.metrics.wrong import Wrong
from jtransfer.tasks.thresholds import predict_labels, sigmoid
from jtransfer.text.numbers import number

if TYPE_CHECKING:
    from jax import Array

    from jtransfer.config.optim import Loss


@dataclasses.dataclass(frozen=True)
class MultiLabel(Task, kind='multi_label'):
    """Labels are 0 and 1, float32 [n, classes]; a NaN: not labelled. Outputs are logits of a sigmoid each."""

    words = ('label', 'labels')
    score = SCORE
    held = 'several labels'
    losses = ('binary', 'binary_sum')
    has_thresholds = True
    mixes = True

    def unlabelled(self, count: int) -> np.ndarray:
        """NaN throughout."""
        return np.full((count, self.outputs), np.nan, np.float32)

    def allowed(self, labels: np.ndarray) -> tuple[np.ndarray, str]:
        """0, 1 and NaN."""
        return (np.isnan(labels) | np.isin(labels, (0, 1))).all(axis=1), 'neither 0 nor 1'

    def check_measurable(self, labels: np.ndarray, where: str) -> None:
        """A label, and a positive one."""
        super().check_measurable(labels, where)
        if not (labels[self.labelled(labels)] > 0).any():
            of = f' of {self.name}' if self.name else ''
            raise UserError(
                f'none of the {len(labels)} examples of {where} has any of the labels{of}: nothing can be measured on '
                'them; give it other examples (data.split_seed draws others), or hold none out'
            )

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """The labels; an example without any has no class at all."""
        return np.nan_to_num(labels).astype(np.float32)

    def label_text(self, label: Any) -> str:
        """The classes that the example has."""
        if np.isnan(label).any():
            return 'no label'
        return self._names(label)

    def mixed_text(self, label: np.ndarray) -> str:
        """A class a line, those that are not whole with their shares."""
        if np.isnan(label).any():
            return 'no label'
        chosen = [
            name if share > 1 - LEAST_SHARE else f'{share:.2f} {name}'
            for name, share in zip(self.class_names, label, strict=True)
            if share > LEAST_SHARE
        ]
        return '\n+ '.join(chosen) or 'none'

    def groups(self, labels: np.ndarray) -> list[tuple[str, np.ndarray]]:
        """A row a class."""
        return [(name, np.flatnonzero(labels[:, number] == 1)) for number, name in enumerate(self.class_names)]

    def log(self, outputs: Array, labels: Array, settings: Loss) -> dict[str, Array]:
        """How right each example is, see `losses.accuracy`."""
        from jtransfer.tasks.losses import accuracy

        return {'accuracy': accuracy(outputs, labels, settings.name)}

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """Probabilities by sigmoid."""
        return np.asarray(sigmoid(np.asarray(outputs, np.float64)))

    def mean(self, outputs: np.ndarray) -> np.ndarray:
        """Logits whose sigmoid is the mean probability."""
        from scipy.special import log_expit, logsumexp

        # The number of networks cancels in the ratio of the two means.
        return np.asarray(logsumexp(log_expit(outputs), axis=0) - logsumexp(log_expit(-outputs), axis=0))

    @staticmethod
    def mean_on_device(outputs: Any) -> Any:
        """The same on the device."""
        import jax
        import jax.numpy as jnp

        yes, no = (jax.nn.log_sigmoid(sign * jnp.stack(outputs)) for sign in (1, -1))
        return jax.nn.logsumexp(yes, axis=0) - jax.nn.logsumexp(no, axis=0)

    def measure(
        self,
        outputs: np.ndarray,
        labels: np.ndarray,
        *,
        confidence: float,
        bins: int,
        thresholds: Sequence[float] | None,
    ) -> MultiLabelMetrics:
        """Mean average precision and what belongs to it."""
        del bins
        return multi_label_metrics(outputs, labels, self.class_names, confidence=confidence, thresholds=thresholds)

    def worst(
        self, outputs: np.ndarray, labels: np.ndarray, count: int, thresholds: Sequence[float] | None = None
    ) -> list[Wrong]:
        """Those with a wrong class and the largest mean binary cross-entropy."""
        known = np.flatnonzero(self.labelled(labels))
        logits, truth = outputs[known].astype(np.float64), labels[known] > 0.5
        guessed = predict_labels(logits, thresholds)
        loss = binary_cross_entropy(logits, truth).mean(axis=1)
        wrong = np.flatnonzero((truth != guessed).any(axis=1))
        order = wrong[np.argsort(-loss[wrong], kind='stable')][:count]
        return [
            Wrong(int(known[i]), self._names(truth[i]), self._names(guessed[i]), note=f'loss {number(float(loss[i]))}')
            for i in order
        ]

    def columns(self, results: np.ndarray, thresholds: Sequence[float] | None) -> list[tuple[str, list[str]]]:
        """The labels, and the probability of every class."""
        chosen = results >= (0.5 if thresholds is None else np.asarray(thresholds))
        cells = (
            (name, [f'{value:.6f}' for value in results[:, i].tolist()]) for i, name in enumerate(self.class_names)
        )
        probabilities = [(f'probability {name}', column) for name, column in cells]
        return [('labels', [joined(self.class_names, row) for row in chosen]), *probabilities]

    def _names(self, chosen: np.ndarray) -> str:
        return ', '.join(name for name, taken in zip(self.class_names, chosen, strict=True) if taken) or 'none'
