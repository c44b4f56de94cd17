"""What metrics of any kind of task say of themselves, so that writers and tables need not know the kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of an evaluation.

    Attributes:
        name: of its file, without an ending.
        header: names of the columns.
        rows: of cells; None is an empty one.
    """

    name: str
    header: Sequence[str]
    rows: Iterable[Sequence[Any]]


class Measured:
    """Metrics: a score that chooses among networks, and what else is worth telling.

    Attributes:
        score_key: what records call the score of this kind of task.
        percent: whether the score is a share, told in percent.
    """

    score_key: ClassVar[str] = 'score'
    percent: ClassVar[bool] = True

    score: Any
    score_name: Any
    score_interval: Any
    examples: Any
    confidence: Any
    loss: Any

    def headline(self) -> str:
        """The score with its interval, in a line."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Everything but what has a file of its own, as plain JSON values."""
        raise NotImplementedError

    def score_text(self, value: float) -> str:
        """A value of the score as a person reads it."""
        return f'{value:.1%}' if self.percent else f'{value:.3f}'

    def title(self) -> tuple[str, str]:
        """The score with its name, and its interval and number of examples."""
        low, high = map(self.score_text, self.score_interval)
        interval = f'{self.confidence:.0%} interval {low} to {high}'
        return f'{self.score_name} {self.score_text(self.score)}', f'{interval}, {self.examples:,} images'

    def more(self) -> list[tuple[str, str]]:
        """Further figures, with a name each."""
        raise NotImplementedError

    def describe(self, part: str) -> str:
        """The evaluation of a part in a line."""
        return f'{self.headline()} ({part})'

    def validation(self) -> dict[str, float]:
        """What a validation tells: `score`, or `top1` of one label an image, and `loss`."""
        return {'score': self.score, 'loss': self.loss}

    def scored(self, prefix: str = '') -> dict[str, Any]:
        """What a record says about the score."""
        return {f'{prefix}score': self.score, f'{prefix}score_name': self.score_name}

    def record(self) -> dict[str, Any]:
        """What `result.json` says beside the score."""
        return {'metrics': {'': self.to_dict()}}

    def with_absent(self, names: tuple[str, ...]) -> Any:
        """The same, which tells of the network's outputs that nothing could be measured of."""
        return dataclasses.replace(self, absent=names) if names else self  # type: ignore[type-var]

    def without_figure(self) -> tuple[str, ...]:
        """Names of outputs that have no figure of their own."""
        return ()

    def tables(self, outputs: Any, labels: Any, ids: Sequence[Any]) -> list[Table]:
        """The predictions, and what there is of the single outputs.

        Args:
            outputs: [n, outputs] that were measured, and of examples without a label.
            labels: in the task's form.
            ids: of the examples.
        """
        raise NotImplementedError
