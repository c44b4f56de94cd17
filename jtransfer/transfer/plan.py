"""The plan of a transfer: which parameters move, how fast, and the split of the tree that makes it so.

Freezing happens where gradients are taken. The plan splits `params` into a `trainable` and a `frozen` tree; the loss is
differentiated with respect to the first alone, so gradients, clipping, norms, averages and optimiser state never see a
frozen parameter. (`partition` / `combine` as in equinox; the measurements that show why masking updates is not enough
are in the design notes.)
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Array

from jtransfer import rules
from jtransfer.adapters import AnyNetwork
from jtransfer.checks import one_of
from jtransfer.config.transfer import ADAPTATIONS, Transfer
from jtransfer.errors import UserError
from jtransfer.models.role import KERNELS, Role
from jtransfer.transfer.set_aside import for_weights, random_weights_notes
from jtransfer.transfer.strategies import speeds, strategy_rules
from jtransfer.transfer.treatment import Treatment, parse_treatment

NO_DECAY = ' (no decay)'


@dataclasses.dataclass(frozen=True)
class Group:
    """Parameters that share one update rule.

    Attributes:
        name: label in the optimiser and in the metrics, from the pattern of the rule.
        pattern: the rule that made the group.
        trainable: whether it moves, at this phase.
        learning_rate_scale: factor on the learning rate; traced inside a step that is given it as data.
        weight_decay: decay coefficient of the group; likewise.
        paths: its parameters, '/'-joined.
        elements: numbers in them.
        optimizer: its optimiser. '': the configured one.
        schedule: its schedule. '': the configured one.
        phase: the phase from which on it moves.
    """

    name: str
    pattern: str
    trainable: bool
    learning_rate_scale: float | Array
    weight_decay: float | Array
    paths: tuple[str, ...]
    elements: int
    optimizer: str = ''
    schedule: str = ''
    phase: int = 0


@dataclasses.dataclass(frozen=True)
class Plan:
    """Every parameter with its group.

    Attributes:
        groups: the groups, in the order of the rules; their paths cover `params` exactly once.
        transfer: the strategy and its settings, beside the rules; of `scratch` without what was set aside.
        notes: lines a person should know: what of the settings has no effect on the weights that training starts from.
    """

    groups: tuple[Group, ...]
    transfer: Transfer = dataclasses.field(default_factory=Transfer)
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def frozen_modules(self) -> tuple[str, ...]:
        """The modules that run in evaluation mode inside the training step, as '/'-joined paths.

        They use running statistics, no dropout and no stochastic depth: the outermost modules all of whose parameters
        are frozen, unless `transfer.batch_norm` says otherwise.
        """
        if self.transfer.batch_norm == 'train':
            return ()
        frozen = _frozen_modules(self.groups)
        if self.transfer.batch_norm == 'follow':
            return frozen
        # Only batch normalisation asks; to the others it makes no difference.
        scales = {
            path.removesuffix('/scale') for group in self.groups for path in group.paths if path.endswith('/scale')
        }
        return tuple(sorted({*frozen, *(path for path in scales if not path.startswith('adapters/'))}))

    @property
    def phases(self) -> int:
        """How many phases training has; 1 where everything that moves does so from the beginning."""
        return 1 + max(group.phase for group in self.groups if group.trainable)

    def at_phase(self, phase: int) -> Plan:
        """The plan in one phase (of this whole plan): what moves only later is frozen.

        Raises:
            UserError: nothing moves yet in phase 0.
        """
        groups = [dataclasses.replace(g, trainable=g.trainable and g.phase <= phase) for g in self.groups]
        if not any(group.trainable for group in groups):
            raise UserError('nothing moves in phase 0: some rule has to let parameters train without a later phase')
        return dataclasses.replace(self, groups=tuple(groups))

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
        phases = f', in {self.phases} phases' if self.phases > 1 else ''
        return f'trained: {self.trained()}{phases}; frozen: {self.frozen()}'

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
                'optimizer': group.optimizer,
                'schedule': group.schedule,
                'phase': group.phase if group.trainable else None,
            }
            for group in self.groups
        ]


def combine(trainable: Mapping[str, Any], frozen: Mapping[str, Any]) -> dict[str, Any]:
    """The whole `params` tree again, under its canonical names."""
    return rules.unflatten({**rules.flatten(trainable), **rules.flatten(frozen)})


def make_plan(network: AnyNetwork, params: Mapping[str, Any], transfer: Transfer, weight_decay: float = 0.0) -> Plan:
    """Turns a strategy and its rules into the plan for a network.

    With `scratch`, settings that are meant for pretrained weights have no effect, see `for_weights`; `Plan.notes` says
    so. Rules apply as they are written.

    Args:
        network: states its stages, and the depth of every parameter.
        params: the network's parameters (or their shapes), with `backbone` and `head` at the top.
        transfer: strategy and rules.
        weight_decay: decay of kernels; biases, norms, tokens and position embeddings get none unless a rule names one.

    Raises:
        UserError: a rule that has no effect, an unknown treatment, stage or block, or a plan that trains nothing.
    """
    shapes = {path: tuple(leaf.shape) for path, leaf in rules.flatten(params).items()}
    if transfer.strategy in ADAPTATIONS and 'adapters' not in params:
        raise UserError(
            f'transfer.strategy={transfer.strategy} trains what is added to a network: add it first (adapt_model)'
        )
    transfer, aside = for_weights(transfer)
    for name in transfer.distill_features if transfer.distill else ():
        one_of('transfer.distill_features', name, (*network.stages, 'pooled'))
    written = [(pattern, parse_treatment(pattern, text)) for pattern, text in transfer.rules]
    usual = strategy_rules(network, transfer)
    speed = speeds(network, transfer)
    own = len(written)
    # The values are numbered, so that a rule of one's own is known from one of the strategy with the same pattern.
    assigned = rules.assign(
        [(pattern, index) for index, (pattern, _) in enumerate(written)],
        shapes,
        fallback=[(pattern, own + index) for index, (pattern, _) in enumerate(usual)],
    )
    everything = [treatment for _, treatment in (*written, *usual)]
    names = [pattern.pattern if isinstance(pattern, rules.Where) else pattern for pattern, _ in (*written, *usual)]

    members: dict[tuple[int, float, float | None], list[str]] = {}
    for path, match in assigned.items():
        treatment = everything[match.value]
        # Rules of one's own have the factors that they state.
        factor = speed(path) if treatment.trainable and match.value >= own else 1.0
        decay = _decay(path, network.role(path), treatment, weight_decay, transfer)
        members.setdefault((match.value, factor, decay), []).append(path)

    factors: dict[int, set[float]] = {}
    for index, factor, _ in members:
        factors.setdefault(index, set()).add(factor)
    groups = []
    for (index, factor, decay), paths in sorted(members.items(), key=lambda m: (m[0][0], -m[0][1], -(m[0][2] or 0))):
        treatment, pattern = everything[index], names[index]
        has_decaying_twin = not decay and any(
            (other, same) == (index, factor) and twin for other, same, twin in members
        )
        name = _group_name(pattern) + (f' × {factor:g}' if len(factors[index]) > 1 else '')
        groups.append(
            Group(
                name=name + (NO_DECAY if has_decaying_twin else ''),
                pattern=pattern,
                trainable=treatment.trainable,
                learning_rate_scale=treatment.learning_rate_scale * factor,
                weight_decay=decay or 0.0,
                paths=tuple(paths),
                elements=sum(math.prod(shapes[path]) for path in paths),
                optimizer=treatment.optimizer or '',
                schedule=treatment.schedule or '',
                phase=treatment.phase if treatment.trainable else 0,
            )
        )
    holding = {
        index
        for (index, _, _), paths in members.items()
        if index < own and everything[index].holds_back and any(path.startswith('backbone/') for path in paths)
    }
    held = [transfer.rules[index] for index in sorted(holding)] if transfer.strategy == 'scratch' else []
    plan = Plan(_without_gaps(groups), transfer, random_weights_notes(aside, held))
    if not plan.trainable_groups:
        raise UserError('every parameter is frozen: let some train, as transfer.rules=(("head/.*", "train"),) would')
    plan.at_phase(0)
    _check_pulls(plan)
    return plan


def _check_pulls(plan: Plan) -> None:
    """Raises `UserError` for a pull towards the source where nothing can move away from it."""
    tops = {path.partition('/')[0] for group in plan.trainable_groups for path in group.paths}
    # Adapters change the features, though no pretrained parameter.
    for name, movable in (
        ('l2_sp', {'backbone'}),
        ('decay_to_source', {'backbone'}),
        ('distill', {'backbone', 'adapters'}),
    ):
        if getattr(plan.transfer, name) and not tops & movable:
            raise UserError(f'transfer.{name} pulls towards the source, from which nothing moves away: leave it out')


def _without_gaps(groups: Sequence[Group]) -> tuple[Group, ...]:
    """The groups, their phases numbered anew where nothing begins to move in one of them."""
    used = sorted({group.phase for group in groups if group.trainable} | {0})
    return tuple(dataclasses.replace(g, phase=used.index(g.phase) if g.trainable else 0) for g in groups)


def _decay(path: str, role: Role, treatment: Treatment, default: float, transfer: Transfer) -> float | None:
    if not treatment.trainable:
        return None
    if treatment.weight_decay is not None:
        return treatment.weight_decay
    towards_source = path.startswith('backbone/') and (transfer.l2_sp or transfer.decay_to_source)
    return default if role in KERNELS and not towards_source else 0.0


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
