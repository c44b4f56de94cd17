"""The optimiser of a plan: one update rule a group, over the trainable tree alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax
from jaxtyping import Array, Float

from jtransfer.config import Optim
from jtransfer.transfer.plan import NO_DECAY, Plan


def make_schedule(optim: Optim, total_steps: int) -> optax.Schedule:
    """The learning rate by optimiser step, before the groups' factors.

    It rises linearly over the first `warmup` share of the steps, from one step's worth (not from zero, which would
    waste the first batch) to the peak, and then follows a half cosine to zero at `total_steps`, or stays.
    """
    warmup_steps = round(optim.warmup * total_steps)
    peak = optim.learning_rate
    if optim.schedule == 'constant':
        after = optax.constant_schedule(peak)
    else:
        after = optax.cosine_decay_schedule(peak, max(1, total_steps - warmup_steps))
    if not warmup_steps:
        return after
    rise = optax.linear_schedule(peak / (warmup_steps + 1), peak, warmup_steps)
    return optax.join_schedules([rise, after], [warmup_steps])


def make_optimizer(optim: Optim, plan: Plan, trainable: Any, total_steps: int) -> optax.GradientTransformation:
    """The gradient transformation for `plan.split(params)[0]`.

    Clipping by the global norm of the trainable gradients comes first; `optax.multi_transform` then gives every group
    its own learning rate and decay. AdamW's decay is decoupled (Loshchilov and Hutter, 2019); SGD's is added to the
    gradient before the momentum, as in torch.

    Args:
        optim: the optimiser's settings.
        plan: which group every parameter belongs to.
        trainable: the trainable tree, or its shapes.
        total_steps: length of the schedule, in optimiser updates.
    """
    schedule = make_schedule(optim, total_steps)
    transforms = {
        group.name: _update_rule(optim, _scaled(schedule, group.learning_rate_scale), group.weight_decay)
        for group in plan.trainable_groups
    }
    grouped = optax.multi_transform(transforms, plan.labels(trainable))
    return optax.chain(optax.clip_by_global_norm(optim.clip_norm), grouped) if optim.clip_norm else grouped


def learning_rates(optim: Optim, plan: Plan, total_steps: int) -> Callable[[Array], dict[str, Float[Array, '']]]:
    """A function of the step that gives every group's current learning rate, for the metrics."""
    schedule = make_schedule(optim, total_steps)
    scales = {g.name.removesuffix(NO_DECAY): g.learning_rate_scale for g in plan.trainable_groups}

    def rates(step: Array) -> dict[str, Float[Array, '']]:
        base = schedule(step)
        return {f'learning_rate/{name}': jax.numpy.asarray(base * scale) for name, scale in scales.items()}

    return rates


def _scaled(schedule: optax.Schedule, scale: float) -> optax.Schedule:
    return lambda step: schedule(step) * scale


def _update_rule(optim: Optim, schedule: optax.Schedule, weight_decay: float) -> optax.GradientTransformation:
    if optim.name == 'adamw':
        return optax.adamw(schedule, b1=optim.b1, b2=optim.b2, weight_decay=weight_decay)
    sgd = optax.sgd(schedule, momentum=optim.momentum or None)
    return optax.chain(optax.add_decayed_weights(weight_decay), sgd) if weight_decay else sgd
