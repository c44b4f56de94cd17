"""When the phases of a training begin, and what learning rate that makes for a group.

A phase begins at a step that is known beforehand, or when validation stalls. Everything here is a function of the steps
at which the phases so far began, so that a resumed run, which reads these from its checkpoint, goes on as it would
have.
"""

from __future__ import annotations

import dataclasses

import optax

from jtransfer.config.optim import Optim
from jtransfer.config.transfer import Transfer
from jtransfer.errors import UserError
from jtransfer.transfer.plan import Group, Plan
from jtransfer.transfer.schedules import make_schedule, scaled, with_warmup

# Of `lp_ft`: share of the steps before the backbone begins to move.
_PROBE_SHARE = 0.3
# Of `one_then_all`: the second phase has half the learning rate of the first, as fastai's `fine_tune`.
_ONE_THEN_ALL_SCALE = 2.0


@dataclasses.dataclass(frozen=True)
class Timetable:
    """The phases of a training.

    Attributes:
        optim: the settings of the schedule.
        transfer: the strategy and its settings.
        total_steps: of the training, in optimiser updates.
        phases: how many there are.
        planned: the steps after which they begin, in order and from 0 on; only the first is planned where they wait for
            validation to stall.
    """

    optim: Optim
    transfer: Transfer
    total_steps: int
    phases: int
    planned: tuple[int, ...] = (0,)

    @property
    def waits(self) -> bool:
        """Whether the next phase begins when validation stalls."""
        return len(self.planned) < self.phases

    def begins(self, starts: tuple[int, ...], step: int, stalled: int) -> bool:
        """Whether the next phase begins after a step.

        Args:
            starts: the steps after which the phases so far began.
            step: optimiser updates made.
            stalled: evaluations since the best score of this phase.
        """
        if len(starts) == self.phases or step >= self.total_steps:
            return False
        if self.waits:
            return stalled >= self.transfer.unfreeze_patience
        return step == self.planned[len(starts)]

    def schedule(self, group: Group, starts: tuple[int, ...]) -> optax.Schedule:
        """A group's learning rate, its factor included, by global step.

        Args:
            group: of a plan in the phase that `starts` ends with.
            starts: the steps after which the phases so far began.
        """
        optim, transfer = self.optim, self.transfer
        name = group.schedule or optim.schedule
        if transfer.strategy == 'gradual' or self.phases == 1:
            schedule = make_schedule(optim, self.total_steps, name)
            if group.phase:
                schedule = with_warmup(schedule, starts[group.phase], transfer.unfreeze_warmup)
        else:
            ends = (*self.planned[1:], self.total_steps)
            pieces = [
                scaled(make_schedule(optim, end - start, name), self.factor(phase))
                for phase, (start, end) in enumerate(zip(self.planned, ends, strict=True))
            ]
            schedule = optax.join_schedules(pieces, list(self.planned[1:]))
        return scaled(schedule, group.learning_rate_scale)

    def factor(self, phase: int) -> float:
        """What the learning rate of a whole phase is multiplied with."""
        if phase or self.phases == 1 or self.transfer.strategy == 'gradual':
            return 1.0
        usual = _ONE_THEN_ALL_SCALE if self.transfer.strategy == 'one_then_all' else 1.0
        return self.transfer.first_learning_rate_scale or usual


def make_timetable(optim: Optim, plan: Plan, total_steps: int, epoch_steps: int) -> Timetable:
    """Plans when the phases begin.

    Args:
        optim: the settings of the schedule.
        plan: of all phases.
        total_steps: of the training, in optimiser updates.
        epoch_steps: of one pass over the training examples.

    Raises:
        UserError: the training is too short for its phases.
    """
    transfer, phases = plan.transfer, plan.phases
    if phases == 1:
        return Timetable(optim, transfer, total_steps, phases)
    if transfer.strategy == 'gradual':
        if not transfer.unfreeze_every:
            return Timetable(optim, transfer, total_steps, phases)
        planned = [phase * transfer.unfreeze_every for phase in range(phases)]
        if planned[-1] >= total_steps:
            most = (total_steps - 1) // (phases - 1)
            raise UserError(
                f'transfer.unfreeze_every={transfer.unfreeze_every} begins the last of {phases} phases after '
                f'{planned[-1]} of {total_steps} steps: '
                + (f'at most {most} would do' if most else f'train for at least {phases} steps')
            )
    else:
        first = round(transfer.first_phase * total_steps)
        if not transfer.first_phase:
            first = epoch_steps if transfer.strategy == 'one_then_all' else round(_PROBE_SHARE * total_steps)
        planned = [0, *(first + (total_steps - first) * k // (phases - 1) for k in range(phases - 1))]
        if len({*planned, total_steps}) <= phases or max(planned) >= total_steps:
            raise UserError(
                f'{total_steps} steps are too few for {phases} phases, which would begin after the steps '
                f'{", ".join(map(str, planned))}: train for longer, or set transfer.first_phase'
            )
    return Timetable(optim, transfer, total_steps, phases, tuple(planned))
