"""Vision Transformer: Dosovitskiy et al., An Image is Worth 16x16 Words, 2021; sizes of Steiner et al., How to train
your ViT?, 2022. Options make it that of DeiT, DeiT-III, MAE, DINOv2, CLIP and SigLIP.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jtransfer.checks import one_of
from jtransfer.errors import UserError
from jtransfer.inputs.base import Preprocessor
from jtransfer.inputs.image import sides_of
from jtransfer.models.backbone import Backbone
from jtransfer.models.layers.common import drop_path_rates, layer_norm
from jtransfer.models.mode import Mode
from jtransfer.models.positions import fitted_to_grid
from jtransfer.models.role import Role
from jtransfer.models.stages import block_names
from jtransfer.models.vit.embed import Embed
from jtransfer.models.vit.layers import GELUS, XAVIER_UNIFORM, AttentionPool, Block

POSITIONS = 'embed/pos_embed'
_ROLES = {
    POSITIONS: Role.POSITION,
    'embed/cls_token': Role.TOKEN,
    'embed/dist_token': Role.TOKEN,
    'embed/reg_tokens': Role.TOKEN,
    'pool/probe': Role.TOKEN,
}
_ATTENTION = re.compile(r'(?:block\d+|pool)/attn/(query|key|value|out)/kernel')
POOLS = ('token', 'class', 'avg', 'avg_norm', 'token_avg', 'map')


class ViT(Backbone):
    """The backbone: stages embed, block0, block1, …, norm, and where there are these, pool and pre_logits.

    A block holds norm1, attn, norm2, mlp, and with `layer_scale` ls1 and ls2.

    Attributes:
        patch: side of a patch, pixels.
        dim: channels of a token.
        blocks: number of blocks.
        heads: attention heads.
        mlp_ratio: hidden channels of the MLP, in multiples of `dim`.
        mlp_hidden: hidden channels of the MLP, where they are no multiple. 0: `mlp_ratio` says.
        swiglu: a gated MLP, see `vit.layers.Mlp`.
        class_token: whether a class token stands before the patches.
        distilled: whether a distillation token stands behind the class token (DeiT).
        reg_tokens: number of register tokens before the patches (DINOv2).
        embed_class: whether the class and distillation tokens have position embeddings (not in DeiT-III, and not where
            timm has folded them into the tokens).
        pre_norm: a layer normalisation ends the stage embed (CLIP).
        patch_bias: whether the projection of the patches has a bias.
        qkv_bias: whether the projections of queries, keys and values have biases.
        layer_scale: initial value of the branches' factors, see `vit.layers.LayerScale`. 0: there are none.
        pool: what is pooled.
            `token`: the class token after the last norm, and behind it the distillation token where there is one.
            `class`: the class token after the last norm.
            `avg`: the mean of the patches after it; the prefix tokens take no part.
            `avg_norm`: the norm of the mean of the patches (MAE, fine-tuned; timm's `fc_norm`). The stage norm gives
            the pooled features then.
            `token_avg`: the class token and the mean of the patches, one behind the other (DINOv2's linear head).
            `map`: attention to all tokens after the last norm (SigLIP), the stage pool.
        pre_logits: a dense layer with tanh comes after pooling (Google's weights of ImageNet-21k; Hugging Face calls it
            the pooler).
        gelu: `erf` (exact, as in timm and torch), `tanh` (as in Google's JAX code) or `quick` (OpenAI's CLIP).
        eps: of the layer normalisations.
        truncate: pixels on the right and at the bottom that fill no patch are left out (SigLIP So400m/14 at 384).
        drop_path: stochastic-depth probability of the last block, in [0, 1).
        dtype: computation type; parameters are float32.
    """

    patch: int
    dim: int
    blocks: int
    heads: int
    mlp_ratio: int = 4
    mlp_hidden: int = 0
    swiglu: bool = False
    class_token: bool = True
    distilled: bool = False
    reg_tokens: int = 0
    embed_class: bool = True
    pre_norm: bool = False
    patch_bias: bool = True
    qkv_bias: bool = True
    layer_scale: float = 0.0
    pool: str = 'token'
    pre_logits: bool = False
    gelu: str = 'erf'
    eps: float = 1e-6
    truncate: bool = False
    drop_path: float = 0.0
    dtype: Any = jnp.float32

    input_kernel: ClassVar[str] = 'embed/patch/kernel'
    block_counts: ClassVar[tuple[str, ...]] = ('blocks',)

    def __post_init__(self) -> None:
        """Raises `UserError` for options that contradict each other."""
        one_of('pool', self.pool, POOLS)
        one_of('gelu', self.gelu, GELUS)
        if not self.class_token and self.pool in ('token', 'class', 'token_avg'):
            raise UserError(f"pool='{self.pool}' needs a class token: set class_token, or pool='avg'")
        if self.distilled and not self.class_token:
            raise UserError('a distillation token stands behind a class token: set class_token too')
        if self.pre_logits and (self.pooled_parts > 1 or self.pool == 'token_avg'):
            raise UserError(f"pre_logits takes one pooled token, and pool='{self.pool}' gives two here")
        super().__post_init__()

    @property
    def prefix_tokens(self) -> int:
        """How many tokens stand before those of the patches."""
        return self.class_token + self.distilled + self.reg_tokens

    @property
    def prefix_positions(self) -> int:
        """How many position embeddings stand before those of the patches."""
        return (self.class_token + self.distilled) * self.embed_class

    @property
    def pooled_parts(self) -> int:
        """2 with a distillation token that is pooled, otherwise 1."""
        return 1 + (self.distilled and self.pool == 'token')

    @property
    def side_multiple(self) -> int:
        """The side of a patch, pixels; 1 where remaining pixels are left out."""
        return 1 if self.truncate else self.patch

    @property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """Every stage is one layer."""
        after = ('norm', *['pool'] * (self.pool == 'map'), *['pre_logits'] * self.pre_logits)
        return dict.fromkeys(('embed', *block_names(self.blocks), *after), ())

    @property
    def token_blocks(self) -> tuple[str, ...]:
        """All blocks."""
        return block_names(self.blocks)

    @property
    def mlps(self) -> tuple[str, ...]:
        """Those of the blocks."""
        return tuple(f'{block}/mlp' for block in self.token_blocks)

    @property
    def closing(self) -> tuple[str, ...]:
        """The stage norm, unless it normalises what is pooled already."""
        return () if self.pool == 'avg_norm' else ('norm',)

    @property
    def head_depth(self) -> int:
        """The layer number of what comes after the blocks: 1 + their number."""
        return 1 + self.blocks

    @nn.nowrap
    def role(self, path: str) -> Role:
        """As for every backbone, and what attention and the tokens consist of."""
        if path in _ROLES:
            return _ROLES[path]
        found = _ATTENTION.fullmatch(path)
        return Role(found[1]) if found else super().role(path)

    @nn.nowrap
    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches; what is left over at the edges fills none."""
        return height // self.patch, width // self.patch

    @nn.nowrap
    def side_of(self, shapes: Mapping[str, tuple[int, ...]], usual: int) -> int:
        """As the position embeddings say, where they are for a square."""
        shape = shapes.get(POSITIONS, ())
        count = shape[-2] - self.prefix_positions if len(shape) == 3 else 0
        side = math.isqrt(max(0, count))
        if not side or side * side != count or side == usual // self.patch:
            return usual
        return side * self.patch

    @nn.nowrap
    def fit(
        self,
        path: str,
        stored: np.ndarray,
        shape: tuple[int, ...],
        was: Preprocessor | None,
        now: Preprocessor,
        how: str = '',
    ) -> Any | None:
        """As for every backbone; position embeddings are resampled, `how` is the method of `resize_positions`."""
        if self.role(path) is not Role.POSITION:
            return super().fit(path, stored, shape, was, now, how)
        grids = (None if was is None else self.grid(*sides_of(was)), self.grid(*sides_of(now)))
        return fitted_to_grid(stored, shape, self.prefix_positions, grids, how)

    def _run(self, name: str, x: Float[Array, 'batch ...'], mode: Mode) -> Float[Array, 'batch ...']:
        hidden = self.mlp_hidden or self.dim * self.mlp_ratio
        if name == 'embed':
            return self._embed(name)(x)
        if name == 'norm':
            x = self._patch_mean(x) if self.pool == 'avg_norm' else x
            return layer_norm(eps=self.eps, dtype=self.dtype, name=name)(x)
        if name == 'pool':
            pool = AttentionPool(self.heads, hidden, self.gelu, self.eps, self.dtype, name=name)
            return pool(x, mode)
        if name == 'pre_logits':
            dense = nn.Dense(self.dim, dtype=self.dtype, kernel_init=XAVIER_UNIFORM, name=name)
            return jnp.tanh(dense(self._pooled(x)))
        return self._block(name, hidden)(x, mode)

    def _embed(self, name: str) -> Embed:
        return Embed(
            patch=self.patch,
            dim=self.dim,
            class_token=self.class_token,
            distilled=self.distilled,
            reg_tokens=self.reg_tokens,
            embed_class=self.embed_class,
            pre_norm=self.pre_norm,
            patch_bias=self.patch_bias,
            truncate=self.truncate,
            eps=self.eps,
            dtype=self.dtype,
            name=name,
        )

    def _block(self, name: str, hidden: int) -> Block:
        return Block(
            heads=self.heads,
            hidden=hidden,
            gelu=self.gelu,
            eps=self.eps,
            drop_path=drop_path_rates(self.drop_path, self.blocks)[self.stages.index(name) - 1],
            dtype=self.dtype,
            qkv_bias=self.qkv_bias,
            swiglu=self.swiglu,
            layer_scale=self.layer_scale,
            name=name,
        )

    def _patch_mean(self, tokens: Float[Array, 'batch token dim']) -> Float[Array, 'batch dim']:
        return tokens[:, self.prefix_tokens :].astype(jnp.float32).mean(1)

    def _pooled(self, x: Float[Array, 'batch ...']) -> Float[Array, 'batch feature']:
        """Float32, of the last norm's output or what has been pooled already."""
        if x.ndim == 2:
            return x.astype(jnp.float32)
        prefix = () if self.pool == 'avg' else range(self.pooled_parts)
        parts = [x[:, index].astype(jnp.float32) for index in prefix]
        if self.pool in ('avg', 'token_avg'):
            parts.append(self._patch_mean(x))
        return jnp.concatenate(parts, axis=-1)
