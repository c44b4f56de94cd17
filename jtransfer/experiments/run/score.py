"""A model on a part of a data set: every example once, its metrics and its logits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jtransfer.config import Config
from jtransfer.data.feed.batches import evaluation_batches
from jtransfer.data.part import Part
from jtransfer.evaluate.evaluator import predict_logits
from jtransfer.evaluate.forward import Forward, make_forward
from jtransfer.evaluate.views import average_views, kinds_of
from jtransfer.experiments.data.read import Examples, read_examples
from jtransfer.experiments.run.standardise import own_units
from jtransfer.inputs.prepare import Held
from jtransfer.out_of_memory import memory_told
from jtransfer.pretrained.model import Model
from jtransfer.tasks.base import Task
from jtransfer.tasks.labels import Labels
from jtransfer.tasks.metrics.measured import Measured
from jtransfer.tasks.metrics.several import measure_present
from jtransfer.tasks.thresholds import fit_thresholds


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """What a model did on a part: metrics, and logits, labels and ids in the part's order.

    Instead of logits there are numbers, in their own units, where these were to be predicted. Logits and labels are by
    task, of the tasks and outputs for which there are labels.
    """

    metrics: Measured
    logits: Labels
    labels: Labels
    ids: tuple[str, ...]
    tasks: tuple[Task, ...]


def logits_of(
    model: Model,
    examples: Examples,
    config: Config,
    *,
    variables: Mapping[str, Any] | None = None,
    forward: Forward | None = None,
) -> tuple[Labels, Labels]:
    """The logits, or numbers in their own units, and labels of every example; see `score`.

    Several views of each example are averaged, see `average_views`.
    """
    views = examples.views
    run = forward or make_forward(model.network, model.preprocessing, views.flips, kinds_of(model.tasks))
    current = model.variables if variables is None else variables

    def apply(held: Held) -> Any:
        logits = [run(current, view) for view in views.split(held)]
        return logits[0] if len(logits) == 1 else average_views(*logits, kinds=kinds_of(model.tasks))

    size = config.evaluate.batch_size
    with memory_told('in a forward pass', f'an evaluate.batch_size (--batch_size) below {size} needs less'):
        outputs, labels = predict_logits(apply, evaluation_batches(examples.held, size, examples.views))
    return own_units(model.tasks, outputs), labels


def score(
    model: Model,
    examples: Examples,
    config: Config,
    *,
    variables: Mapping[str, Any] | None = None,
    forward: Forward | None = None,
    thresholds: Mapping[str, Sequence[float]] | None = None,
) -> Scores:
    """Scores a model.

    Args:
        model: the network.
        examples: what `read_examples` read.
        config: batch size, confidence and calibration bins.
        variables: instead of the model's own.
        forward: the compiled forward pass, where there is one already; of `make_forward`, with `examples.views.flips`.
        thresholds: of tasks with several labels an image, of `fitted_thresholds`. None: 0.5.
    """
    logits, labels = logits_of(model, examples, config, variables=variables, forward=forward)
    return scores_of(model.tasks, logits, labels, examples, config, thresholds)


def scores_of(
    tasks: Sequence[Task],
    outputs: Labels,
    labels: Labels,
    examples: Examples,
    config: Config,
    thresholds: Mapping[str, Sequence[float]] | None = None,
) -> Scores:
    """Scores what a network, or several together, said of the examples; see `score`."""
    metrics, own, outputs, labels = measure_present(
        tasks,
        outputs,
        labels,
        confidence=config.evaluate.confidence,
        bins=config.evaluate.calibration_bins,
        thresholds=thresholds,
    )
    metrics = dataclasses.replace(metrics, test_time_augmentation=examples.views.name)
    return Scores(metrics, outputs, labels, examples.ids, own)


def fitted_thresholds(model: Model, validation: Part | None, config: Config) -> dict[str, tuple[float, ...]]:
    """The probabilities from which on classes are predicted, where an image may have several, by the task's name.

    They make each class's F1 on the validation part the largest, see `fit_thresholds`. Without such tasks, or without a
    validation part, there are none.
    """
    several = [task for task in model.tasks if task.has_thresholds]
    if validation is None or not several:
        return {}
    logits, labels = logits_of(model, read_examples(validation, model.preprocessing, config), config)
    return {task.name: fit_thresholds(logits[task.name], labels[task.name]) for task in several}
