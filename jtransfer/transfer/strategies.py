"""The strategies: what each lets move, written as rules over parameter paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jtransfer import rules
from jtransfer.adapters import AnyNetwork
from jtransfer.checks import nearest, new_name
from jtransfer.config.transfer import ADAPTATIONS, STRATEGIES, Transfer, take_strategy
from jtransfer.errors import UserError
from jtransfer.models.role import BIASES, NORMS, Role
from jtransfer.rules import Where
from jtransfer.transfer.treatment import Treatment

Rules = list[tuple[str | Where, Treatment]]

FREEZE = Treatment(trainable=False)
TRAIN = Treatment()
# Names under which saved states hold the groups; what is in them, the roles of the parameters say.
NORMS_NAME = r'backbone/(?:.*/)?[^/]*(?:bn|norm|gn|grn)[^/]*/(?:scale|bias)'
BIASES_NAME = 'backbone/.*/bias'
AUXILIARY_NAME = r'head/aux\d+/.*'
# Learning rate of the first stage against the last: fastai's `lr_mult` of 100.
_ONE_THEN_ALL_SPREAD = 0.01


def add_strategy(name: str, make: Callable[[AnyNetwork, Transfer], Rules]) -> None:
    """Makes a strategy of one's own known, by `transfer.strategy`.

    Call it before the name is used, in every process that trains with it or goes on from its checkpoints.

    >>> add_strategy('half', lambda network, transfer: [  # doctest: +SKIP
    ...     *((f'backbone/{stage}/.*', FREEZE) for stage in network.stages[: len(network.stages) // 2]),
    ...     ('backbone/.*', Treatment(learning_rate_scale=0.1)),
    ... ])

    Args:
        name: letters, digits and underscores.
        make: from the network and the settings to the rules of all of the backbone's parameters: pairs of a pattern
            over paths, or a `rules.Where` that asks (`network.role(path)` says what a parameter is), and a `Treatment`;
            the first that matches wins, and one without effect is refused. The head and what is added to a network
            train.

    Raises:
        UserError: a name that cannot be, or that another strategy has.
    """
    new_name('a strategy', name, taken=name in STRATEGIES or _STRATEGIES.get(name, make) is not make)
    _STRATEGIES[name] = make
    take_strategy(name)


def strategy_rules(network: AnyNetwork, transfer: Transfer) -> Rules:
    """The rules that a strategy stands for; together they cover every parameter.

    Args:
        network: whose stages the rules name.
        transfer: the strategy and its settings.

    Raises:
        UserError: a stage or block that the network does not have.
    """
    backbone = _STRATEGIES[transfer.strategy](network, transfer)
    # An auxiliary head is there for the layers below it; where these do not move, it has nothing to do.
    still = all(not treatment.trainable for _, treatment in backbone)
    heads = tuple(f'head/{head.name}/' for head in network.backbone.auxiliaries)
    auxiliary: Rules = [(Where(AUXILIARY_NAME, lambda path: path.startswith(heads)), FREEZE)] if still else []
    new: Rules = [('head/.*', TRAIN), ('heads/.*', TRAIN), ('adapters/.*', TRAIN)]
    return [*auxiliary, *_frozen_stages(network, transfer), *new, *backbone]


def speeds(network: AnyNetwork, transfer: Transfer) -> Callable[[str], float]:
    """The factor that stage learning rates and layer-wise decay put on a parameter's learning rate, by path.

    Raises:
        UserError: `stage_learning_rates` names no stage of the network.
    """
    stages = network.stages
    pairs = transfer.stage_learning_rates
    if transfer.strategy == 'one_then_all' and not pairs and transfer.layer_decay == 1:
        spread = max(len(stages) - 1, 1)
        pairs = tuple((name, _ONE_THEN_ALL_SPREAD ** (1 - index / spread)) for index, name in enumerate(stages))
    factors = {name: match.value for name, match in rules.assign(pairs, stages, fallback=[('.*', 1.0)]).items()}

    def speed(path: str) -> float:
        kind, stage, *_ = path.removeprefix('adapters/').split('/')
        factor = factors[stage] if kind == 'backbone' else 1.0
        if transfer.layer_decay != 1:
            factor *= transfer.layer_decay ** (network.backbone.head_depth - network.depth(path))
        return factor

    return speed


def _all(network: AnyNetwork, transfer: Transfer) -> Rules:
    return [('backbone/.*', Treatment(learning_rate_scale=transfer.backbone_learning_rate_scale))]


def _nothing(network: AnyNetwork, transfer: Transfer) -> Rules:
    return [('backbone/.*', FREEZE)]


def _norms(network: AnyNetwork, transfer: Transfer) -> Rules:
    return [(_with_role(NORMS_NAME, network, NORMS), TRAIN), ('backbone/.*', FREEZE)]


def _biases(network: AnyNetwork, transfer: Transfer) -> Rules:
    return [(_with_role(BIASES_NAME, network, BIASES), TRAIN), ('backbone/.*', FREEZE)]


def _with_role(name: str, network: AnyNetwork, roles: frozenset[Role]) -> Where:
    return Where(name, lambda path: path.startswith('backbone/') and network.role(path) in roles)


def _blocks(network: AnyNetwork, transfer: Transfer) -> Rules:
    layers = network.backbone.layers
    known = [*layers, *(f'{stage}/{block}' for stage, blocks in layers.items() for block in blocks)]
    for name in transfer.blocks:
        if name not in known:
            raise UserError(f"transfer.blocks: the network has no stage or block '{name}'.{nearest(name, known)}")
    return [*((f'backbone/{name}/.*', TRAIN) for name in transfer.blocks), ('backbone/.*', FREEZE)]


def _second(network: AnyNetwork, transfer: Transfer) -> Rules:
    return [('backbone/.*', Treatment(learning_rate_scale=transfer.backbone_learning_rate_scale, phase=1))]


def _stage_by_stage(network: AnyNetwork, transfer: Transfer) -> Rules:
    """The stages from the head down, as many phases as depths: a last normalisation moves with the last block."""
    scale, phase = transfer.backbone_learning_rate_scale, 0
    depth = network.backbone.head_depth
    found: Rules = []
    for stage in reversed(network.stages):
        own = network.depth(f'backbone/{stage}/{_first_block(network, stage)}')
        phase += own < depth
        depth = own
        found.append((f'backbone/{stage}/.*', Treatment(learning_rate_scale=scale, phase=phase)))
    return found


_STRATEGIES: dict[str, Callable[[AnyNetwork, Transfer], Rules]] = {
    'scratch': _all,
    'fine_tune': _all,
    'linear_probe': _nothing,
    'norm_only': _norms,
    'bitfit': _biases,
    'surgical': _blocks,
    'lp_ft': _second,
    'one_then_all': _second,
    'gradual': _stage_by_stage,
    **dict.fromkeys(ADAPTATIONS, _nothing),
}


def _frozen_stages(network: AnyNetwork, transfer: Transfer) -> Rules:
    if not transfer.freeze_until:
        return []
    stages: Sequence[str] = network.stages
    if transfer.freeze_until not in stages:
        raise UserError(
            f"transfer.freeze_until: the network has no stage '{transfer.freeze_until}'."
            f'{nearest(transfer.freeze_until, stages)}'
        )
    before = stages[: stages.index(transfer.freeze_until)]
    # What was added to a stage stays as still as the stage.
    return [(f'{top}backbone/{stage}/.*', FREEZE) for stage in before for top in ('', 'adapters/')]


def _first_block(network: AnyNetwork, stage: str) -> str:
    blocks = network.backbone.layers[stage]
    return blocks[0] if blocks else 'kernel'
