"""Temperature scaling: logits divided by one number, fitted on the validation part, for probabilities to be trusted."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jtransfer import rules
from jtransfer.config import Config
from jtransfer.data.part import Part
from jtransfer.data.parts import Parts
from jtransfer.errors import UserError
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.run.score import logits_of
from jtransfer.pretrained.load import heads
from jtransfer.pretrained.model import Model
from jtransfer.tasks.base import Task, labelled
from jtransfer.transfer.plan import Plan

# Natural logarithm: from a hundredth to a hundred.
_RANGE = (-4.6, 4.6)
# A head's own values; auxiliary heads, which only training reads, have others below them.
_OWN = r'params/{head}/(part\d+/)?(kernel|bias)'


def fit_temperature(logits: Float[np.ndarray, 'example classes'], labels: Int[np.ndarray, ' example']) -> float:
    """The temperature at which the mean cross-entropy of logits / temperature is least (Guo et al., 2017).

    To be fitted on the training or validation side alone. The most likely class of an example stays what it was.

    Args:
        logits: of each class.
        labels: class numbers.

    Returns:
        The temperature, in [0.01, 100]; above 1 where the network was too sure of itself.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    values, rows = np.asarray(logits, np.float64), np.arange(len(labels))

    def loss(logarithm: float) -> float:
        return float(-log_softmax(values / np.exp(logarithm), axis=1)[rows, labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=_RANGE, method='bounded').x))


def calibrate(model: Model, validation: Part, config: Config) -> tuple[Model, dict[str, float]]:
    """The model with a temperature in the weights of its heads, for every task with one label an image.

    Kernel and bias of the head are divided by it, so that whoever has the model has calibrated probabilities.

    Args:
        model: the network; left as it is.
        validation: what the temperatures are fitted on.
        config: how images are read and the network is run.

    Returns:
        The model, and the temperatures by the task's name.

    """
    tasks = [task for task in model.tasks if task.softmax]
    logits, labels = logits_of(model, read_examples(validation, model.preprocessing, config), config)
    found: dict[str, float] = {}
    variables: Mapping[str, Any] = model.variables
    for task in tasks:
        known = labelled(labels[task.name])
        found[task.name] = fit_temperature(logits[task.name][known], labels[task.name][known])
        variables = _divided(variables, task, found[task.name])
    return dataclasses.replace(model, variables=dict(variables)), found


def check_temperature(config: Config, parts: Parts, plan: Plan) -> None:
    """Raises `UserError` where `evaluate.temperature` asks for what cannot be, before anything is trained."""
    if not config.evaluate.temperature:
        return
    if not any(task.softmax for task in parts.tasks):
        raise UserError('evaluate.temperature is for one label an image, and there is no such task: set it to false')
    if parts.validation is None or parts.test is None:
        raise UserError(
            'evaluate.temperature is fitted on a validation part and judged on a test part, and one of them is '
            'missing: set data.validation_fraction and data.test_fraction above 0'
        )
    if not any(path.startswith('head') for group in plan.groups if group.trainable for path in group.paths):
        raise UserError('evaluate.temperature changes the head, which is frozen here: set it to false')


def _divided(variables: Mapping[str, Any], task: Task, temperature: float) -> dict[str, Any]:
    pattern = re.compile(_OWN.format(head=re.escape(heads.path_of(task))))
    leaves = rules.flatten(variables)
    for path, leaf in leaves.items():
        if pattern.fullmatch(path):
            leaves[path] = np.asarray(leaf, np.float32) / np.float32(temperature)
    return rules.unflatten(leaves)
