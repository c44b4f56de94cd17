"""What a run would do and cost, before it runs: no image is read, no weights are fetched, no step is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from jtransfer.checks import at_least
from jtransfer.config import Config, validate
from jtransfer.config.transfer import Transfer
from jtransfer.data.parts import Parts, load_parts
from jtransfer.errors import UserError
from jtransfer.experiments.data.checking import check_data
from jtransfer.experiments.data.data_lines import describe_parts
from jtransfer.experiments.inspect.plan_page import PlanReport, all_move
from jtransfer.experiments.run.prepare import make_step_parts, plan_for, prepare
from jtransfer.experiments.run.start import abstract_model
from jtransfer.pretrained.model import Model
from jtransfer.tasks.base import Task
from jtransfer.train.cost import abstract_state, compile_step, step_cost, tree_bytes
from jtransfer.train.frozen_work import frozen_backward
from jtransfer.train.step_parts import StepParts

SOME_CLASSES = 10
# Where the number of images is not known: costs do not depend on it, and phases find room in it.
_MANY = 1_000_000_000
_COUNTABLE = ('digits', 'glyphs', 'folder:', 'csv:', 'parquet:')


def plan_report(
    config: Config,
    batch_sizes: Sequence[int] = (),
    *,
    num_classes: int = 0,
    devices: Sequence[jax.Device] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> PlanReport:
    """Plans a run and compiles its steps.

    Args:
        config: of the run.
        batch_sizes: other batch sizes to give the memory of.
        num_classes: of the data. 0: as many as the source names, where that is known without reading an image.
        devices: that share a batch. None: all local ones.
        say: told, line by line, what the data are and what is being compiled, which may take a minute for a large
            network.

    Raises:
        UserError: anything that the run itself would refuse before its first image, or a batch size that does not share
            out over devices and accumulation steps.
    """
    config = validate(config)
    at_least('num_classes', num_classes, 0)
    if num_classes == 1:
        raise UserError('num_classes=1: one class is told from nothing; 2 or more are (0: those of the data)')
    for size in batch_sizes:
        at_least('batch_sizes: each', size, 1)
    devices = list(devices or jax.local_devices())
    extent = count_data(config, num_classes, say)
    parts, model = _step(config, extent)
    plan, size = parts.plan, config.data.batch_size
    costs, backward = [], []
    for phase in range(plan.phases):
        parts = dataclasses.replace(parts, starts=tuple(range(phase + 1)))
        say(f'compiling the step of phase {phase}' if plan.phases > 1 else 'compiling the step')
        step = compile_step(parts, model.variables, size, devices=devices)
        costs.append(step.cost)
        backward.append(() if all_move(parts.current) else tuple(frozen_backward(step, model.variables)))
    full = costs[-1]
    if not all_move(parts.current) or plan.transfer != Transfer(plan.transfer.strategy):
        say('compiling full fine-tuning')
        whole, source = _full(parts, config, extent, model)
        full = step_cost(whole, source.variables, size, devices=devices)
    others = []
    for other in batch_sizes:
        say(f'compiling the step of {other} images')
        others.append(step_cost(parts, model.variables, other, devices=devices))
    return PlanReport(
        model=model,
        plan=plan,
        classes=extent.classes,
        schedule=config.optim.schedule,
        group_bytes=_group_bytes(parts, model.variables),
        phases=tuple(costs),
        full=full,
        backward=tuple(backward),
        batches=tuple(others),
    )


@dataclasses.dataclass(frozen=True)
class Extent:
    """What is known of the data without reading an image.

    Attributes:
        classes: their number, and in words where it comes from.
        tasks: what is to be learnt, where that is known.
        parts: of the data, where they were counted.
    """

    classes: tuple[int, str]
    tasks: tuple[Task, ...] = ()
    parts: Parts | None = None


def count_data(config: Config, num_classes: int = 0, say: Callable[[str], None] = lambda line: None) -> Extent:
    """Counts classes and training images where that needs no image.

    Args:
        config: of the run.
        num_classes: to take instead of counting. 0: count.
        say: told what was counted and what was left out.

    Raises:
        UserError: anything about the data that would stop the run, as far as it shows.
    """
    source = config.data.source
    if num_classes:
        return Extent((num_classes, 'as asked for'))
    if source.startswith(_COUNTABLE):
        parts = load_parts(config.data, config.seed)
        check_data(parts)
        for line in describe_parts(parts, source):
            say(line)
        outputs = sum(task.outputs for task in parts.tasks)
        return Extent((outputs, source), parts.tasks, parts)
    if config.loss.class_weights:
        return Extent((len(config.loss.class_weights), 'loss.class_weights'))
    return Extent((SOME_CLASSES, 'assumed; num_classes says otherwise'))


def _step(config: Config, extent: Extent) -> tuple[StepParts, Model]:
    """What the step is made of, and the network, checked against the data as far as these are known."""
    model = abstract_model(config, extent.classes[0], extent.tasks)
    if extent.parts is None:
        return make_step_parts(model, plan_for(config, model), config, _MANY), model
    return prepare(config, extent.parts, model=model, placed=False).step_parts, model


def _full(parts: StepParts, config: Config, extent: Extent, model: Model) -> tuple[StepParts, Model]:
    """The same of plain full fine-tuning, of the network without what a strategy adds to it."""
    config = dataclasses.replace(config, transfer=Transfer('fine_tune'))
    if model.adaptation:
        model = abstract_model(config, extent.classes[0], extent.tasks)
    whole = dataclasses.replace(parts, network=model.network, plan=plan_for(config, model), config=config, starts=(0,))
    return whole, model


def _group_bytes(parts: StepParts, variables: Mapping[str, Any]) -> dict[str, int]:
    """Bytes of the optimiser's state by group, in the last phase, in which everything moves that ever does."""
    found = {group.name: 0 for group in parts.plan.groups}
    for path, leaf in jax.tree.leaves_with_path(abstract_state(parts, variables).opt_state):
        names = [str(getattr(key, 'name', getattr(key, 'key', ''))) for key in path]
        if 'inner_states' in names:  # of `optax.multi_transform`, by label
            found[names[names.index('inner_states') + 1]] += tree_bytes(leaf)
    return found
