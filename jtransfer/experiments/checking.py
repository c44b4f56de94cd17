"""What would stop a run before its first step or at its evaluation, found before either: every door comes by here."""

from __future__ import annotations

from jtransfer.config import Config
from jtransfer.data.measurable import check_parts
from jtransfer.data.part import Part
from jtransfer.data.parts import Parts
from jtransfer.errors import UserError
from jtransfer.evaluate.views import make_views
from jtransfer.experiments.feeding import check_sampling
from jtransfer.experiments.temperature import check_temperature
from jtransfer.experiments.training import check_tasks, make_step_parts
from jtransfer.pretrained.model import Model
from jtransfer.train.placement import make_placement
from jtransfer.transfer.plan import Plan


def reported(parts: Parts) -> tuple[str, Part]:
    """The part that is reported at the end, and its name: the test part, or else the validation part.

    Raises:
        UserError: there is neither.
    """
    if parts.test is not None:
        return 'test', parts.test
    if parts.validation is not None:
        return 'validation', parts.validation
    raise UserError(
        'there is nothing to evaluate on: set data.test_fraction or data.validation_fraction above 0, '
        'or name a data.test_split'
    )


def check_data(parts: Parts) -> None:
    """Raises `UserError` for parts without anything to learn from, or to report on; needs no network."""
    check_parts(parts)
    reported(parts)


def check_run(config: Config, parts: Parts, model: Model, plan: Plan, *, placed: bool = True) -> None:
    """Raises `UserError` for whatever would stop a run, but for unreadable images.

    Args:
        config: of the run.
        parts: of its data.
        model: where it starts.
        plan: which parameters move.
        placed: whether a batch is shared out over the devices; folds side by side do so in their own way.
    """
    check_parts(parts)
    check_tasks(model, parts)
    check_sampling(parts.train, config)
    check_temperature(config, parts, plan)
    if placed:
        placement = make_placement(config.train.placement)
        placement.check_batch_size(config.data.batch_size, config.optim.accumulate_steps)
    labels, validated = parts.train.labels, parts.validation is not None
    make_step_parts(model, plan, config, len(parts.train), labels=labels, validated=validated)
    make_views(model.network, model.variables, model.preprocessing, config.evaluate)
