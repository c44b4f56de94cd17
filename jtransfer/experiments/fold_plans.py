"""What is run of each fold: its parts and its configuration; and what would stop a fold, found before the first one."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from jtransfer.config import Config
from jtransfer.config_crossval import CrossVal
from jtransfer.data.folds import Fold
from jtransfer.data.part import Part
from jtransfer.data.parts import Parts
from jtransfer.data.targets import of_task
from jtransfer.errors import UserError
from jtransfer.evaluate.views import make_views
from jtransfer.experiments import finetune
from jtransfer.experiments.crossval_plan import Crossing
from jtransfer.experiments.run_dir import RunDirectory, difference, is_finished
from jtransfer.experiments.standardise import check_labelled
from jtransfer.experiments.temperature import check_temperature
from jtransfer.experiments.training import make_step_parts
from jtransfer.pretrained.model import Model
from jtransfer.train.loop import epoch_steps, total_steps
from jtransfer.transfer.plan import Plan, make_plan


@dataclasses.dataclass(frozen=True, eq=False)
class FoldPlan:
    """What is to be run of one fold.

    Attributes:
        fold: the division.
        parts: of its data.
        config: of its run; `run_dir` is set.
        groups: of its training examples, what no further division divides.
    """

    fold: Fold
    parts: Parts
    config: Config
    groups: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The run directory."""
        return Path(self.config.run_dir)

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        return is_finished(self.path)


def plan_folds(config: Config, crossing: Crossing, folder: Path) -> tuple[FoldPlan, ...]:
    """The parts and the configuration of every fold's run; all of them take the same number of steps.

    They are those that `train.epochs` makes of the mean size of the training parts, and so is the first phase of
    `one_then_all`: folds may then be run side by side, and their curves compared.

    Args:
        config: of the whole experiment.
        crossing: its folds.
        folder: of the experiment; the runs are below it.

    Raises:
        UserError: a fold that cannot be trained or measured, by its name.
    """
    every = []
    for fold in crossing.folds:
        try:
            parts = crossing.parts(fold, config)
            _check_measurable(parts)
        except UserError as error:
            raise UserError(f'{crossing.name(fold)}: {error}') from None
        every.append(parts)
    mean = round(float(np.mean([len(parts.train) for parts in every])))
    steps, first, transfer = total_steps(config, mean), epoch_steps(config, mean), config.transfer
    if transfer.strategy == 'one_then_all' and not transfer.first_phase and first < steps:
        transfer = dataclasses.replace(transfer, first_phase=first / steps)
    shared = dataclasses.replace(
        config,
        transfer=transfer,
        train=dataclasses.replace(config.train, steps=steps, epochs=0.0, resume='auto'),
        crossval=CrossVal(),
    )
    return tuple(
        FoldPlan(
            fold,
            parts,
            dataclasses.replace(shared, run_dir=str(folder / crossing.name(fold))),
            crossing.groups_of(parts.train),
        )
        for fold, parts in zip(crossing.folds, every, strict=True)
    )


def find_plan(plans: Sequence[FoldPlan], number: int) -> FoldPlan:
    """The fold of a number, counted through the repeats.

    Raises:
        UserError: there are fewer.
    """
    if not 0 <= number < len(plans):
        raise UserError(f'--fold={number} is none of the {len(plans)} folds, counted from 0')
    return plans[number]


def check_directory(plan: FoldPlan, searched: Collection[str] = ()) -> None:
    """Raises `UserError` where a fold's directory holds anything but its run, finished or not.

    Args:
        plan: of the fold.
        searched: fields that a search in the fold sets; without them, an unfinished run is not known to be another.
    """
    if not plan.finished:
        if not searched:
            RunDirectory.find(plan.config)
    elif differs := difference(plan.path, plan.config, searched):
        raise UserError(f'{plan.path} holds a finished run of another configuration ({differs}); name another run_dir')


def check_runs(plans: Sequence[FoldPlan]) -> tuple[Model, Plan]:
    """Raises `UserError` for whatever would stop one of the runs before its first step, unreadable images excepted.

    Returns:
        The network that all of them start from, and which of its parameters move.
    """
    config, parts = plans[0].config, plans[0].parts
    model = finetune.make_model(config, parts.class_names, parts.tasks)
    make_views(model.network, model.variables, model.preprocessing, config.evaluate)
    treatment = make_plan(model.network, model.variables['params'], config.transfer, config.optim.weight_decay)
    for plan in plans:
        train, validated = plan.parts.train, plan.parts.validation is not None
        check_labelled(plan.parts.tasks, plan.parts)
        check_temperature(plan.config, plan.parts, treatment)
        make_step_parts(model, treatment, plan.config, len(train), labels=train.labels, validated=validated)
    return model, treatment


def _check_measurable(parts: Parts) -> None:
    """Raises `UserError` for several labels an image of which none is there to be found: they have no score."""
    for name in ('validation', 'test'):
        part: Part | None = getattr(parts, name)
        if part is None:
            continue
        for task in parts.tasks:
            if task.kind == 'multi_label' and not (of_task(part.labels, task) > 0).any():
                called = f' of {task.name}' if task.name else ''
                raise UserError(f'none of the {len(part)} images of the {name} part has any of the labels{called}')
