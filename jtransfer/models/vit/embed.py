"""The first stage of a Vision Transformer: patches, the tokens before them, and position embeddings."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.errors import UserError
from jtransfer.models.layers.common import layer_norm
from jtransfer.models.layers.operation import Operation


class Patches(nn.Module):
    """Cuts the image into square patches and projects each (a convolution whose stride is its kernel's side).

    Attributes:
        patch: side of a patch, pixels.
        dim: channels of a token.
        dtype: computation type.
        bias: whether the projection has one.
        truncate: leaves out the pixels on the right and at the bottom that fill no patch, as torch's convolution does.
    """

    patch: int
    dim: int
    dtype: Any
    bias: bool = True
    truncate: bool = False

    operation: ClassVar[Operation] = 'conv'

    @nn.compact
    def __call__(self, images: Float[Array, 'batch h w channel']) -> Float[Array, 'batch token dim']:
        """Tokens row by row. Parameters: kernel (patch, patch, channel, dim) and bias (dim,).

        Raises:
            UserError: a side of the image that is no multiple of the patch (with `truncate`, is shorter than it).
        """
        batch, height, width, channels = images.shape
        side = self.patch
        rows, columns = height // side, width // side
        whole = (rows * side, columns * side) == (height, width)
        if not rows or not columns or not (whole or self.truncate):
            raise UserError(f'images of {height}×{width} pixels cannot be cut into patches of {side}×{side}')
        kernel = self.param('kernel', nn.initializers.lecun_normal(), (side, side, channels, self.dim), jnp.float32)
        images = images[:, : rows * side, : columns * side]
        patches = images.astype(self.dtype).reshape(batch, rows, side, columns, side, channels)
        patches = patches.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, side * side * channels)
        tokens = patches @ kernel.astype(self.dtype).reshape(-1, self.dim)
        if self.bias:
            tokens += self.param('bias', nn.initializers.zeros, (self.dim,), jnp.float32).astype(self.dtype)
        return tokens


class Embed(nn.Module):
    """Patches with prefix tokens and position embeddings: class, distillation, registers, patches, in this order.

    Attributes:
        patch: side of a patch, pixels.
        dim: channels of a token.
        class_token: whether there is a class token.
        distilled: whether there is a distillation token (Touvron et al., Training data-efficient image transformers &
            distillation through attention, 2021).
        reg_tokens: number of register tokens (Darcet et al., Vision Transformers Need Registers, 2024); they have no
            position embeddings.
        embed_class: whether the class and distillation tokens have position embeddings.
        pre_norm: whether a layer normalisation comes last (CLIP: Radford et al., 2021).
        patch_bias: see `Patches.bias`.
        truncate: see `Patches.truncate`.
        eps: of the layer normalisation.
        dtype: computation type.
    """

    patch: int
    dim: int
    class_token: bool
    distilled: bool
    reg_tokens: int
    embed_class: bool
    pre_norm: bool
    patch_bias: bool
    truncate: bool
    eps: float
    dtype: Any

    @nn.compact
    def __call__(self, images: Float[Array, 'batch h w channel']) -> Float[Array, 'batch token dim']:
        """Modules patch, norm_pre; parameters cls_token, dist_token (1, 1, dim), reg_tokens, pos_embed (1, token, dim).

        The grid of patches need not be square: the position embeddings have the shape of the image at `init`.

        Raises:
            UserError: an image that does not fit the patches, or another size than the position embeddings are for.
        """
        x = Patches(self.patch, self.dim, self.dtype, self.patch_bias, self.truncate, name='patch')(images)
        tokens = [self._token('cls_token')] if self.class_token else []
        tokens += [self._token('dist_token')] if self.distilled else []
        if self.embed_class:
            x = self._with_positions(_prepend(tokens, x), images)
        else:
            x = _prepend(tokens, self._with_positions(x, images))
        if self.reg_tokens:
            before = len(tokens)
            x = jnp.concatenate(
                [x[:, :before], _prepend([self._token('reg_tokens', self.reg_tokens)], x[:, before:])], 1
            )
        return layer_norm(eps=self.eps, dtype=self.dtype, name='norm_pre')(x) if self.pre_norm else x

    def _token(self, name: str, count: int = 1) -> Float[Array, '1 count dim']:
        return jnp.asarray(
            self.param(name, nn.initializers.normal(1e-6), (1, count, self.dim), jnp.float32), self.dtype
        )

    def _with_positions(
        self, tokens: Float[Array, 'batch token dim'], images: Float[Array, 'batch h w channel']
    ) -> Float[Array, 'batch token dim']:
        known: Array | None = self.get_variable('params', 'pos_embed')
        if known is not None and known.shape[1] != tokens.shape[1]:
            raise UserError(
                f'an image of {images.shape[1]}×{images.shape[2]} pixels gives {tokens.shape[1]} tokens, but the '
                f'network has position embeddings for {known.shape[1]}: give images of the size it was made for'
            )
        shape = (1, *tokens.shape[1:])
        positions = self.param('pos_embed', nn.initializers.truncated_normal(0.02), shape, jnp.float32)
        return tokens + positions.astype(tokens.dtype)


def _prepend(
    tokens: list[Float[Array, '1 count dim']], x: Float[Array, 'batch token dim']
) -> Float[Array, 'batch new_token dim']:
    """The same tokens before those of every example."""
    expanded = [jnp.broadcast_to(token, (len(x), *token.shape[1:])) for token in tokens]
    return jnp.concatenate([*expanded, x], axis=1) if expanded else x
