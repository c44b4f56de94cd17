"""A network with an adaptation, to be used like the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

import flax.linen as nn
import jax
from jaxtyping import Array, Key

from jtransfer.adapters.adaptation import Adaptation
from jtransfer.errors import UserError
from jtransfer.models import Network
from jtransfer.models.backbone import Backbone
from jtransfer.models.heads import Head
from jtransfer.models.role import Role, usual_role

ADAPTERS = 'adapters'


@dataclasses.dataclass(frozen=True)
class AdaptedNetwork:
    """The network, and what is added to it. `params` has a child `adapters` beside `backbone` and `head`.

    Hashable, and without arrays: static under `jit`.

    Attributes:
        network: the network itself.
        adaptation: what is added.
    """

    network: Network
    adaptation: Adaptation

    def init(self, key: Key[Array, ''], inputs: Any, **kwargs: Any) -> dict[str, Any]:
        """Variables of random values; arguments as of `Network.init`."""
        of_network, of_adapters = jax.random.split(key)
        variables = self.network.init(of_network, inputs, **kwargs)
        params = variables['params']
        spec = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), inputs)
        adapters = self.adaptation.init(of_adapters, self.network, params, spec)
        return {**variables, 'params': {**params, ADAPTERS: adapters}}

    def apply(self, variables: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As `Network.apply`, keywords and methods included; what is frozen runs adapted all the same.

        Args:
            variables: those of the network, with `params['adapters']`.
            *args: of the method.
            **kwargs: of the method, and `method`, `mutable`, `rngs`.

        Raises:
            UserError: there are no adapters among the parameters.
        """
        plain, adapters = split_adapters(variables['params'])
        params = self.adaptation.parameters(plain, adapters)
        with nn.intercept_methods(self.adaptation.interceptor(adapters)):
            return self.network.apply({**variables, 'params': params}, *args, **kwargs)

    def with_norm_axis(self, axis_name: str) -> AdaptedNetwork:
        """See `Network.with_norm_axis`."""
        return dataclasses.replace(self, network=self.network.with_norm_axis(axis_name))

    def depth(self, path: str) -> int:
        """Layer number of a '/'-joined parameter path; adapters have that of the module they belong to.

        Raises:
            UserError: the path is not one of this network's.
        """
        return self.network.depth(path.removeprefix(f'{ADAPTERS}/'))

    def role(self, path: str) -> Role:
        """See `Network.role`; adapters have the roles that their names stand for."""
        return usual_role(path) if path.startswith(f'{ADAPTERS}/') else self.network.role(path)

    @property
    def backbone(self) -> Backbone:
        """See `Network`."""
        return self.network.backbone

    @property
    def heads(self) -> Mapping[str, int | Head]:
        """See `Network`."""
        return self.network.heads

    @property
    def dropout(self) -> float:
        """See `Network`."""
        return self.network.dropout

    @property
    def head_init(self) -> str:
        """See `Network`."""
        return self.network.head_init

    @property
    def stages(self) -> tuple[str, ...]:
        """See `Network.stages`."""
        return self.network.stages

    @property
    def dtype(self) -> Any:
        """See `Network.dtype`."""
        return self.network.dtype

    @property
    def prefix_tokens(self) -> int:
        """See `Network.prefix_tokens`; prompts are none of them."""
        return self.network.prefix_tokens


AnyNetwork: TypeAlias = Network | AdaptedNetwork


def split_adapters(params: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """The parameters of the network itself, and those of the adapters.

    Raises:
        UserError: there are no adapters among them.
    """
    if ADAPTERS not in params:
        raise UserError(
            f'the network is adapted, but the parameters have no child {ADAPTERS} (only {", ".join(params)})'
        )
    return {name: child for name, child in params.items() if name != ADAPTERS}, params[ADAPTERS]
