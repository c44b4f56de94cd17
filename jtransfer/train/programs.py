"""Training steps that have been compiled in this process, for runs that differ from one another in numbers alone.

Trials of a search, runs of a sweep over rates, folds one after another: what is data of the program (`settings.py`, the
seed, the examples) does not make another one.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

import jax

from jtransfer.config.transfer import Transfer
from jtransfer.models.heads import are_ours
from jtransfer.train.placement import Placement
from jtransfer.train.state import TrainState
from jtransfer.train.step import Batch, Metrics, TrainStep
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.settings import Settings

# Each holds the machine code of a step, some megabytes of memory.
MOST = 8

_IN_GROUPS = (
    *('rules', 'blocks', 'freeze_until'),
    *('backbone_learning_rate_scale', 'stage_learning_rates', 'layer_decay'),
)

_kept: OrderedDict[Hashable, TrainStep] = OrderedDict()
_lock = threading.Lock()


def program(
    placement: Placement, parts: StepParts, trainable: Any, settings: Sequence[Settings] | None = None
) -> TrainStep:
    """The training step of `placement.compile`, made anew unless one of the same is there, with its own numbers.

    Args:
        placement: the devices.
        parts: what the step is made of.
        trainable: the shapes of the trainable tree.
        settings: the numbers of each lane. None: those of the parts, in every lane.
    """
    program = _made(placement, parts, trainable)
    numbers = placement.put_settings([parts.settings] * placement.lanes if settings is None else settings)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        return program(state, {**batch, 'settings': numbers})

    if lower := getattr(program, 'lower', None):
        step.lower = lambda state, batch: lower(state, {**batch, 'settings': numbers})  # type: ignore[attr-defined]
    return step


def _made(placement: Placement, parts: StepParts, trainable: Any) -> TrainStep:
    """The program, whose own numbers are those of whoever came first."""
    key = _key(placement, parts, trainable)
    with _lock:
        step = _kept.get(key)
        if step is None:
            step = placement.compile(parts, trainable)
            if key is not None:
                _kept[key] = step
        if key is not None:
            _kept.move_to_end(key)
        while len(_kept) > MOST:
            _kept.popitem(last=False)
    return step


def forget() -> None:
    """Lets go of all of them."""
    with _lock:
        _kept.clear()


def _is_ours(parts: StepParts) -> bool:
    """Whether tasks, losses and heads are the library's, so that equal ones do the same."""
    called = (parts.criterion, *(task for task, _ in parts.criterion.terms))
    return are_ours(parts.network.heads) and all(type(each).__module__.startswith('jtransfer.') for each in called)


def _key(placement: Placement, parts: StepParts, trainable: Any) -> Hashable | None:
    """Everything that the program is made of but the numbers that are its data. None: it cannot be compared."""
    if parts.schedule is not None or parts.more_pulls or not _is_ours(parts):
        return None  # code of someone else's, which may be another by the next run
    fixed = parts.with_settings(jax.tree.map(lambda number: 1.0, parts.settings))
    config, plan = fixed.config, fixed.plan
    # What these say is in the groups of the plan.
    optim = dataclasses.replace(config.optim, weight_decay=0.0)
    transfer = dataclasses.replace(plan.transfer, **{name: getattr(Transfer(), name) for name in _IN_GROUPS})
    leaves, tree = jax.tree.flatten(trainable)
    shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
    criterion = tuple((task, repr(loss)) for task, loss in parts.criterion.terms)
    key = (
        (placement.program_key, parts.network, parts.preprocessing, tree, shapes),
        (plan.groups, repr(transfer), repr(optim), repr(config.augment)),
        (criterion, parts.criterion.label_smoothing, parts.total_steps, parts.epoch_steps, parts.starts),
    )
    try:
        hash(key)
    except TypeError:
        return None
    return key
