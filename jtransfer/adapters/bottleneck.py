"""Bottleneck adapters behind a module or beside it.

Behind it: Houlsby et al., Parameter-Efficient Transfer Learning for NLP, 2019. Beside it: Chen et al., AdaptFormer:
Adapting Vision Transformers for Scalable Visual Recognition, 2022.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jtransfer import rules
from jtransfer.adapters.adaptation import Adaptation, Interceptor, called_path, uniform_fan_in
from jtransfer.adapters.sites import Site, describe, select
from jtransfer.config.transfer import Adapters
from jtransfer.errors import UserError
from jtransfer.models import Network


@dataclasses.dataclass(frozen=True)
class Bottleneck(Adaptation):
    """Two dense layers with a ReLU between them, whose output is added to that of a module, channels last.

    `sequential`: y = f(x) + scale · up(relu(down(f(x)))). `parallel`: y = f(x) + scale · up(relu(down(x))); beside the
    MLP of a transformer, x is what its normalisation returns, as in the paper's equation (the paper's code reads the
    tokens before it).

    The parameters are `adapters/<module>/down/{kernel,bias}` and `adapters/<module>/up/{kernel,bias}`. Stochastic depth
    inside the module does not leave out the adapter; factors behind it (LayerScale) apply to both.

    Attributes:
        dim: width of the bottleneck, ≥ 1.
        kind: `parallel` or `sequential`.
        scale: factor on what is added.
        targets: paths of the modules.
    """

    dim: int
    kind: str
    scale: float
    targets: tuple[str, ...]

    @classmethod
    def from_settings(cls, settings: Adapters, network: Network, params: Mapping[str, Any]) -> Bottleneck:
        """Finds the targets in the network.

        By default the MLPs of a transformer's blocks, and the blocks of another network; of those, `parallel` takes the
        ones whose input and output have the same shape.

        Raises:
            UserError: a target that is no module, or beside which there can be no bottleneck.
        """
        sites = {path: site for path, site in describe(network, params).items() if site.inputs and site.outputs}
        field, parallel = 'adapters.adapter_targets', settings.adapter_kind == 'parallel'
        if settings.adapter_targets:
            targets = select(field, settings.adapter_targets, sites)
        elif network.backbone.mlps:
            mlps = {f'backbone/{path}' for path in network.backbone.mlps}
            targets = tuple(path for path in sites if path in mlps)
        else:
            targets = tuple(p for p in _blocks(network) if p in sites and not (parallel and _reshapes(sites[p])))
            if not targets:
                raise UserError(
                    f'adapters.adapter_kind={settings.adapter_kind}: no block of this network returns the shape that '
                    f'it reads; set adapter_kind=sequential, or {field}'
                )
        for path in targets if parallel else ():
            if _reshapes(sites[path]):
                shapes = ' becomes '.join('×'.join(map(str, shape[1:])) for shape in _shapes(sites[path]))
                raise UserError(
                    f"{field}: '{path}' changes the shape of what it reads ({shapes}), so that nothing can be added "
                    'beside it; leave it out, or set adapters.adapter_kind=sequential'
                )
        return cls(settings.adapter_dim, settings.adapter_kind, settings.adapter_scale, targets)

    def init(
        self,
        key: Key[Array, ''],
        network: Network,
        params: Mapping[str, Any],
        inputs: Any = None,
    ) -> dict[str, Any]:
        """`down` is uniform within ±1 / sqrt(channels), `up` and the biases are zero; see `Adaptation.init`."""
        sites = describe(network, params, inputs)
        leaves = {}
        for key_, path in zip(jax.random.split(key, len(self.targets)), self.targets, strict=True):
            channels = _shapes(sites[path])[1][-1]
            leaves[f'{path}/down/kernel'] = uniform_fan_in(key_, (channels, self.dim))
            leaves[f'{path}/down/bias'] = jnp.zeros(self.dim, jnp.float32)
            leaves[f'{path}/up/kernel'] = jnp.zeros((self.dim, channels), jnp.float32)
            leaves[f'{path}/up/bias'] = jnp.zeros(channels, jnp.float32)
        return rules.unflatten(leaves)

    def interceptor(self, adapters: Mapping[str, Any]) -> Interceptor:
        """Adds the bottlenecks' outputs."""
        flat, targets = rules.flatten(adapters), set(self.targets)

        def run(next_fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any) -> Any:
            outputs = next_fun(*args, **kwargs)
            path = called_path(context)
            if path not in targets:
                return outputs

            def dense(name: str, x: Array) -> Array:
                kernel, bias = (flat[f'{path}/{name}/{part}'].astype(x.dtype) for part in ('kernel', 'bias'))
                return x @ kernel + bias

            source = outputs if self.kind == 'sequential' else args[0].astype(outputs.dtype)
            return outputs + self.scale * dense('up', nn.relu(dense('down', source)))

        return run


def _blocks(network: Network) -> list[str]:
    """Paths of the blocks; of a stage without blocks, the stage."""
    layers = network.backbone.layers
    blocks = [f'backbone/{stage}/{name}' for stage, names in layers.items() for name in names]
    return blocks or [f'backbone/{stage}' for stage in layers]


def _shapes(site: Site) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if site.inputs is None or site.outputs is None:
        raise UserError(f"'{site.path}' does not return one array for another, so that it can have no bottleneck")
    return site.inputs, site.outputs


def _reshapes(site: Site) -> bool:
    return site.inputs != site.outputs
