"""What is made of a configuration and its data once, before anything expensive: network, plan, step and views.

What would stop a run before its first step or at its evaluation is found here, unreadable images and the data alone
(`checking.check_data`) excepted. Whoever trains gets a `Prepared` and passes it on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax

from jtransfer.augment.kinds import make_input_augment
from jtransfer.config import Config
from jtransfer.data.parts import Parts
from jtransfer.errors import UserError
from jtransfer.evaluate.views import make_views
from jtransfer.experiments.run.feed import check_sampling
from jtransfer.experiments.run.standardise import without_scaling
from jtransfer.experiments.run.start import make_model
from jtransfer.experiments.run.temperature import check_temperature
from jtransfer.inputs.prepare import Views, batched
from jtransfer.pretrained.load import heads
from jtransfer.pretrained.model import Model
from jtransfer.tasks.base import is_classifier
from jtransfer.tasks.choose_loss import task_losses
from jtransfer.tasks.criterion import make_criterion
from jtransfer.tasks.labels import Labels
from jtransfer.train.loop import epoch_steps, total_steps
from jtransfer.train.placement import make_placement
from jtransfer.train.sizes import check_sizes
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.plan import Plan, make_plan


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A run that may begin.

    Attributes:
        config: of the run.
        parts: of its data, with labels in their own units.
        model: where it starts.
        plan: which parameters move.
        step_parts: what the training step is made of, for all images of the training part.
        views: of each example that is evaluated at the end.
    """

    config: Config
    parts: Parts
    model: Model
    plan: Plan
    step_parts: StepParts
    views: Views

    def for_examples(self, examples: int) -> StepParts:
        """What the training step is made of for another number of images: of these, some may not be readable.

        Raises:
            UserError: phases or sizes that the length of the training has no room for.
        """
        return self.step_parts if examples == len(self.parts.train) else self._steps(examples)

    def for_parts(self, config: Config, parts: Parts) -> Prepared:
        """The same for other parts of the same data, such as those of another fold.

        Args:
            config: the same but for `run_dir`.
            parts: which `check_data` lets through.

        Raises:
            UserError: as `for_examples`.
        """
        other = dataclasses.replace(self, config=config, parts=parts)
        return dataclasses.replace(other, step_parts=other._steps(len(parts.train)))

    def _steps(self, examples: int) -> StepParts:
        validated = self.parts.validation is not None
        return _step_parts(self.model, self.plan, self.config, examples, self.parts.train.labels, validated)


