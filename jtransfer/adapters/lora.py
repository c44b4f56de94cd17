"""Low-rank updates of kernels: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2022."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jtransfer import rules
from jtransfer.adapters.adaptation import Adaptation, Interceptor, called_path, uniform_fan_in
from jtransfer.adapters.sites import describe, select
from jtransfer.config.transfer import Adapters
from jtransfer.models import Network
from jtransfer.models.convnext.network import PatchConv
from jtransfer.models.role import Role
from jtransfer.models.vit.embed import Patches

EVERY_KERNEL = r'backbone/.*kernel'
_APART = ('dense', 'conv')


@dataclasses.dataclass(frozen=True)
class Lora(Adaptation):
    """A kernel W becomes W + alpha / rank · A·B, where A has `rank` columns and B as many rows.

    A (…, rank) has the kernel's input axes (of a k×k convolution: k, k, channel), B (rank, …) its output axes; B is
    zero at first. They are `adapters/<module>/a/kernel` and `adapters/<module>/b/kernel`. Biases stay as they are.

    Dense layers and convolutions run apart, y = f(x) + alpha / rank · B(A(x)), where A is a layer like f to `rank`
    channels and B a matrix at every place: the gradient of W itself is never computed.

    Where a kernel is not applied to all input channels as it stands (grouped and depthwise convolutions, standardised
    weights), the update is added to the kernel before it is used. That is exactly what merging does, but the
    gradient of the whole kernel is computed on the way to those of A and B.

    Attributes:
        rank: ≥ 1.
        alpha: > 0.
        targets: paths of the kernels.
        added: those of them whose update is added to the kernel.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...]
    added: tuple[str, ...]

    mergeable: ClassVar[bool] = True

    @classmethod
    def from_settings(cls, settings: Adapters, network: Network, params: Mapping[str, Any]) -> Lora:
        """Finds the targets in the network.

        By default the queries and values of attention, and without attention every kernel of the backbone.

        Raises:
            UserError: a target that is no kernel of the network.
        """
        sites = describe(network, params)
        kernels = [path for path in rules.flatten(params) if path.endswith('/kernel') and _module(path) in sites]
        if settings.lora_targets:
            targets = select('adapters.lora_targets', settings.lora_targets, kernels)
        else:
            attention = [path for path in kernels if network.role(path) in (Role.QUERY, Role.VALUE)]
            targets = tuple(attention) or select('adapters.lora_targets', [EVERY_KERNEL], kernels)
        added = tuple(path for path in targets if sites[_module(path)].kind not in _APART)
        return cls(settings.lora_rank, float(settings.lora_alpha or settings.lora_rank), targets, added)

    @property
    def scale(self) -> float:
        """The factor alpha / rank."""
        return self.alpha / self.rank

    def init(
        self,
        key: Key[Array, ''],
        network: Network,
        params: Mapping[str, Any],
        inputs: Any = None,
    ) -> dict[str, Any]:
        """A is uniform within ±1 / sqrt(fan_in), as in the paper's code, and B zero; see `Adaptation.init`."""
        sites, flat = describe(network, params, inputs), rules.flatten(params)
        leaves = {}
        for key_, path in zip(jax.random.split(key, len(self.targets)), self.targets, strict=True):
            module, shape = _module(path), flat[path].shape
            axes = sites[module].out_axes
            leaves[f'{module}/a/kernel'] = uniform_fan_in(key_, (*shape[:-axes], self.rank))
            leaves[f'{module}/b/kernel'] = jnp.zeros((self.rank, *shape[-axes:]), jnp.float32)
        return rules.unflatten(leaves)

    def parameters(self, params: Mapping[str, Any], adapters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Adds the updates of `added`."""
        return self._updated(params, adapters, self.added) if self.added else params

    def merged(self, params: Mapping[str, Any], adapters: Mapping[str, Any]) -> dict[str, Any]:
        """Adds all updates; the kernels become float32."""
        return self._updated(params, adapters, self.targets)

    def _updated(self, params: Mapping[str, Any], adapters: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
        leaves, low = rules.flatten(params), rules.flatten(adapters)
        for path in paths:
            a, b = (low[f'{_module(path)}/{name}/kernel'].astype(jnp.float32) for name in 'ab')
            update = jnp.tensordot(a, b, 1, precision=jax.lax.Precision.HIGHEST)
            leaves[path] = leaves[path].astype(jnp.float32) + self.scale * update
        return rules.unflatten(leaves)

    def interceptor(self, adapters: Mapping[str, Any]) -> Interceptor:
        """Runs the updates beside the modules that are not in `added`."""
        low = rules.flatten(adapters)
        apart = {_module(path) for path in self.targets} - {_module(path) for path in self.added}

        def run(next_fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any) -> Any:
            outputs = next_fun(*args, **kwargs)
            path = called_path(context)
            if path not in apart:
                return outputs
            a, b = (low[f'{path}/{name}/kernel'].astype(outputs.dtype) for name in 'ab')
            narrow = _narrow(context.module, a, args[0].astype(outputs.dtype))
            return outputs + self.scale * jnp.tensordot(narrow, b, 1)

        return run


def _module(path: str) -> str:
    return path.rpartition('/')[0]


def _narrow(
    module: nn.Module, kernel: Float[Array, '... rank'], inputs: Float[Array, 'batch ...']
) -> Float[Array, 'batch ... rank']:
    """What a layer like the module, but to `rank` channels and without bias, makes of the inputs."""
    rank = kernel.shape[-1]
    match module:
        case nn.Dense() | nn.DenseGeneral():
            return jnp.tensordot(inputs, kernel, kernel.ndim - 1)
        case nn.Conv():
            fields: dict[str, Any] = {'features': rank, 'use_bias': False}
        case Patches():
            fields = {'dim': rank, 'bias': False}
        case PatchConv():
            fields = {'width': rank}
        case _:
            fields = {'features': rank}
    params = {'kernel': kernel}
    if isinstance(module, PatchConv):
        params['bias'] = jnp.zeros(rank, kernel.dtype)
    like = module.clone(**fields, parent=None, name=None)
    return cast(Array, like.apply({'params': params}, inputs))
