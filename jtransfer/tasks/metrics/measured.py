"""What metrics of any kind of task say of themselves, so that writers, pages and tables need not know the kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from jtransfer.tasks.metrics.figure import Figure, plain_number
from jtransfer.tasks.metrics.panels import Block, Table


class Baseline(NamedTuple):
    """A value of the score to compare it with, and what has it: `always the commonest class: 31.0%`."""

    value: float
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Metrics: a score that chooses among networks, and what else is worth telling.

    A kind says what its `score_figure` is and what is written of the predictions (`tables`); the rest has defaults.

    Attributes:
        examples: how many examples were evaluated.
        loss: mean over them.
        confidence: level of the intervals, in (0, 1).
        test_time_augmentation: the views of each image that were averaged, see `Views.name`.
        unlabelled: how many examples were left out because they have no label.
        absent: names of the network's other outputs, for which no example has a label: they have no figures.
        added: figures that somebody added to the kind, see `added.add_figure`.
        wrong_title: what the page calls the examples that the network got most wrong.
    """

    examples: int
    loss: float
    confidence: float = 0.95
    test_time_augmentation: str = 'none'
    unlabelled: int = 0
    absent: tuple[str, ...] = ()
    added: tuple[Figure, ...] = ()

    wrong_title: ClassVar[str] = 'Most wrong'

    # The score

    @property
    def score_figure(self) -> Figure:
        """What chooses a checkpoint, larger is better: with its name, interval and unit."""
        raise NotImplementedError

    @property
    def score(self) -> float:
        """The value of the score."""
        value = self.score_figure.value
        assert value is not None
        return value

    @property
    def score_name(self) -> str:
        """What the score is."""
        return self.score_figure.name

    @property
    def score_interval(self) -> tuple[float, float] | None:
        """The interval of the score; None where it has none."""
        return self.score_figure.interval

    def baseline(self) -> Baseline | None:
        """What the score is compared with, if there is something."""
        return None

    # In words

    def headline(self) -> str:
        """The score with its interval, in a line."""
        figure = self.score_figure
        interval = f' ({self.confidence:.0%} interval {figure.interval_text})' if figure.interval else ''
        return f'{figure.name} {figure.text}{interval} on {self.examples:,} examples'

    def title(self) -> tuple[str, str]:
        """The score with its name, and its interval and number of examples."""
        figure = self.score_figure
        interval = f'{self.confidence:.0%} interval {figure.interval_text}, ' if figure.interval else ''
        return f'{figure.name} {figure.text}', f'{interval}{self.examples:,} examples'

    def more(self) -> list[tuple[str, str]]:
        """Further figures for the terminal, with a name each."""
        return [('also', '; '.join(f'{figure.name} {figure.text}' for figure in self.all_figures()))]

    def describe(self, part: str) -> str:
        """The evaluation of a part in a line."""
        return f'{self.headline()} ({part})'

    # On a page

    def of_tasks(self) -> Mapping[str, Measured]:
        """The metrics of each task by its name, '' for the only one."""
        return {'': self}

    def figures(self) -> Sequence[Figure]:
        """Further figures."""
        return (Figure('loss', self.loss),)

    def all_figures(self) -> tuple[Figure, ...]:
        """Those, and what somebody added."""
        return (*self.figures(), *self.added)

    def blocks(self) -> Sequence[Block]:
        """Diagrams and tables."""
        return ()

    # In records

    def to_dict(self) -> dict[str, Any]:
        """Everything but arrays, which have files of their own, as plain JSON values."""
        common = [field.name for field in dataclasses.fields(Measured)]
        own = [field.name for field in dataclasses.fields(self) if field.name not in common]
        values = {name: getattr(self, name) for name in (*own, *common)}
        del values['added']
        if not self.absent:
            del values['absent']
        if self.added:
            values['figures'] = {figure.name: figure.value for figure in self.added}
        figures = {name: value for name, value in values.items() if not isinstance(value, np.ndarray)}
        return {**self.score_figure.record(), **_plain(figures)}

    def validation(self) -> dict[str, float]:
        """What a validation tells: `score`, or `top1` of one label an example, and `loss`."""
        return {'score': self.score, 'loss': self.loss}

    def logged(self) -> dict[str, float]:
        """What is logged of a validation: what it tells, and the figures that somebody added."""
        added = {
            f'{figure.name}/{name}' if name else figure.name: float(figure.value)
            for name, metrics in self.of_tasks().items()
            for figure in metrics.added
            if figure.value is not None
        }
        return {**added, **self.validation()}

    def record(self) -> dict[str, Any]:
        """What every record says of an evaluation: how many examples, the score and the loss."""
        return {'examples': self.examples, **self.score_figure.record(), 'loss': self.loss}

    def with_absent(self, names: tuple[str, ...]) -> Measured:
        """The same, which tells of the network's outputs that nothing could be measured of."""
        return dataclasses.replace(self, absent=names) if names else self

    def without_figure(self) -> tuple[str, ...]:
        """Names of outputs that have no figure of their own."""
        return self.absent

    def tables(self, outputs: Any, labels: Any, ids: Sequence[Any]) -> list[Table]:
        """The predictions, and what there is of the single outputs.

        Args:
            outputs: [n, outputs] that were measured, and of examples without a label.
            labels: in the task's form.
            ids: of the examples.
        """
        raise NotImplementedError


def _plain(value: Any) -> Any:
    """Tuples as lists and dataclasses as dictionaries, at any depth."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else plain_number(value)
