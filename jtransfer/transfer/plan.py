"""The plan of a transfer: which parameters move, how fast, and the split of the tree that makes it so.

Freezing happens where gradients are taken. The plan splits `params` into a `trainable` and a `frozen` tree; the loss is
differentiated with respect to the first alone, so gradients, clipping, norms, averages and optimiser state never see a
frozen parameter. (`partition` / `combine` as in equinox; the measurements that show why masking updates is not enough
are in the design notes.)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jtransfer import rules
from jtransfer.config import Transfer
from jtransfer.errors import UserError
from jtransfer.transfer.treatment import Treatment, parse_treatment

NO_DECAY = ' (no decay)'


@dataclasses.dataclass(frozen=True)
class Group:
    """Parameters that share one update rule.

    Attributes:
        name: label in the optimiser and in the metrics, from the pattern of the rule.
        pattern: the rule that made the group.
        trainable: whether it moves at all.
        learning_rate_scale: factor on the learning rate.
        weight_decay: decay coefficient of the group.
        paths: its parameters, '/'-joined.
        elements: numbers in them.
    """

    name: str
    pattern: str
    trainable: bool
    learning_rate_scale: float
    weight_decay: float
    paths: tuple[str, ...]
    elements: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """Every parameter with its group.

    Attributes:
        groups: the groups, in the order of the rules; their paths cover `params` exactly once.
        frozen_modules: the outermost modules all of whose parameters are frozen, as '/'-joined paths; they run in
            evaluation mode (running statistics, no dropout, no stochastic depth) inside the training step.
    """

    groups: tuple[Group, ...]
    frozen_modules: tuple[str, ...]

    @property
    def trainable_groups(self) -> tuple[Group, ...]:
        """The groups that move."""
        return tuple(group for group in self.groups if group.trainable)

    @property
    def trainable_elements(self) -> int:
        """Numbers that move."""
        return sum(group.elements for group in self.trainable_groups)

    @property
    def elements(self) -> int:
        """Numbers in all."""
        return sum(group.elements for group in self.groups)

    def split(self, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """`params` as (trainable, frozen): two nested dictionaries without a leaf in common."""
        moving = {path for group in self.trainable_groups for path in group.paths}
        leaves = rules.flatten(params)
        return (
            rules.unflatten({path: leaf for path, leaf in leaves.items() if path in moving}),
            rules.unflatten({path: leaf for path, leaf in leaves.items() if path not in moving}),
        )

    def labels(self, trainable: Mapping[str, Any]) -> dict[str, Any]:
        """The group name of every leaf of the trainable tree, for `optax.multi_transform`."""
        names = {path: group.name for group in self.trainable_groups for path in group.paths}
        return rules.unflatten({path: names[path] for path in rules.flatten(trainable)})

    def summary(self) -> str:
        """One line: what trains, and what is frozen."""
        return f'trained: {self.trained()}; frozen: {self.frozen()}'

    def trained(self) -> str:
        """What trains, and how much of the whole that is."""
        names = ', '.join(_bases(self.trainable_groups))
        share = self.trainable_elements / self.elements
        return f'{names} ({self.trainable_elements:,} of {self.elements:,} parameters, {share:.1%})'

    def frozen(self) -> str:
        """What does not train."""
        return ', '.join(_bases([group for group in self.groups if not group.trainable])) or 'nothing'

    def rows(self) -> list[dict[str, Any]]:
        """The plan as a table, a row a group."""
        return [
            {
                'group': group.name,
                'pattern': group.pattern,
                'trainable': group.trainable,
                'tensors': len(group.paths),
                'elements': group.elements,
                'learning_rate_scale': group.learning_rate_scale if group.trainable else None,
                'weight_decay': group.weight_decay if group.trainable else None,
            }
            for group in self.groups
        ]


def combine(trainable: Mapping[str, Any], frozen: Mapping[str, Any]) -> dict[str, Any]:
    """The whole `params` tree again, under its canonical names."""
    return rules.unflatten({**rules.flatten(trainable), **rules.flatten(frozen)})


def make_plan(params: Mapping[str, Any], transfer: Transfer, weight_decay: float = 0.0) -> Plan:
    """Turns a strategy and its rules into the plan for a network.

    Args:
        params: the network's parameters (or their shapes), with `backbone` and `head` at the top.
        transfer: strategy and rules.
        weight_decay: decay of kernels; biases, norms, tokens and position embeddings get none unless a rule names one.

    Raises:
        UserError: a rule that has no effect, an unknown treatment, or a plan that trains nothing.
    """
    shapes = {path: tuple(leaf.shape) for path, leaf in rules.flatten(params).items()}
    written = [(pattern, parse_treatment(pattern, text)) for pattern, text in transfer.rules]
    assigned = rules.assign(written, shapes, fallback=strategy_rules(transfer))
    members: dict[tuple[str, float | None], list[str]] = {}
    for path, match in assigned.items():
        members.setdefault((match.pattern, _decay(path, match.value, weight_decay)), []).append(path)
    order = [pattern for pattern, _ in (*transfer.rules, *strategy_rules(transfer))]
    groups = []
    for (pattern, decay), paths in sorted(
        members.items(), key=lambda item: (order.index(item[0][0]), -(item[0][1] or 0))
    ):
        treatment = assigned[paths[0]].value
        has_decaying_twin = any(other == pattern and twin and not decay for other, twin in members)
        groups.append(
            Group(
                name=_group_name(pattern) + (NO_DECAY if has_decaying_twin else ''),
                pattern=pattern,
                trainable=treatment.trainable,
                learning_rate_scale=treatment.learning_rate_scale,
                weight_decay=decay or 0.0,
                paths=tuple(paths),
                elements=sum(math.prod(shapes[path]) for path in paths),
            )
        )
    plan = Plan(tuple(groups), _frozen_modules(groups))
    if not plan.trainable_groups:
        raise UserError('every parameter is frozen: let some train, as transfer.rules=(("head/.*", "train"),) would')
    return plan


def strategy_rules(transfer: Transfer) -> list[tuple[str, Treatment]]:
    """The rules a strategy stands for."""
    backbone = {
        'scratch': Treatment(),
        'linear_probe': Treatment(trainable=False),
        'fine_tune': Treatment(learning_rate_scale=transfer.backbone_learning_rate_scale),
    }[transfer.strategy]
    # An auxiliary head is there for the layers below it, and these do not move.
    still = [(r'head/aux\d+/.*', Treatment(trainable=False))] if transfer.strategy == 'linear_probe' else []
    return [*still, ('head/.*', Treatment()), ('backbone/.*', backbone)]


def _decay(path: str, treatment: Treatment, default: float) -> float | None:
    if not treatment.trainable:
        return None
    if treatment.weight_decay is not None:
        return treatment.weight_decay
    return default if path.endswith('/kernel') else 0.0


def _group_name(pattern: str) -> str:
    return pattern.removesuffix('/.*') or pattern


def _bases(groups: Sequence[Group]) -> list[str]:
    return list(dict.fromkeys(group.name.removesuffix(NO_DECAY) for group in groups))


def _frozen_modules(groups: Sequence[Group]) -> tuple[str, ...]:
    paths = {path: group.trainable for group in groups for path in group.paths}
    moving = {
        '/'.join(parts[:depth])
        for path, trainable in paths.items()
        if trainable
        for parts in [path.split('/')]
        for depth in range(len(parts) + 1)
    }
    outermost = set()
    for path, trainable in paths.items():
        if trainable:
            continue
        parts = path.split('/')[:-1]
        for depth in range(1, len(parts) + 1):
            prefix = '/'.join(parts[:depth])
            if prefix not in moving:
                outermost.add(prefix)
                break
    return tuple(sorted(outermost))
