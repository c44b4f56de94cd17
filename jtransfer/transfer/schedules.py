"""Learning rates by optimiser step."""

from __future__ import annotations

import jax.numpy as jnp
import optax
from jaxtyping import Array

from jtransfer import checks
from jtransfer.config.optim import SCHEDULES, Optim

# The one-cycle policy starts at the peak over the first, and ends at that start over the second; torch has them too.
ONE_CYCLE_START = 25.0
ONE_CYCLE_END = 1e4


def make_schedule(optim: Optim, total_steps: int, name: str | None = None) -> optax.Schedule:
    """The learning rate by optimiser step, before the groups' factors; the step may be a traced integer.

    All but `one_cycle` rise linearly over the first `warmup` share of the steps, from one step's worth (not from zero,
    which would waste the first batch) to the peak. Then

    - `cosine` follows a half cosine (Loshchilov and Hutter, SGDR, 2017), and `linear` a line, to
      `final_learning_rate_scale` of the peak at `total_steps`;
    - `step` is multiplied by `step_factor` at each of `step_milestones`, which are shares of the whole run, the warmup
      included; a milestone inside the warmup takes effect at its end;
    - `constant` stays.

    `one_cycle` (Smith and Topin, Super-Convergence, 2018) is torch's `OneCycleLR` in its usual form: a half cosine from
    1/25 of the peak up to it over the `warmup` share (without one, it starts at the peak), and one down to 1/250,000 of
    the peak at the last step.

    Args:
        optim: peak and shape.
        total_steps: length of the run, in optimiser updates.
        name: one of `SCHEDULES`. None: `optim.schedule`.

    Raises:
        UserError: an unknown name.
    """
    name = optim.schedule if name is None else name
    checks.one_of('schedule', name, SCHEDULES)
    if name == 'one_cycle':
        return _one_cycle(optim, total_steps)
    warmup_steps = round(optim.warmup * total_steps)
    after = _after_warmup(name, optim, total_steps, warmup_steps)
    if not warmup_steps:
        return after
    rise = optax.linear_schedule(optim.learning_rate / (warmup_steps + 1), optim.learning_rate, warmup_steps)
    return optax.join_schedules([rise, after], [warmup_steps])


def with_warmup(schedule: optax.Schedule, start: int, warmup_steps: int) -> optax.Schedule:
    """The schedule with a linear rise of its own from `start`, for parameters that begin to move there.

    Step start + k has (k + 1) / (warmup_steps + 1) of the schedule's value, and from start + warmup_steps on all of it;
    before `start` the rate is zero.

    Args:
        schedule: by global step, and so is the result.
        start: global step at which the rise begins.
        warmup_steps: its length, ≥ 0. 0: the schedule itself.
    """
    if not warmup_steps:
        return schedule
    return lambda step: schedule(step) * jnp.clip((step - start + 1) / (warmup_steps + 1), 0.0, 1.0)


def scaled(schedule: optax.Schedule, factor: float | Array) -> optax.Schedule:
    """The schedule times a number."""
    return lambda step: schedule(step) * factor


def shifted(schedule: optax.Schedule, start: int) -> optax.Schedule:
    """The schedule by steps counted from `start`: an optimiser that was made at that global step begins at zero."""
    return lambda count: schedule(count + start)


def _after_warmup(name: str, optim: Optim, total_steps: int, warmup_steps: int) -> optax.Schedule:
    peak, steps = optim.learning_rate, max(1, total_steps - warmup_steps)
    if name == 'cosine':
        return optax.cosine_decay_schedule(peak, steps, alpha=optim.final_learning_rate_scale)
    if name == 'linear':
        return optax.linear_schedule(peak, peak * optim.final_learning_rate_scale, steps)
    if name == 'constant':
        return optax.constant_schedule(peak)
    factors: dict[int, float] = {}
    for share in optim.step_milestones:
        # In a very short run milestones fall together, and none may take the first step.
        step = max(1 - warmup_steps, round(share * total_steps) - warmup_steps, 0)
        factors[step] = factors.get(step, 1.0) * optim.step_factor
    return optax.piecewise_constant_schedule(peak, factors)


def _one_cycle(optim: Optim, total_steps: int) -> optax.Schedule:
    # `optax.cosine_onecycle_schedule` peaks one step later than torch and reaches the end only after the last step.
    start, last = optim.learning_rate / ONE_CYCLE_START, total_steps - 1
    up = max(0.0, optim.warmup * total_steps - 1)
    down = last - up if last > up else 1.0
    fall = optax.cosine_decay_schedule(optim.learning_rate, down, alpha=1 / (ONE_CYCLE_START * ONE_CYCLE_END))
    if not up:
        return fall
    rise = optax.cosine_decay_schedule(start, up, alpha=ONE_CYCLE_START)
    return optax.join_schedules([rise, fall], [up])  # type: ignore[list-item]  # a boundary may lie between two steps
