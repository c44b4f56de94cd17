"""What is run of each fold: its parts and its configuration; and what would stop a fold, found before the first one."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from jtransfer.config import Config
from jtransfer.config.crossval import CrossVal
from jtransfer.data.measurable import check_parts, missing_classes
from jtransfer.data.parts import Parts
from jtransfer.data.split.folds import Fold
from jtransfer.errors import UserError
from jtransfer.experiments.crossval.divide import CrossValidation
from jtransfer.experiments.run.directory import RunDirectory, difference, is_finished
from jtransfer.experiments.run.prepare import Prepared, prepare
from jtransfer.text.outside import first_few
from jtransfer.train.loop import epoch_steps, total_steps


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


def plan_folds(config: Config, crossing: CrossValidation, folder: Path) -> tuple[FoldPlan, ...]:
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
            check_parts(parts)
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


def without_figure_in(plans: Sequence[FoldPlan]) -> list[str]:
    """A line about the classes of which some folds test no example: these have no figure of their own there."""
    lines = []
    for task in plans[0].parts.tasks:
        tests = [plan.parts.test for plan in plans if plan.parts.test is not None]
        missing = [missing_classes(task, test.labels) for test in tests]
        if classes := [name for name in task.class_names if any(name in own for own in missing)]:
            of = f' of {task.name}' if task.name else ''
            lines.append(
                f'{sum(map(bool, missing))} of {len(plans)} folds test no example of {first_few(classes)}{of}: no '
                'figures of their own there'
            )
    return lines


def find_plan(plans: Sequence[FoldPlan], number: int) -> FoldPlan:
    """The fold of a number, counted through the repeats.

    Raises:
        UserError: there are fewer.
    """
    if not 0 <= number < len(plans):
        raise UserError(f'fold={number} is none of the {len(plans)} folds, counted from 0')
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


def prepare_folds(plans: Sequence[FoldPlan], *, side_by_side: bool = False) -> tuple[Prepared, ...]:
    """The runs, which all start from one network, loaded once.

    Args:
        plans: of the folds.
        side_by_side: whether they run at once, which shares their batches out over the devices in its own way.

    Raises:
        UserError: whatever would stop one of them, unreadable images excepted.
    """
    first = prepare(plans[0].config, plans[0].parts, placed=not side_by_side)
    return (first, *(first.for_parts(plan.config, plan.parts) for plan in plans[1:]))
