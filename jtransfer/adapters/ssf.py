"""Scale and shift: Lian et al., Scaling & Shifting Your Features: A New Baseline for Efficient Model Tuning, 2022."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Key

from jtransfer import rules
from jtransfer.adapters.adaptation import Adaptation, Interceptor, called_path
from jtransfer.adapters.sites import describe, select
from jtransfer.config.transfer import Adapters
from jtransfer.errors import UserError
from jtransfer.models import Network

EVERYTHING = r'backbone/.*'


@dataclasses.dataclass(frozen=True)
class Ssf(Adaptation):
    """The outputs y of normalisations, dense layers and convolutions become y · scale + shift, channel by channel.

    `adapters/<module>/scale`, 1 at first, and `adapters/<module>/shift`, 0 at first, have the shape of the module's
    bias. A layer without bias has a scale alone: there is nothing that a shift could be merged into. Where a ReLU is
    part of the normalisation (BiT), scale and shift come before it.

    They are merged into the layer as kernel · scale and bias · scale + shift. In training, those of normalisations are
    merged, and those of dense layers and convolutions run on the outputs: through the merged kernel, the gradient of
    the scale would take that of the whole kernel.

    Convolutions of standardised weights (BiT) are left out: the standardisation takes the scale away again.

    Attributes:
        norms: paths of the normalisations.
        layers: paths of the dense layers and convolutions.
    """

    norms: tuple[str, ...]
    layers: tuple[str, ...]

    mergeable: ClassVar[bool] = True

    @classmethod
    def from_settings(cls, settings: Adapters, network: Network, params: Mapping[str, Any]) -> Ssf:
        """Finds the targets in the network; by default every possible one below `backbone`.

        Raises:
            UserError: a target that is no such module.
        """
        sites = {path: site for path, site in describe(network, params).items() if site.kind != 'other'}
        field = 'adapters.ssf_targets'
        if settings.ssf_targets:
            targets = select(field, settings.ssf_targets, sites)
            for path in targets:
                if sites[path].kind == 'standardised':
                    raise UserError(
                        f"{field}: '{path}' standardises its weights, which takes a scale away again; leave it out, "
                        'the normalisations can be scaled'
                    )
        else:
            targets = select(field, [EVERYTHING], [p for p, site in sites.items() if site.kind != 'standardised'])
        norms = tuple(path for path in targets if sites[path].kind == 'norm')
        return cls(norms, tuple(path for path in targets if path not in set(norms)))

    def init(
        self,
        key: Key[Array, ''],
        network: Network,
        params: Mapping[str, Any],
        inputs: Any = None,
    ) -> dict[str, Any]:
        """Scales of 1 and shifts of 0; see `Adaptation.init`."""
        sites, flat = describe(network, params, inputs), rules.flatten(params)
        leaves = {}
        for path in (*self.norms, *self.layers):
            weights = flat[f'{path}/scale' if path in self.norms else f'{path}/kernel']
            shape = weights.shape[-sites[path].out_axes :]
            leaves[f'{path}/scale'] = jnp.ones(shape, jnp.float32)
            if f'{path}/bias' in flat:
                leaves[f'{path}/shift'] = jnp.zeros(shape, jnp.float32)
        return rules.unflatten(leaves)

    def parameters(self, params: Mapping[str, Any], adapters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Merges scales and shifts of the normalisations."""
        return _scaled(params, adapters, self.norms)

    def merged(self, params: Mapping[str, Any], adapters: Mapping[str, Any]) -> dict[str, Any]:
        """Merges all scales and shifts; what they are merged into becomes float32."""
        return _scaled(params, adapters, (*self.norms, *self.layers))

    def interceptor(self, adapters: Mapping[str, Any]) -> Interceptor:
        """Scales and shifts the outputs of dense layers and convolutions."""
        flat, layers = rules.flatten(adapters), set(self.layers)

        def run(next_fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any) -> Any:
            outputs = next_fun(*args, **kwargs)
            path = called_path(context)
            if path not in layers:
                return outputs
            outputs = outputs * flat[f'{path}/scale'].astype(outputs.dtype)
            shift = flat.get(f'{path}/shift')
            return outputs if shift is None else outputs + shift.astype(outputs.dtype)

        return run


def _scaled(params: Mapping[str, Any], adapters: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    leaves, flat = rules.flatten(params), rules.flatten(adapters)
    for path in paths:
        for name in ('kernel', 'scale', 'bias'):
            leaf = f'{path}/{name}'
            if leaf in leaves:
                leaves[leaf] = leaves[leaf].astype(jnp.float32) * flat[f'{path}/scale']
        if f'{path}/shift' in flat:
            leaves[f'{path}/bias'] += flat[f'{path}/shift']
    return rules.unflatten(leaves)
