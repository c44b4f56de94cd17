"""Visual prompts: Jia et al., Visual Prompt Tuning, 2022."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jtransfer import rules
from jtransfer.adapters.adaptation import Adaptation, Interceptor, called_path
from jtransfer.config.transfer import Adapters
from jtransfer.errors import UserError
from jtransfer.models import Network


@dataclasses.dataclass(frozen=True)
class Prompts(Adaptation):
    """Learnt tokens that the blocks of a Vision Transformer attend to, beside those of the image.

    They stand behind the prefix tokens. `shallow`: they come in before the first block and go through all blocks.
    `deep`: every block has its own, and what it makes of them is dropped. The parameters are
    `adapters/backbone/<block>/prompts` (token, dim); shallow ones belong to the first block.

    The outputs of stages never contain them, and neither does what is pooled. For the class token that is VPT; where
    the patches are averaged or attended to, VPT may let the prompts take part, and here they do not. VPT's dropout and
    projection of the prompts are left out: both are off in its own settings for a Vision Transformer.

    Attributes:
        tokens: number of prompts a block, ≥ 1.
        kind: `shallow` or `deep`.
        prefix: how many tokens stand before them.
        blocks: paths of all blocks of the network, in order.
    """

    tokens: int
    kind: str
    prefix: int
    blocks: tuple[str, ...]

    @classmethod
    def from_settings(cls, settings: Adapters, network: Network, params: Mapping[str, Any]) -> Prompts:
        """Finds the blocks.

        Raises:
            UserError: the network has no blocks that read and return tokens.
        """
        backbone = network.backbone
        if not backbone.token_blocks:
            raise UserError(
                f'transfer.strategy=prompt needs a Vision Transformer, and {type(backbone).__name__} has no tokens to '
                'put prompts beside; lora, adapter and ssf work for every network'
            )
        blocks = tuple(f'backbone/{stage}' for stage in backbone.token_blocks)
        return cls(settings.prompt_tokens, settings.prompt_kind, backbone.prefix_tokens, blocks)

    def init(
        self,
        key: Key[Array, ''],
        network: Network,
        params: Mapping[str, Any],
        inputs: Any = None,
    ) -> dict[str, Any]:
        """Uniform within ±sqrt(6 / (inputs of a patch + dim)), as in the paper's code; see `Adaptation.init`."""
        *inputs, dim = rules.flatten(params)[f'backbone/{network.backbone.input_kernel}'].shape
        bound = math.sqrt(6 / (math.prod(inputs) + dim))
        blocks = self.blocks if self.kind == 'deep' else self.blocks[:1]
        leaves = {
            f'{path}/prompts': jax.random.uniform(key_, (self.tokens, dim), jnp.float32, -bound, bound)
            for key_, path in zip(jax.random.split(key, len(blocks)), blocks, strict=True)
        }
        return rules.unflatten(leaves)

    def interceptor(self, adapters: Mapping[str, Any]) -> Interceptor:
        """Puts the prompts among the tokens of each block, and takes them out again."""
        flat, prefix = rules.flatten(adapters), self.prefix
        # What the last block made of shallow prompts, (batch, token, dim).
        travelling: dict[str, Array] = {}

        def entering(path: str, tokens: Float[Array, 'batch token dim']) -> Float[Array, 'batch prompt dim']:
            if self.kind == 'deep' or path == self.blocks[0]:
                prompts = flat[f'{path}/prompts'].astype(tokens.dtype)
                return jnp.broadcast_to(prompts, (len(tokens), *prompts.shape))
            before = self.blocks[self.blocks.index(path) - 1]
            if before not in travelling:
                raise UserError(
                    f'shallow prompts come in before the first block, so that the network cannot start at '
                    f"'{path.rpartition('/')[2]}'"
                )
            return travelling.pop(before)

        def run(next_fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any) -> Any:
            path = called_path(context)
            if path not in self.blocks:
                return next_fun(*args, **kwargs)
            tokens, *others = args
            parts = [tokens[:, :prefix], entering(path, tokens), tokens[:, prefix:]]
            outputs = next_fun(jnp.concatenate(parts, axis=1), *others, **kwargs)
            end = prefix + self.tokens
            if self.kind == 'shallow':
                travelling[path] = outputs[:, prefix:end]
            return jnp.concatenate([outputs[:, :prefix], outputs[:, end:]], axis=1)

        return run
