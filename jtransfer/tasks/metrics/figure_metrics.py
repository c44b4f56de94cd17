"""Metrics that are a score and further figures: enough for a task of any kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from jtransfer.tasks.base import Task
from jtransfer.tasks.metrics.figure import Figure
from jtransfer.tasks.metrics.measured import Baseline, Measured
from jtransfer.tasks.metrics.panels import Block, Table


@dataclasses.dataclass(frozen=True, kw_only=True)
class FigureMetrics(Measured):
    """A score, and what else there is to tell of a task.

    Attributes:
        task: what was measured: it says what a label is in words, and what is told of a prediction.
        told: the score, larger is better; its interval is at the level `confidence`.
        further: other figures.
        shown: diagrams and tables for the page.
        compared: what the score is compared with.
    """

    task: Task = dataclasses.field(repr=False)
    told: Figure
    further: Sequence[Figure] = ()
    shown: Sequence[Block] = ()
    compared: Baseline | None = None

    @property
    def score_figure(self) -> Figure:
        """The score."""
        return dataclasses.replace(self.told, confidence=self.confidence)

    def baseline(self) -> Baseline | None:
        """What the score is compared with."""
        return self.compared

    def figures(self) -> Sequence[Figure]:
        """The other figures, and the loss."""
        return (*self.further, *super().figures())

    def blocks(self) -> Sequence[Block]:
        """The diagrams and tables."""
        return self.shown

    def to_dict(self) -> dict[str, Any]:
        """The score and the figures by their names, as plain JSON values."""
        values = super().to_dict()
        for name in ('task', 'told', 'further', 'shown', 'compared'):
            del values[name]
        return values | {'figures': {figure.name: figure.value for figure in (*self.further, *self.added)}}

    def tables(self, outputs: Any, labels: Any, ids: Sequence[Any]) -> list[Table]:
        """The predictions: of each example its label, in words, and what the task says of its outputs."""
        known = self.task.labelled(labels)
        columns = self.task.columns(self.task.predict(outputs), None)
        truth = [self.task.label_text(label) if there else None for label, there in zip(labels, known, strict=True)]
        rows = list(zip(ids, truth, *(cells for _, cells in columns), strict=True))
        return [Table('predictions', ('id', 'label', *(name for name, _ in columns)), rows)]
