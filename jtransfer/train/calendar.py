"""What is done after which step of a training: lines of the metrics, validation, new phases, checkpoints."""

from __future__ import annotations

import dataclasses

from jtransfer.train.step_parts import StepParts


@dataclasses.dataclass(frozen=True)
class Calendar:
    """The steps after which something is done; all of it after the last one.

    Attributes:
        end: the last step of this run.
        log_every: steps from one line of the metrics to the next.
        evaluate_every: steps between validations. 0: there are none.
        checkpoint_every: steps between checkpoints. 0: nothing is written.
        planned: the steps after which phases begin, as far as that is known beforehand.
    """

    end: int
    log_every: int
    evaluate_every: int
    checkpoint_every: int
    planned: tuple[int, ...]

    def evaluates(self, step: int) -> bool:
        """Whether there is a validation."""
        return self._has_come(step, self.evaluate_every)

    def saves(self, step: int) -> bool:
        """Whether there is a checkpoint."""
        return self._has_come(step, self.checkpoint_every)

    def changes(self, step: int) -> bool:
        """Whether a phase is planned to begin."""
        return step in self.planned

    def tells(self, step: int) -> bool:
        """Whether there is a line of the metrics: every so many steps, and wherever anything else is done."""
        done = self.evaluates(step) or self.saves(step) or self.changes(step)
        return done or self._has_come(step, self.log_every)

    def _has_come(self, step: int, every: int) -> bool:
        return every > 0 and (step == self.end or step % every == 0)


def make_calendar(parts: StepParts, *, validated: bool, written: bool) -> Calendar:
    """The calendar of a training.

    Args:
        parts: what its steps are made of.
        validated: whether there is a validation part.
        written: whether there is somewhere to write to.
    """
    train, usual = parts.config.train, max(1, parts.total_steps // 10)
    return Calendar(
        end=train.stop_step or parts.total_steps,
        log_every=train.log_every,
        evaluate_every=(train.evaluate_every or usual) if validated else 0,
        checkpoint_every=(train.checkpoint_every or usual) if written else 0,
        planned=parts.timetable.planned,
    )
