"""The parts of a transformer block, and the pooling by attention."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.models.layers.common import DropPath, layer_norm
from jtransfer.models.mode import Mode

XAVIER_UNIFORM = nn.initializers.xavier_uniform()
GELUS = ('erf', 'tanh', 'quick')


def gelu(inputs: Float[Array, '*batch channel'], kind: str) -> Float[Array, '*batch channel']:
    """The Gaussian error linear unit (Hendrycks and Gimpel, 2016).

    Args:
        inputs: any values.
        kind: `erf` (exact), `tanh` (its usual approximation) or `quick` (x · sigmoid(1.702 x), as OpenAI's CLIP).
    """
    if kind == 'quick':
        return inputs * nn.sigmoid(1.702 * inputs)
    return nn.gelu(inputs, approximate=kind == 'tanh')


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al., 2017), the end of the residual branch included.

    Attributes:
        heads: number of heads; divides the channels.
        drop_path: stochastic-depth probability.
        dtype: computation type; the softmax is float32.
        qkv_bias: whether the projections of queries, keys and values have biases.
    """

    heads: int
    drop_path: float
    dtype: Any
    qkv_bias: bool = True

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, 'batch token dim'],
        mode: Mode,
        queries: Float[Array, 'batch query dim'] | None = None,
    ) -> Float[Array, 'batch query dim']:
        """Modules query, key, value: kernel (dim, head, dim / head); out: kernel (head, dim / head, dim).

        Args:
            tokens: what is attended to.
            mode: of the pass.
            queries: who attends. None: the tokens themselves.
        """
        dim = tokens.shape[-1]
        sources = {'query': tokens if queries is None else queries, 'key': tokens, 'value': tokens}
        query, key, value = (
            nn.DenseGeneral(
                (self.heads, dim // self.heads),
                use_bias=self.qkv_bias,
                dtype=self.dtype,
                kernel_init=XAVIER_UNIFORM,
                name=name,
            )(source)
            for name, source in sources.items()
        )
        x = jax.nn.dot_product_attention(query, key, value)
        x = nn.DenseGeneral(dim, axis=(-2, -1), dtype=self.dtype, kernel_init=XAVIER_UNIFORM, name='out')(x)
        return DropPath(self.drop_path, name='drop_path')(x, mode)


class Mlp(nn.Module):
    """Two dense layers with a GELU or a gate between them, the end of the residual branch included.

    Attributes:
        hidden: channels between the layers.
        gelu: see `gelu`; unused with `swiglu`.
        drop_path: stochastic-depth probability.
        dtype: computation type.
        swiglu: the first layer is twice as wide, and SiLU of its first half gates its second (Shazeer, GLU Variants
            Improve Transformer, 2020).
    """

    hidden: int
    gelu: str
    drop_path: float
    dtype: Any
    swiglu: bool = False

    @nn.compact
    def __call__(self, tokens: Float[Array, 'batch token dim'], mode: Mode) -> Float[Array, 'batch token dim']:
        """Modules fc1, fc2."""
        width = self.hidden * (1 + self.swiglu)
        x = nn.Dense(width, dtype=self.dtype, kernel_init=XAVIER_UNIFORM, name='fc1')(tokens)
        if self.swiglu:
            gate, x = jnp.split(x, 2, axis=-1)
            x *= nn.silu(gate)
        else:
            x = gelu(x, self.gelu)
        x = nn.Dense(tokens.shape[-1], dtype=self.dtype, kernel_init=XAVIER_UNIFORM, name='fc2')(x)
        return DropPath(self.drop_path, name='drop_path')(x, mode)


class LayerScale(nn.Module):
    """A learnt factor for each channel of a residual branch.

    Touvron et al., Going deeper with Image Transformers, 2021.

    Attributes:
        initial: value of the factors at the beginning.
    """

    initial: float

    @nn.compact
    def __call__(self, branch: Float[Array, 'batch token dim']) -> Float[Array, 'batch token dim']:
        """Parameter: gamma (dim,)."""
        gamma = self.param('gamma', nn.initializers.constant(self.initial), branch.shape[-1:], jnp.float32)
        return branch * gamma.astype(branch.dtype)


class Block(nn.Module):
    """A pre-norm transformer block.

    Attributes:
        heads: see `Attention`.
        hidden: see `Mlp`.
        gelu: see `Mlp`.
        eps: of the layer normalisations.
        drop_path: stochastic-depth probability of both branches.
        dtype: computation type.
        qkv_bias: see `Attention`.
        swiglu: see `Mlp`.
        layer_scale: initial value of the factors of both branches, see `LayerScale`. 0: there are none.
    """

    heads: int
    hidden: int
    gelu: str
    eps: float
    drop_path: float
    dtype: Any
    qkv_bias: bool
    swiglu: bool
    layer_scale: float

    @nn.compact
    def __call__(self, tokens: Float[Array, 'batch token dim'], mode: Mode) -> Float[Array, 'batch token dim']:
        """Modules norm1, attn, ls1, norm2, mlp, ls2."""
        x = layer_norm(eps=self.eps, dtype=self.dtype, name='norm1')(tokens)
        attention = Attention(self.heads, self.drop_path, self.dtype, self.qkv_bias, name='attn')
        tokens += self._scaled(attention(x, mode), 'ls1')
        x = layer_norm(eps=self.eps, dtype=self.dtype, name='norm2')(tokens)
        mlp = Mlp(self.hidden, self.gelu, self.drop_path, self.dtype, self.swiglu, name='mlp')
        return tokens + self._scaled(mlp(x, mode), 'ls2')

    def _scaled(self, branch: Float[Array, 'batch token dim'], name: str) -> Float[Array, 'batch token dim']:
        return LayerScale(self.layer_scale, name=name)(branch) if self.layer_scale else branch


class AttentionPool(nn.Module):
    """A learnt query attends to all tokens, and an MLP follows: the MAP head of Zhai et al., Scaling Vision
    Transformers, 2022, as in SigLIP.

    Attributes:
        heads: see `Attention`.
        hidden: see `Mlp`.
        gelu: see `Mlp`.
        eps: of the layer normalisation.
        dtype: computation type.
    """

    heads: int
    hidden: int
    gelu: str
    eps: float
    dtype: Any

    @nn.compact
    def __call__(self, tokens: Float[Array, 'batch token dim'], mode: Mode) -> Float[Array, 'batch dim']:
        """Parameter probe (1, 1, dim); modules attn, norm, mlp."""
        probe = self.param('probe', XAVIER_UNIFORM, (1, 1, tokens.shape[-1]), jnp.float32)
        queries = jnp.broadcast_to(probe.astype(tokens.dtype), (len(tokens), *probe.shape[1:]))
        attention = Attention(self.heads, 0.0, self.dtype, name='attn')
        x = attention(tokens, mode, queries=queries)
        y = layer_norm(eps=self.eps, dtype=self.dtype, name='norm')(x)
        return (x + Mlp(self.hidden, self.gelu, 0.0, self.dtype, name='mlp')(y, mode))[:, 0]
