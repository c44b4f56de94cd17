"""What a training remembers beside its state: the best evaluation, the phases, and what a signal left undone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from jtransfer.tasks.better import rank


@dataclasses.dataclass(frozen=True)
class RunProgress:
    """What a run has to remember beside its state.

    Attributes:
        best_score: the best validation score so far; None before the first evaluation, or without a validation part.
        best_step: the step it was reached at; of equal scores that of the lower loss, of equal losses the latest.
        starts: the steps after which the phases so far began.
        phase_score: the best validation score of this phase.
        stalled: evaluations since it was first reached: a score that stays the same has stalled, whatever its loss.
        best_loss: the validation loss at `best_step`; None where it is not known.
        pending: of a run that was stopped between two lines of its log: the metrics of the steps that no line has yet.
        seconds: that these steps took.
        due: it was stopped in the validation of this step, which is still to be made.
    """

    best_score: float | None = None
    best_step: int | None = None
    starts: tuple[int, ...] = (0,)
    phase_score: float | None = None
    stalled: int = 0
    best_loss: float | None = None
    pending: tuple[Mapping[str, float], ...] = ()
    seconds: float = 0.0
    due: bool = False

    def stopped(self, pending: Sequence[Mapping[str, float]], seconds: float, *, due: bool) -> RunProgress:
        """When a signal stops the run, wherever that is; see the attributes."""
        return dataclasses.replace(self, pending=tuple(pending), seconds=seconds if pending else 0.0, due=due)

    def on_time(self) -> RunProgress:
        """When what was pending and due has been taken up."""
        return dataclasses.replace(self, pending=(), seconds=0.0, due=False)

    def better(self, score: float, step: int, loss: float | None = None) -> bool:
        """Whether what was evaluated after a step is to be the best so far.

        Of equal scores the lower loss is better, and of equal losses the later step. What was evaluated up to the best
        step has been compared already: a resumed run may come by it again.
        """
        if self.best_score is None or self.best_step is None:
            return True
        return step > self.best_step and rank(score, loss) >= rank(self.best_score, self.best_loss)

    def after(self, score: float, step: int, loss: float | None = None) -> RunProgress:
        """After an evaluation."""
        gained = self.phase_score is None or score > self.phase_score
        best = {'best_score': score, 'best_step': step, 'best_loss': loss} if self.better(score, step, loss) else {}
        now = {'phase_score': score, 'stalled': 0} if gained else {'stalled': self.stalled + 1}
        return dataclasses.replace(self, **best, **now)  # type: ignore[arg-type]

    def with_best(self, other: RunProgress) -> RunProgress:
        """With what another remembers of the best evaluation."""
        best = {name: getattr(other, name) for name in ('best_score', 'best_step', 'best_loss')}
        return dataclasses.replace(self, **best)

    def next_phase(self, step: int) -> RunProgress:
        """When a phase begins after a step."""
        return dataclasses.replace(self, starts=(*self.starts, step), phase_score=None, stalled=0)
