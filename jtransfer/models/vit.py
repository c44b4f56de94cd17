"""Vision Transformer: Dosovitskiy et al., An Image is Worth 16x16 Words, 2021; sizes of Steiner et al., How to train
your ViT?, 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.errors import UserError
from jtransfer.models.backbone import Backbone
from jtransfer.models.layers import DropPath, drop_path_rates, layer_norm
from jtransfer.models.stages import selected

XAVIER_UNIFORM = nn.initializers.xavier_uniform()


class Patches(nn.Module):
    """Cuts the image into square patches and projects each (a convolution whose stride is its kernel's side).

    Attributes:
        patch: side of a patch, pixels.
        dim: channels of a token.
        dtype: computation type.
    """

    patch: int
    dim: int
    dtype: Any

    @nn.compact
    def __call__(self, images: Float[Array, 'batch h w channel']) -> Float[Array, 'batch token dim']:
        """Tokens row by row. Parameters: kernel (patch, patch, channel, dim) and bias (dim,).

        Raises:
            UserError: a side of the image that is no multiple of the patch.
        """
        batch, height, width, channels = images.shape
        side = self.patch
        if height % side or width % side:
            raise UserError(f'images of {height}×{width} pixels cannot be cut into patches of {side}×{side}')
        kernel = self.param('kernel', nn.initializers.lecun_normal(), (side, side, channels, self.dim), jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, (self.dim,), jnp.float32)
        rows, columns = height // side, width // side
        patches = images.astype(self.dtype).reshape(batch, rows, side, columns, side, channels)
        patches = patches.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, side * side * channels)
        return patches @ kernel.astype(self.dtype).reshape(-1, self.dim) + bias.astype(self.dtype)


class Embed(nn.Module):
    """Patches, then the class token in front, then position embeddings for all of them.

    Attributes:
        patch: side of a patch, pixels.
        dim: channels of a token.
        class_token: whether there is a class token.
        dtype: computation type.
    """

    patch: int
    dim: int
    class_token: bool
    dtype: Any

    @nn.compact
    def __call__(self, images: Float[Array, 'batch h w channel']) -> Float[Array, 'batch token dim']:
        """Modules patch; parameters cls_token (1, 1, dim), pos_embed (1, token, dim).

        The grid of patches need not be square: the position embeddings have the shape of the image at `init`.

        Raises:
            UserError: an image of another size than the position embeddings are for.
        """
        x = Patches(self.patch, self.dim, self.dtype, name='patch')(images)
        if self.class_token:
            token = self.param('cls_token', nn.initializers.normal(1e-6), (1, 1, self.dim), jnp.float32)
            x = jnp.concatenate([jnp.broadcast_to(token.astype(x.dtype), (x.shape[0], 1, self.dim)), x], axis=1)
        known: Array | None = self.get_variable('params', 'pos_embed')
        if known is not None and known.shape[1] != x.shape[1]:
            raise UserError(
                f'an image of {images.shape[1]}×{images.shape[2]} pixels gives {x.shape[1]} tokens, but the network '
                f'has position embeddings for {known.shape[1]}: give images of the size it was made for'
            )
        positions = self.param('pos_embed', nn.initializers.truncated_normal(0.02), (1, *x.shape[1:]), jnp.float32)
        return x + positions.astype(x.dtype)


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al., 2017), the end of the residual branch included.

    Attributes:
        heads: number of heads; divides the channels.
        drop_path: stochastic-depth probability.
        dtype: computation type; the softmax is float32.
    """

    heads: int
    drop_path: float
    dtype: Any

    @nn.compact
    def __call__(
        self, tokens: Float[Array, 'batch token dim'], *, train: bool, frozen: Sequence[str]
    ) -> Float[Array, 'batch token dim']:
        """Modules query, key, value: kernel (dim, head, dim / head); out: kernel (head, dim / head, dim)."""
        dim = tokens.shape[-1]
        query, key, value = (
            nn.DenseGeneral((self.heads, dim // self.heads), dtype=self.dtype, kernel_init=XAVIER_UNIFORM, name=name)(
                tokens
            )
            for name in ('query', 'key', 'value')
        )
        x = jax.nn.dot_product_attention(query, key, value)
        x = nn.DenseGeneral(dim, axis=(-2, -1), dtype=self.dtype, kernel_init=XAVIER_UNIFORM, name='out')(x)
        return DropPath(self.drop_path, name='drop_path')(x, train=train, frozen=frozen)


class Mlp(nn.Module):
    """Two dense layers with a GELU between them, the end of the residual branch included.

    Attributes:
        hidden: channels between the layers.
        gelu: `erf` (exact) or `tanh` (its approximation).
        drop_path: stochastic-depth probability.
        dtype: computation type.
    """

    hidden: int
    gelu: str
    drop_path: float
    dtype: Any

    @nn.compact
    def __call__(
        self, tokens: Float[Array, 'batch token dim'], *, train: bool, frozen: Sequence[str]
    ) -> Float[Array, 'batch token dim']:
        """Modules fc1, fc2."""
        x = nn.Dense(self.hidden, dtype=self.dtype, kernel_init=XAVIER_UNIFORM, name='fc1')(tokens)
        x = nn.gelu(x, approximate=self.gelu == 'tanh')
        x = nn.Dense(tokens.shape[-1], dtype=self.dtype, kernel_init=XAVIER_UNIFORM, name='fc2')(x)
        return DropPath(self.drop_path, name='drop_path')(x, train=train, frozen=frozen)


class Block(nn.Module):
    """A pre-norm transformer block.

    Attributes:
        heads: see `Attention`.
        hidden: see `Mlp`.
        gelu: see `Mlp`.
        eps: of the layer normalisations.
        drop_path: stochastic-depth probability of both branches.
        dtype: computation type.
    """

    heads: int
    hidden: int
    gelu: str
    eps: float
    drop_path: float
    dtype: Any

    @nn.compact
    def __call__(
        self, tokens: Float[Array, 'batch token dim'], *, train: bool, frozen: Sequence[str]
    ) -> Float[Array, 'batch token dim']:
        """Modules norm1, attn, norm2, mlp."""
        x = layer_norm(eps=self.eps, dtype=self.dtype, name='norm1')(tokens)
        tokens += Attention(self.heads, self.drop_path, self.dtype, name='attn')(x, train=train, frozen=frozen)
        x = layer_norm(eps=self.eps, dtype=self.dtype, name='norm2')(tokens)
        return tokens + Mlp(self.hidden, self.gelu, self.drop_path, self.dtype, name='mlp')(
            x, train=train, frozen=frozen
        )


class ViT(Backbone):
    """The backbone: stages embed, block0, block1, …, norm (`block0/{norm1,attn,norm2,mlp}`).

    Attributes:
        patch: side of a patch, pixels.
        dim: channels of a token.
        blocks: number of blocks.
        heads: attention heads.
        mlp_ratio: hidden channels of the MLP, in multiples of `dim`.
        class_token: whether a class token stands before the patches.
        pool: `token` (the class token after the last norm) or `avg` (the mean of the patches after it; the class
            token takes no part).
        gelu: `erf` (exact, as in timm and torch) or `tanh` (as in Google's JAX code).
        eps: of the layer normalisations.
        drop_path: stochastic-depth probability of the last block, in [0, 1).
        dtype: computation type; parameters are float32.
    """

    patch: int
    dim: int
    blocks: int
    heads: int
    mlp_ratio: int = 4
    class_token: bool = True
    pool: str = 'token'
    gelu: str = 'erf'
    eps: float = 1e-6
    drop_path: float = 0.0
    dtype: Any = jnp.float32

    input_kernel: ClassVar[str] = 'embed/patch/kernel'

    @property
    def prefix_tokens(self) -> int:
        """How many tokens stand before those of the patches."""
        return int(self.class_token)

    @property
    def side_multiple(self) -> int:
        """The side of a patch, pixels."""
        return self.patch

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return ('embed', *(f'block{index}' for index in range(self.blocks)), 'norm')

    @property
    def head_depth(self) -> int:
        """The layer number of what comes after the blocks: 1 + the number of blocks."""
        return 1 + self.blocks

    @nn.nowrap
    def depth(self, path: str) -> int:
        """Layer number of a parameter (path below the backbone): embed is 0, every block counts one.

        The last norm has the head's number, as in BEiT (Bao et al., 2022) and MAE (He et al., 2022).

        Raises:
            UserError: the path begins with no stage.
        """
        stage = path.split('/')[0]
        if stage not in self.stages:
            raise UserError(f"'{path}' is in none of the stages {', '.join(self.stages)}")
        return self.stages.index(stage)

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, 'batch ...'],
        *,
        train: bool = False,
        frozen: Sequence[str] = (),
        start: str | None = None,
        stop: str | None = None,
    ) -> dict[str, Float[Array, 'batch ...']]:
        """Runs the stages from `start` up to and including `stop`.

        Args:
            inputs: normalised images (batch, h, w, channel), or, with `start`, the output of the stage before it.
            train: stochastic depth.
            frozen: module-path prefixes that run in evaluation mode all the same, see `is_frozen`.
            start: the first stage to run. None: embed.
            stop: the last stage to run. None: norm.

        Returns:
            The tokens after every stage run (batch, prefix + rows * columns, dim), prefix tokens first, and, when
            norm was among them, 'pooled': float32 (batch, dim).

        Raises:
            UserError: `start` or `stop` is not a stage, or the image does not fit the patches or positions.
        """
        running = selected(self.stages, start, stop)
        features = {}
        x = inputs
        for name in running:
            if name == 'embed':
                x = Embed(self.patch, self.dim, self.class_token, self.dtype, name=name)(x)
            elif name == 'norm':
                x = layer_norm(eps=self.eps, dtype=self.dtype, name=name)(x)
            else:
                rate = drop_path_rates(self.drop_path, self.blocks)[self.stages.index(name) - 1]
                x = Block(self.heads, self.dim * self.mlp_ratio, self.gelu, self.eps, rate, self.dtype, name=name)(
                    x, train=train, frozen=frozen
                )
            features[name] = x
        if running[-1] == 'norm':
            tokens = x.astype(jnp.float32)
            features['pooled'] = tokens[:, 0] if self.pool == 'token' else tokens[:, self.prefix_tokens :].mean(1)
        return features
