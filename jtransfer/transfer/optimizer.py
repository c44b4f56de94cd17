"""The optimiser of a plan: one update rule a group, over the trainable tree alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
from jaxtyping import Array, Float

from jtransfer.config.optim import Optim
from jtransfer.models.role import Role
from jtransfer.transfer.plan import NO_DECAY, Plan
from jtransfer.transfer.settings import exists
from jtransfer.transfer.update_rules import update_rule


def make_optimizer(
    optim: Optim,
    plan: Plan,
    trainable: Any,
    schedules: Mapping[str, optax.Schedule],
    role: Callable[[str], Role],
) -> optax.GradientTransformation:
    """The gradient transformation for `plan.split(params)[0]`.

    Clipping by the global norm of the trainable gradients comes first; `optax.multi_transform` then gives every group
    its own update rule, learning rate and decay.

    Args:
        optim: the optimiser's settings; its numbers may be traced, see `settings.py`, and so may those of the groups.
        plan: which group every parameter belongs to.
        trainable: the trainable tree, or its shapes.
        schedules: the learning rate of every trainable group by its name, as a function of the group's own updates.
        role: of a parameter by its path, see `Network.role`.
    """
    transforms = {
        group.name: update_rule(group.optimizer or optim.name, optim, schedules[group.name], group.weight_decay, role)
        for group in plan.trainable_groups
    }
    grouped = optax.multi_transform(transforms, plan.labels(trainable))
    # With clipping or without, the state has the same form: a run may be continued with it that diverged without.
    clipping = optax.clip_by_global_norm(optim.clip_norm) if exists(optim.clip_norm) else optax.identity()
    return optax.chain(clipping, grouped)


def learning_rates(
    plan: Plan, schedules: Mapping[str, optax.Schedule]
) -> Callable[[Array], dict[str, Float[Array, '']]]:
    """A function of the step that gives every group's current learning rate, for the metrics.

    Args:
        plan: the groups.
        schedules: the learning rate of every trainable group by its name, as a function of the step of the training.
    """
    named = {group.name.removesuffix(NO_DECAY): schedules[group.name] for group in plan.trainable_groups}

    def rates(step: Array) -> dict[str, Float[Array, '']]:
        return {f'learning_rate/{name}': jax.numpy.asarray(schedule(step)) for name, schedule in named.items()}

    return rates
