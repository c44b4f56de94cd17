"""What a training step is made of, and what follows from it: loss, schedules, optimiser, pulls, first state."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import optax

from jtransfer.adapters import AnyNetwork
from jtransfer.augment.kinds import AugmentInputs, make_input_augment
from jtransfer.config import Config
from jtransfer.config.optim import Optim
from jtransfer.inputs.base import Preprocessor
from jtransfer.tasks.base import Task
from jtransfer.tasks.criterion import Criterion
from jtransfer.train.state import TrainState, init_state
from jtransfer.transfer.optimizer import make_optimizer
from jtransfer.transfer.plan import Group, Plan
from jtransfer.transfer.pull import Pull, keep_source
from jtransfer.transfer.schedules import scaled, shifted
from jtransfer.transfer.settings import Settings, settings_of, with_settings
from jtransfer.transfer.timetable import Timetable, make_timetable
from jtransfer.transfer.towards_source import configured_pulls


@dataclasses.dataclass(frozen=True)
class StepParts:
    """What a training step is made of.

    Attributes:
        network: the network.
        preprocessing: what the network reads.
        plan: which parameters move, of all phases.
        config: the settings of optimiser and augmentation.
        criterion: what is minimised, without the pulls.
        total_steps: length of the training.
        epoch_steps: length of one pass over the training examples.
        starts: the steps after which the phases so far began; the last one is the step's own.
        schedule: takes the place of the configured learning rate, by step and before the groups' factors.
        more_pulls: pulls towards the source, beside those that the configuration names.
    """

    network: AnyNetwork
    preprocessing: Preprocessor
    plan: Plan
    config: Config
    criterion: Criterion
    total_steps: int
    epoch_steps: int = 1
    starts: tuple[int, ...] = (0,)
    schedule: optax.Schedule | None = None
    more_pulls: tuple[Pull, ...] = ()

    @property
    def current(self) -> Plan:
        """The plan in this phase."""
        return self.plan.at_phase(len(self.starts) - 1)

    @property
    def timetable(self) -> Timetable:
        """When the phases begin."""
        return make_timetable(self.config.optim, self.plan, self.total_steps, self.epoch_steps)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is learnt."""
        return tuple(task for task, _ in self.criterion.terms)

    @property
    def pulls(self) -> tuple[Pull, ...]:
        """All pulls towards the source, in the order in which they act."""
        return (*configured_pulls(self.plan.transfer), *self.more_pulls)

    @property
    def settings(self) -> Settings:
        """The numbers that are data of the compiled program."""
        return settings_of(self.config.optim, self.plan)

    def with_settings(self, settings: Settings) -> StepParts:
        """The same with other numbers in their places, which may be traced."""
        optim, plan = with_settings(self.config.optim, self.plan, settings)
        return dataclasses.replace(self, plan=plan, config=dataclasses.replace(self.config, optim=optim))

    def schedules(self) -> dict[str, optax.Schedule]:
        """The learning rate of every trainable group by its name, as a function of the step."""
        timetable = self.timetable

        def of(group: Group) -> optax.Schedule:
            if self.schedule is not None:
                return scaled(self.schedule, group.learning_rate_scale)
            return timetable.schedule(group, self.starts)

        return {group.name: of(group) for group in self.current.trainable_groups}

    def optimizer(self, trainable: Any) -> optax.GradientTransformation:
        """The optimiser over the trainable tree (or its shapes)."""
        begins = {group.name: self.starts[group.phase] for group in self.current.trainable_groups}
        # A group's own optimiser counts from when the group begins to move.
        own = {name: shifted(schedule, begins[name]) for name, schedule in self.schedules().items()}
        return make_optimizer(self.config.optim, self.current, trainable, own, self.network.role)

    def start(self, variables: Mapping[str, Any]) -> TrainState:
        """The state before the first step of the training."""
        plan = self.current
        return init_state(
            variables,
            plan,
            self.optimizer(plan.split(variables['params'])[0]),
            ema=self.config.optim.ema_decay > 0,
            source=keep_source(variables, plan, self.pulls),
            frozen_dtype=plan.transfer.frozen_dtype,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
    """What is made of the parts of a step once, and taken by every function of it.

    Attributes:
        parts: network, plan and settings.
        network: the network; under an axis, its batch statistics are those over the axis.
        plan: what moves in this phase.
        augment: changes inputs and labels.
        trainable: the shapes of the trainable tree.
        optimizer: over it.
        schedules: the learning rate of every trainable group by its name.
        pulls: towards the source.
        axis_name: see `make_train_step`.
    """

    parts: StepParts
    network: AnyNetwork
    plan: Plan
    augment: AugmentInputs
    trainable: Any
    optimizer: optax.GradientTransformation
    schedules: Mapping[str, optax.Schedule]
    pulls: tuple[Pull, ...]
    axis_name: str | None

    @property
    def optim(self) -> Optim:
        """The settings of the optimiser."""
        return self.parts.config.optim

    @property
    def criterion(self) -> Criterion:
        """What is minimised, without the pulls."""
        return self.parts.criterion

    @property
    def mixes(self) -> bool:
        """Whether examples are mixed."""
        return self.parts.config.augment.mixes

    def mean(self, values: Any) -> Any:
        """The mean over the replicas, of every leaf."""
        return values if self.axis_name is None else jax.lax.pmean(values, self.axis_name)


def set_up(parts: StepParts, trainable: Any, axis_name: str | None) -> Setup:
    """Makes of the parts what every function of the step takes.

    Args:
        parts: network, plan and settings.
        trainable: the trainable tree, or its shapes.
        axis_name: see `make_train_step`.

    Raises:
        UserError: the augmentation does not fit the network.
    """
    return Setup(
        parts=parts,
        network=parts.network if axis_name is None else parts.network.with_norm_axis(axis_name),
        plan=parts.current,
        augment=make_input_augment(parts.config.augment, parts.preprocessing, parts.tasks, axis_name=axis_name),
        # Not the arrays, which the first step takes over.
        trainable=jax.eval_shape(lambda tree: tree, trainable),
        optimizer=parts.optimizer(trainable),
        schedules=parts.schedules(),
        pulls=parts.pulls,
        axis_name=axis_name,
    )
