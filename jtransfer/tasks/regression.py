"""Numbers that are predicted as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jtransfer.errors import UserError
from jtransfer.tasks.base import Task
from jtransfer.tasks.metrics.regression import SCORE, RegressionMetrics, regression_metrics
from jtransfer.tasks.metrics.wrong import Wrong
from jtransfer.text.numbers import digits_of, exact, number, rounded
from jtransfer.text.outside import first_few

# Rows of a sheet that shows what the numbers mean.
_ROWS = 8


@dataclasses.dataclass(frozen=True)
class Regression(Task, kind='regression'):
    """Labels are float64 [n, numbers], float32 once they are scaled as the outputs are; a NaN: not labelled."""

    words = ('number', 'numbers')
    held = 'numbers'
    losses = ('mse', 'huber')
    has_classes = False
    mixes = True
    output_dtype = np.float64
    score = SCORE

    def unlabelled(self, count: int) -> np.ndarray:
        """NaN throughout."""
        return np.full((count, self.outputs), np.nan, np.float32)

    def type_of(self, labels: np.ndarray) -> type[np.generic]:
        """Numbers keep their digits until they are scaled: float32 would round a time of 1.7e9 s to 128 s."""
        return np.float32 if labels.dtype == np.float32 else np.float64

    def allowed(self, labels: np.ndarray) -> tuple[np.ndarray, str]:
        """Finite numbers, and NaN."""
        return (np.isnan(labels) | np.isfinite(labels)).all(axis=1), 'not finite'

    def remarks(self, labels: np.ndarray, where: str) -> list[str]:
        """A line about the numbers that are the same in every example."""
        known = [column[~np.isnan(column)] for column in labels.T]
        same = [name for name, one in zip(self.class_names, known, strict=True) if len(one) and np.ptp(one) == 0]
        if not same:
            return []
        return [
            f'{where} has one value alone of {first_few(same)}: R² says nothing there (it is 1 if every prediction is '
            'exact, and else 0)'
        ]

    def fitted(self, labels: np.ndarray) -> Task:
        """With mean and standard deviation of the labels (1 where all are alike), unless it has a scaling already.

        Raises:
            UserError: numbers so large that these are not finite.
        """
        if self.offset or self.scale:
            return self
        values = labels.astype(np.float64)
        values = values[self.labelled(values)]
        with np.errstate(over='ignore', invalid='ignore'):
            # From the first number on, so that of large ones that are all alike nothing is left but zeros.
            centred = values - values[0]
            offset, scale = values[0] + centred.mean(axis=0), centred.std(axis=0)
        if not (np.isfinite(offset).all() and np.isfinite(scale).all()):
            called = self.name or ', '.join(self.class_names)
            raise UserError(f'the numbers of {called} are too large: their standard deviation is not finite')
        scale = np.where(scale > 0, scale, 1.0)
        return dataclasses.replace(self, offset=tuple(offset.tolist()), scale=tuple(scale.tolist()))

    def label_text(self, label: Any) -> str:
        """The numbers by their names."""
        if np.isnan(label).any():
            return 'no label'
        return ', '.join(f'{name} {exact(value)}' for name, value in zip(self.class_names, label, strict=True))

    def mixed_text(self, label: np.ndarray) -> str:
        """The numbers by their names, of four digits."""
        if np.isnan(label).any():
            return 'no label'
        return ', '.join(f'{name} {value:.4g}' for name, value in zip(self.class_names, label, strict=True))

    def groups(self, labels: np.ndarray) -> list[tuple[str, np.ndarray]]:
        """Rows of about equally many examples, from the least to the largest first number."""
        values = labels[:, 0]
        order = np.argsort(values, kind='stable')[: np.count_nonzero(~np.isnan(values))]  # the last have no number
        pieces = np.array_split(order, min(_ROWS, len(order))) if len(order) else []
        name, digits = self.class_names[0], digits_of(values, 4)
        return [
            (f'{name} {rounded(values[piece[0]], digits)} to {rounded(values[piece[-1]], digits)}', piece)
            for piece in pieces
        ]

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """The numbers as they are."""
        return np.asarray(outputs, np.float64)

    def mean(self, outputs: np.ndarray) -> np.ndarray:
        """The mean of the numbers."""
        return np.asarray(outputs.mean(axis=0))

    @staticmethod
    def mean_on_device(outputs: Any) -> Any:
        """The same on the device."""
        import jax.numpy as jnp

        return jnp.stack(outputs).mean(axis=0)

    def measure(
        self,
        outputs: np.ndarray,
        labels: np.ndarray,
        *,
        confidence: float,
        bins: int,
        thresholds: Sequence[float] | None,
    ) -> RegressionMetrics:
        """R² and what belongs to it."""
        del bins, thresholds
        return regression_metrics(outputs, labels, self.class_names, confidence=confidence)

    def worst(
        self, outputs: np.ndarray, labels: np.ndarray, count: int, thresholds: Sequence[float] | None = None
    ) -> list[Wrong]:
        """Those with the largest absolute error; of several numbers its mean over the standard deviations of each."""
        del thresholds
        known = np.flatnonzero(self.labelled(labels))
        predicted, truth = outputs[known].astype(np.float64), labels[known]
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
            named = (f'{name} {text}' for name, text in zip(self.class_names, texts, strict=True))
            return texts[0] if of_one else ', '.join(named)

        return [
            Wrong(int(known[i]), values(truth[i]), values(predicted[i]), note=how.format(number(float(size[i]))))
            for i in order
        ]

    def columns(self, results: np.ndarray, thresholds: Sequence[float] | None) -> list[tuple[str, list[str]]]:
        """The numbers."""
        del thresholds
        columns = []
        for i, name in enumerate(self.class_names):
            digits = digits_of(results[:, i], 7, self.scale[i] if self.scale else None)
            columns.append((name, [rounded(value, digits) for value in results[:, i].tolist()]))
        return columns
