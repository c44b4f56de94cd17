"""The numbers of an update that are data of the compiled program: rates, decays, strengths.

Runs that differ in them alone share one program, and so do lanes that are trained side by side. Which of these terms
there are is part of the program: a number that is zero in the configuration stays Python's zero, and its term is not
compiled. The decays of moments (`momentum`, `b1`, `b2`) stay constants, for 1 - b2 has few digits left in float32; so
does `clip_norm`, whose usual value is a multiplication that is compiled away.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

from jtransfer.config.optim import Optim
from jtransfer.transfer.plan import Plan

# By where they stand (`optim`, `transfer`, `groups`), for groups by name, and by field.
Settings: TypeAlias = Mapping[str, Mapping[str, Any]]

Holder = TypeVar('Holder')

OPTIM = ('learning_rate', 'final_learning_rate_scale', 'ema_decay', 'sam_rho')
TRANSFER = ('l2_sp', 'l2_sp_head', 'decay_to_source', 'distill')
GROUP = ('learning_rate_scale', 'weight_decay')


def exists(number: Any) -> bool:
    """Whether there is a term with this number: a traced one is not zero, whatever it is at work."""
    return not (isinstance(number, int | float) and number == 0)


def settings_of(optim: Optim, plan: Plan) -> Settings:
    """The numbers of a configuration, those that are zero left out.

    Args:
        optim: the optimiser's settings.
        plan: of all phases, with the settings of the transfer.
    """
    groups = {group.name: _numbers(group, GROUP) for group in plan.groups if group.trainable}
    return {'optim': _numbers(optim, OPTIM), 'transfer': _numbers(plan.transfer, TRANSFER), 'groups': groups}


def with_settings(optim: Optim, plan: Plan, settings: Settings) -> tuple[Optim, Plan]:
    """The optimiser's settings and the plan with these numbers in their places; they may be traced.

    Args:
        optim: the optimiser's settings.
        plan: of all phases, or in one.
        settings: of `settings_of`.
    """
    groups = tuple(_with(group, settings['groups'].get(group.name, {})) for group in plan.groups)
    plan = dataclasses.replace(plan, groups=groups, transfer=_with(plan.transfer, settings['transfer']))
    return _with(optim, settings['optim']), plan


def _with(holder: Holder, numbers: Mapping[str, Any]) -> Holder:
    """A copy with other numbers. Not made by its class, which takes no traced ones: nowhere else are they any."""
    changed = copy.copy(holder)
    for name, number in numbers.items():
        object.__setattr__(changed, name, number)
    return changed


def _numbers(holder: Any, names: tuple[str, ...]) -> dict[str, float]:
    values = {name: getattr(holder, name) for name in names}
    return {name: float(value) for name, value in values.items() if exists(value)}
