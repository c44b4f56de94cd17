"""From settings, or a file's metadata, to an adapted network, and back to a plain one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxtyping import Array, Key

from jtransfer import checks
from jtransfer.adapters.adaptation import Adaptation
from jtransfer.adapters.bottleneck import Bottleneck
from jtransfer.adapters.lora import Lora
from jtransfer.adapters.network import ADAPTERS, AdaptedNetwork, AnyNetwork, split_adapters
from jtransfer.adapters.prompts import Prompts
from jtransfer.adapters.ssf import Ssf
from jtransfer.config.fields import build
from jtransfer.config.transfer import ADAPTATIONS, Adapters
from jtransfer.errors import UserError
from jtransfer.models import Network
from jtransfer.models.options import MAX_SIZE
from jtransfer.text.outside import clipped

_CLASSES: dict[str, type[Lora] | type[Bottleneck] | type[Prompts] | type[Ssf]] = {
    'lora': Lora,
    'adapter': Bottleneck,
    'prompt': Prompts,
    'ssf': Ssf,
}

# Of the classes that come in several kinds.
_KINDS = {'adapter': ('parallel', 'sequential'), 'prompt': ('shallow', 'deep')}
_MAX_FACTOR = 1e6


def make_adaptation(kind: str, settings: Adapters, network: AnyNetwork, params: Mapping[str, Any]) -> Adaptation:
    """The adaptation that the settings describe, its targets found in the network.

    Args:
        kind: one of `ADAPTATIONS`.
        settings: of all kinds.
        network: the network to be adapted.
        params: its parameters; only paths and shapes are read.

    Raises:
        UserError: an unknown kind, a target that the network does not have, or a network that cannot be adapted so.
    """
    checks.one_of('transfer.strategy', kind, ADAPTATIONS)
    return _CLASSES[kind].from_settings(settings, _plain(network, params), params)


def adapt(
    network: AnyNetwork,
    params: Mapping[str, Any],
    adaptation: Adaptation,
    *,
    key: Key[Array, ''],
    inputs: Any = None,
) -> tuple[AdaptedNetwork, dict[str, Any]]:
    """The adapted network, and the parameters with the first values of the adapters.

    Args:
        network: the network.
        params: its parameters.
        adaptation: as `make_adaptation` or `from_dict` give it.
        key: of the adapters' random values.
        inputs: shapes and types of the input of one example, see `Adaptation.init`.

    Raises:
        UserError: the network is adapted already.
    """
    plain = _plain(network, params)
    adapters = adaptation.init(key, plain, params, inputs)
    return AdaptedNetwork(plain, adaptation), {**params, ADAPTERS: adapters}


def _plain(network: AnyNetwork, params: Mapping[str, Any]) -> Network:
    if isinstance(network, AdaptedNetwork) or ADAPTERS in params:
        raise UserError('the network is adapted already: merge its adapters before adding others')
    return network


def can_merge(adaptation: Adaptation) -> bool:
    """Whether a plain network can compute what the adapted one does."""
    return adaptation.mergeable


def merge(network: AdaptedNetwork, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of the plain network, `network.network`, with which it computes what the adapted one does.

    What is changed is float32.

    Args:
        network: the adapted network.
        variables: its variables.

    Raises:
        UserError: an adaptation of this kind cannot be merged.
    """
    params, adapters = split_adapters(variables['params'])
    return {**variables, 'params': network.adaptation.merged(params, adapters)}


def to_dict(adaptation: Adaptation) -> dict[str, Any]:
    """The adaptation as values that JSON has: its `kind`, one of `ADAPTATIONS`, and its `fields`."""
    kind = next(kind for kind, known in _CLASSES.items() if type(adaptation) is known)
    fields = dataclasses.asdict(adaptation)
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
    return {'kind': kind, 'fields': plain}


def from_dict(values: Mapping[str, Any]) -> Adaptation:
    """The adaptation that `to_dict` took apart.

    Raises:
        UserError: an unknown kind, or fields that it does not have or lacks.
    """
    kind, fields = values.get('kind'), values.get('fields')
    if not isinstance(kind, str) or kind not in _CLASSES or not isinstance(fields, dict):
        said = clipped(repr(dict(values)))
        raise UserError(f'an adaptation has a kind ({", ".join(_CLASSES)}) and fields, unlike {said}')
    missing = [field.name for field in dataclasses.fields(_CLASSES[kind]) if field.name not in fields]
    if missing:
        raise UserError(f'the adaptation {kind} lacks its field {missing[0]}')
    known = _KINDS.get(kind)
    if known:
        checks.one_of(f'{kind}.kind', fields['kind'], known)
    built = build(_CLASSES[kind], fields, f'{kind}.')
    for name, value in dataclasses.asdict(built).items():
        # The tokens before the prompts may be none; of everything else there is something.
        least = 0 if name == 'prefix' else 1
        if isinstance(value, int) and not least <= value <= MAX_SIZE:
            raise UserError(f'{kind}.{name}={value} must be at least {least} and at most {MAX_SIZE:,}')
        if isinstance(value, float) and not abs(value) <= _MAX_FACTOR:
            raise UserError(f'{kind}.{name}={value} must be at most {_MAX_FACTOR:g}')
    return built
