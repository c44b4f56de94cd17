"""What a run would do and cost, before it runs: no image is read, no weights are fetched, no step is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from jtransfer.config import Config, validate
from jtransfer.config_check import at_least, parse_options
from jtransfer.config_transfer import ADAPTATIONS, Transfer
from jtransfer.data.parts import Parts, load_parts
from jtransfer.experiments.checking import check_data, check_run
from jtransfer.experiments.data_lines import describe_parts
from jtransfer.experiments.finetune import adapted
from jtransfer.experiments.plan_page import PlanReport, all_move
from jtransfer.experiments.training import make_step_parts
from jtransfer.preprocessing import Preprocessing, restated
from jtransfer.pretrained.entries import entries
from jtransfer.pretrained.foreign import identify
from jtransfer.pretrained.locate import Located
from jtransfer.pretrained.model import Model, load_model
from jtransfer.tasks.base import Task
from jtransfer.train.cost import abstract_state, compile_step, step_cost, tree_bytes
from jtransfer.train.frozen_work import frozen_backward
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.plan import make_plan

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
    for size in batch_sizes:
        at_least('batch_sizes: each', size, 1)
    devices = list(devices or jax.local_devices())
    extent = count_data(config, num_classes, say)
    parts, model = _parts(config, extent)
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
        whole, source = _parts(dataclasses.replace(config, transfer=Transfer('fine_tune')), extent)
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


def abstract_model(config: Config, num_classes: int, tasks: Sequence[Task] = ()) -> Model:
    """The network of a configuration with shapes for variables; weights that the catalogue knows are not fetched.

    Args:
        config: of the run.
        num_classes: outputs of the head, for one label an image.
        tasks: instead, where there are any: what the heads are for.

    Raises:
        UserError: no such checkpoint or architecture, or the two do not agree.
    """
    wanted, checkpoint = config.model, config.model.checkpoint
    said = parse_options(wanted.preprocessing)
    known: Preprocessing | dict[str, Any] = said
    architecture, options = wanted.name, parse_options(wanted.options)
    name = checkpoint.removeprefix('hf://')
    entry = entries().get(name) or entries().get(name.partition('@')[0])
    if entry is not None and (entry.repo or '://' in entry.file):
        identity = identify(Located(Path(entry.file), entry.name, entry), architecture)
        checkpoint, known = '', restated(identity.preprocessing, said)
        architecture, options = identity.architecture, {**identity.options, **options}
    models: list[Model] = []

    def make() -> dict[str, Any]:
        model = load_model(
            checkpoint,
            architecture=architecture,
            class_names=None if tasks else [str(index) for index in range(num_classes)],
            tasks=tasks or None,
            image_size=(wanted.image_size, wanted.image_width or wanted.image_size),
            input_channels=wanted.input_channels,
            preprocessing=known,
            options=options,
            dtype=wanted.dtype,
            drop_path=wanted.drop_path,
            dropout=wanted.dropout,
            head_init=wanted.head_init,
            random_weights=True,
            checkpoint_classes=wanted.checkpoint_classes if checkpoint else '',
        )
        models.append(adapted(model, config) if config.transfer.strategy in ADAPTATIONS else model)
        return models[0].variables

    # Traced, the random weights are never drawn; what compiles them cannot be traced.
    with jax.disable_jit():
        variables = jax.eval_shape(make)
    return dataclasses.replace(models[0], variables=variables)


@dataclasses.dataclass(frozen=True)
class Extent:
    """What is known of the data without reading an image.

    Attributes:
        classes: their number, and in words where it comes from.
        examples: how many images there are to train on. None: not known.
        validated: whether there is a validation part, or may be.
        tasks: what is to be learnt, where that is known.
        parts: of the data, where they were counted.
    """

    classes: tuple[int, str]
    examples: int | None = None
    validated: bool = True
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
        return Extent((outputs, source), len(parts.train), parts.validation is not None, parts.tasks, parts)
    if config.loss.class_weights:
        return Extent((len(config.loss.class_weights), 'loss.class_weights'))
    return Extent((SOME_CLASSES, 'assumed; --num_classes says otherwise'))


def _parts(config: Config, extent: Extent) -> tuple[StepParts, Model]:
    model = abstract_model(config, extent.classes[0], extent.tasks)
    plan = make_plan(model.network, model.variables['params'], config.transfer, config.optim.weight_decay)
    examples = _MANY if extent.examples is None else extent.examples
    if extent.parts is not None:
        check_run(config, extent.parts, model, plan, placed=False)
    return make_step_parts(model, plan, config, examples, validated=extent.validated), model


def _group_bytes(parts: StepParts, variables: Mapping[str, Any]) -> dict[str, int]:
    """Bytes of the optimiser's state by group, in the last phase, in which everything moves that ever does."""
    found = {group.name: 0 for group in parts.plan.groups}
    for path, leaf in jax.tree.leaves_with_path(abstract_state(parts, variables).opt_state):
        names = [str(getattr(key, 'name', getattr(key, 'key', ''))) for key in path]
        if 'inner_states' in names:  # of `optax.multi_transform`, by label
            found[names[names.index('inner_states') + 1]] += tree_bytes(leaf)
    return found
