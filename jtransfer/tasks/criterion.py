"""What is minimised: the sum of the losses of all tasks of a network, each times the task's weight."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jtransfer.config.optim import Loss
from jtransfer.errors import UserError
from jtransfer.tasks.base import ExampleLoss, Task
from jtransfer.tasks.losses import weighted_mean


class Term(NamedTuple):
    """A task, and the loss that it is trained with."""

    task: Task
    loss: Loss


@dataclasses.dataclass(frozen=True, eq=False)
class Criterion:
    """The loss of a network, and what is logged of its outputs beside it.

    An example may be without a label for a task: class number -1, or a NaN. It then weighs 0 there.

    Attributes:
        terms: of every task.
        label_smoothing: of the tasks with classes, in [0, 1); refused where none has any.
    """

    terms: tuple[Term, ...]
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Raises `UserError` for options that do not go together, with the task's name where there are several."""
        _ = self.functions

    @functools.cached_property
    def functions(self) -> dict[str, ExampleLoss]:
        """The losses of the examples of a batch, by task."""
        functions = {}
        mixed = any(task.has_classes for task, _ in self.terms)
        for task, loss in self.terms:
            smoothing = 0.0 if mixed and not task.has_classes else self.label_smoothing
            try:
                if not task.weight >= 0:
                    raise UserError(f'weight={task.weight} must be at least 0')
                functions[task.name] = task.loss(loss, smoothing)
            except UserError as error:
                raise UserError(f"task '{task.name}': {error}" if len(self.terms) > 1 else str(error)) from None
        return functions

    @property
    def named(self) -> bool:
        """Whether the tasks have names, by which their losses are told apart."""
        return any(task.name for task, _ in self.terms)

    def weights(
        self, labels: Mapping[str, Num[Array, 'batch ...']], examples: Float[Array, ' batch'] | None = None
    ) -> dict[str, Float[Array, ' batch']]:
        """The weights of the examples, for each task; their sums over a whole batch are `totals` of a call.

        Args:
            labels: as for a call.
            examples: how much each example counts, ≥ 0, in every task and times all else. None: all alike.
        """
        found = {}
        for task, loss in self.terms:
            known, filled = _labelled(task, labels)
            weights = task.example_weights(loss, filled) * known
            found[task.name] = weights if examples is None else weights * examples
        return found

    def __call__(
        self,
        outputs: Mapping[str, Float[Array, 'batch _']],
        labels: Mapping[str, Num[Array, 'batch ...']],
        totals: Mapping[str, Float[Array, '']] | None = None,
        examples: Float[Array, ' batch'] | None = None,
    ) -> tuple[Float[Array, ''], dict[str, Float[Array, '']]]:
        """The loss of a batch, and that of each task, before the task's weight.

        Args:
            outputs: of each task, by its name.
            labels: of each task, in its own form, or as mixing leaves them.
            totals: `total` of `weighted_mean`, for each task.
            examples: as for `weights`.

        Raises:
            UserError: a task's labels are missing, or of another form.
        """
        weights = self.weights(labels, examples)
        losses = {}
        for task, _ in self.terms:
            name = task.name
            values = self.functions[name](outputs[name], _labelled(task, labels)[1])
            losses[name] = weighted_mean(values, weights[name], None if totals is None else totals[name])
        # A task that is the only one has no other to be weighed against.
        shares = {task.name: task.weight if task.name else 1.0 for task, _ in self.terms}
        total = sum((share * losses[name] for name, share in shares.items()), start=jnp.zeros(()))
        return total, losses

    def log(
        self, outputs: Mapping[str, Float[Array, 'batch _']], labels: Mapping[str, Num[Array, 'batch ...']]
    ) -> dict[str, Float[Array, '']]:
        """What is logged of a batch: of every figure of `Task.log`, the mean over the tasks that have it.

        Each task's is the mean over what is labelled, whatever an example weighs.

        Args:
            outputs: as for a call.
            labels: as for a call.
        """
        weights = self.weights(labels)
        found: dict[str, list[Array]] = {}
        for task, loss in self.terms:
            known = (weights[task.name] > 0).astype(jnp.float32)
            for name, values in task.log(outputs[task.name], labels[task.name], loss).items():
                found.setdefault(name, []).append(weighted_mean(values, known))
        return {name: jnp.stack(values).mean() for name, values in found.items()}


def make_criterion(tasks: Sequence[Task], losses: Mapping[str, Loss], label_smoothing: float) -> Criterion:
    """The criterion of a network.

    Args:
        tasks: what its heads are for.
        losses: of each task by its name, see `task_losses`.
        label_smoothing: see `Criterion`.

    Raises:
        UserError: as for `make_loss`, with the task's name where there are several.
    """
    return Criterion(tuple(Term(task, losses[task.name]) for task in tasks), label_smoothing)


def _labelled(
    task: Task, labels: Mapping[str, Num[Array, 'batch ...']]
) -> tuple[Float[Array, ' batch'], Num[Array, 'batch ...']]:
    """Which examples have a label for the task, 1 or 0, and the labels with zeros where there is none."""
    if task.name not in labels:
        raise UserError(f"there are no targets for task '{task.name}', only for {', '.join(labels) or 'none'}")
    label = labels[task.name]
    # Mixed labels of class numbers are shares, with NaN where either is unknown.
    known = label >= 0 if label.ndim == 1 else ~jnp.isnan(label).any(tuple(range(1, label.ndim)))
    spread = known.reshape(-1, *[1] * (label.ndim - 1))
    return known.astype(jnp.float32), jnp.where(spread, label, jnp.zeros_like(label))