def prepare(
    config: Config,
    parts: Parts,
    *,
    model: Model | None = None,
    plan: Plan | None = None,
    evaluated: bool = True,
    placed: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Prepared:
    """Makes what a run needs, and checks it; no image is read.

    Args:
        config: of the run.
        parts: of its data, which `check_data` (or `check_parts`, if nothing is evaluated) lets through.
        model: where it starts. None: the configured one is loaded.
        plan: which parameters move. None: as the configuration says.
        evaluated: whether the trained network is evaluated as configured.
        placed: whether a batch is shared out over the devices; folds side by side do so in their own way.
        say: told, line by line, what was loaded, what moves, and what has no effect.

    Raises:
        UserError: whatever would stop the run, but for the data alone and unreadable images.
    """
    model = model or make_model(config, parts.class_names, parts.tasks)
    say(model.load_report.summary())
    plan = plan or plan_for(config, model)
    for line in (plan.summary(), *plan.notes):
        say(line)
    check_tasks(model, parts)
    check_sampling(parts.train, config)
    if evaluated:
        check_temperature(config, parts, plan)
    if placed:
        placement = make_placement(config.train.placement)
        placement.check_batch_size(config.data.batch_size, config.optim.accumulate_steps)
    labels, validated = parts.train.labels, parts.validation is not None
    step_parts = make_step_parts(model, plan, config, len(parts.train), labels=labels, validated=validated)
    views = model.preprocessing.views()
    if evaluated:
        views = make_views(model.network, model.variables, model.preprocessing, config.evaluate)
    return Prepared(config, parts, model, plan, step_parts, views)


def plan_for(config: Config, model: Model) -> Plan:
    """Which parameters of a model move, as the configuration says.

    Raises:
        UserError: see `make_plan`.
    """
    return make_plan(model.network, model.variables['params'], config.transfer, config.optim.weight_decay)


def check_tasks(model: Model, parts: Parts) -> None:
    """Raises `UserError` for a model without a head, or with heads for something else than the data are about."""
    if not model.tasks:
        raise UserError('the network has no head to train: load_model(…, class_names=data.class_names) makes one')
    own, theirs = model.tasks, parts.train.tasks
    if is_classifier(own) and is_classifier(theirs):
        return
    if not heads.matches(own, theirs):
        raise UserError(
            f'the data are for {heads.in_words(theirs)}, and the network has heads for {heads.in_words(own)}: '
            'load_model(…, tasks=data.tasks) makes the right ones'
        )


def make_step_parts(
    model: Model,
    plan: Plan,
    config: Config,
    examples: int,
    *,
    labels: Labels | None = None,
    validated: bool = True,
) -> StepParts:
    """What the training step is made of, once it is known that the network takes all that it is to be given.

    Args:
        model: the network, and where training starts.
        plan: which parameters move.
        config: everything else.
        examples: how many images there are to train on.
        labels: of the training part, by which `loss.class_balance` weighs the classes. None: they weigh alike, which
            changes no shape and no cost.
        validated: whether there is a validation part.

    Raises:
        UserError: phases that do not fit the length of the training or wait for a missing validation, a loss that does
            not fit the network, sizes that it does not take, augmentation that does not fit its input, or a batch of a
            single value for batch normalisation.
    """
    sizes = config.augment.sizes
    check_sizes(model.network, model.variables, model.preprocessing, sizes)
    _check_statistics(model, config, plan)
    parts = _step_parts(model, plan, config, examples, labels, validated)
    for preprocessing in (model.preprocessing, *(model.preprocessing.at_size(size) for size in sizes)):
        make_input_augment(config.augment, preprocessing, parts.tasks)
    return parts


def _step_parts(
    model: Model, plan: Plan, config: Config, examples: int, labels: Labels | None, validated: bool
) -> StepParts:
    """The same, without another look at the network: the length, the losses and the phases, which the data decide."""
    length = total_steps(config, examples), epoch_steps(config, examples)
    if config.train.stop_step > length[0]:
        raise UserError(f'train.stop_step={config.train.stop_step} is beyond the {length[0]} steps of the training')
    sizes = config.augment.sizes
    if config.augment.size_schedule == 'progressive' and length[0] < len(sizes):
        raise UserError(f'augment.sizes: {len(sizes)} sizes one after another need as many steps, not {length[0]}')
    if config.augment.mixes and (whole := [task.kind for task in model.tasks if not task.mixes]):
        raise UserError(f'labels of {whole[0]} cannot be mixed: leave mixup and cutmix out of augment.operations')
    losses = task_losses(config.loss, model.tasks, labels)
    # As the network is trained on them: labels come scaled, in every fold in its own way.
    criterion = make_criterion(without_scaling(model).tasks, losses, config.optim.label_smoothing)
    parts = StepParts(model.network, model.preprocessing, plan, config, criterion, *length)
    if parts.timetable.waits and not validated:
        raise UserError(
            'the strategy unfreezes when validation stalls, and there is no validation part: set '
            'data.validation_fraction, or transfer.unfreeze_every, a number of steps'
        )
    return parts


def _check_statistics(model: Model, config: Config, plan: Plan) -> None:
    """Raises `UserError` where batch normalisation would see a single value, before anything is written."""
    if config.data.batch_size > config.optim.accumulate_steps:
        return  # two images or more have statistics, however small they are by the last stage
    own = model.preprocessing
    for preprocessing in [own.at_size(size) for size in config.augment.sizes] or [own]:
        jax.eval_shape(
            lambda variables, inputs, key: model.network.apply(
                variables,
                inputs,
                train=True,
                frozen=plan.frozen_modules,
                mutable=['batch_stats'],
                rngs={'dropout': key},
            ),
            model.variables,
            batched(preprocessing.spec()),
            jax.random.key(0),
        )
