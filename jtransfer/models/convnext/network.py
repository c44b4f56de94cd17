"""ConvNeXt: Liu et al., A ConvNet for the 2020s, 2022; V2: Woo et al., ConvNeXt V2, 2023."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.errors import UserError
from jtransfer.models.backbone import Backbone
from jtransfer.models.layers.common import DropPath, layer_norm, stage_drop_path_rates
from jtransfer.models.layers.depthwise import DepthwiseConv
from jtransfer.models.layers.operation import Operation
from jtransfer.models.stages import block_names

KERNEL = 7
EXPANSION = 4
STEM_PATCH = 4
# Where the residual branches' scales start (Liu et al., 2022, table 5).
LAYER_SCALE = 1e-6
GRN_EPS = 1e-6
INIT = nn.initializers.truncated_normal(0.02)


class PatchConv(nn.Module):
    """A convolution whose stride is its kernel's side, as a matrix product; rows and columns left over are cut off.

    Attributes:
        patch: side of the kernel.
        width: output channels.
        dtype: computation type.
    """

    patch: int
    width: int
    dtype: Any

    operation: ClassVar[Operation] = 'conv'

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel']) -> Float[Array, 'batch h2 w2 width']:
        """Parameters: kernel (patch, patch, channel, width) and bias (width,).

        Raises:
            UserError: a picture smaller than one patch.
        """
        batch, height, width, channels = inputs.shape
        side = self.patch
        rows, columns = height // side, width // side
        if not rows or not columns:
            raise UserError(
                f'a picture of {height}×{width} is too small to be cut into {side}×{side}: ConvNeXt needs images of at '
                'least 32×32 pixels'
            )
        kernel = self.param('kernel', INIT, (side, side, channels, self.width), jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, (self.width,), jnp.float32)
        x = inputs.astype(self.dtype)[:, : rows * side, : columns * side]
        x = x.reshape(batch, rows, side, columns, side, channels).transpose(0, 1, 3, 2, 4, 5)
        x = x.reshape(batch, rows, columns, side * side * channels)
        return x @ kernel.astype(self.dtype).reshape(-1, self.width) + bias.astype(self.dtype)


class Stem(nn.Module):
    """Patches of 4×4 pixels, normalised.

    Attributes:
        width: output channels.
        eps: of the layer normalisation.
        dtype: computation type.
    """

    width: int
    eps: float
    dtype: Any

    @nn.compact
    def __call__(self, images: Float[Array, 'batch h w channel']) -> Float[Array, 'batch h2 w2 width']:
        """Modules conv and norm."""
        x = PatchConv(STEM_PATCH, self.width, self.dtype, name='conv')(images)
        return layer_norm(eps=self.eps, dtype=self.dtype, name='norm')(x)


class Downsample(nn.Module):
    """Halves the sides: a layer normalisation, then a 2×2 convolution with stride 2.

    Attributes:
        width: output channels.
        eps: of the layer normalisation.
        dtype: computation type.
    """

    width: int
    eps: float
    dtype: Any

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel']) -> Float[Array, 'batch h2 w2 width']:
        """Modules norm and conv."""
        x = layer_norm(eps=self.eps, dtype=self.dtype, name='norm')(inputs)
        return PatchConv(2, self.width, self.dtype, name='conv')(x)


class ResponseNorm(nn.Module):
    """Global response normalisation: channels that respond more than the others are strengthened (Woo et al., 2023).

    Begins as the identity.

    Attributes:
        dtype: computation type; the responses are float32.
    """

    dtype: Any

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel']) -> Float[Array, 'batch h w channel']:
        """Parameters: scale and bias (channel,)."""
        shape = inputs.shape[-1:]
        scale = self.param('scale', nn.initializers.zeros, shape, jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, shape, jnp.float32)
        energy = jnp.square(inputs.astype(jnp.float32)).sum((1, 2), keepdims=True)
        # The square root has no derivative at zero.
        response = jnp.where(energy > 0, jnp.sqrt(jnp.where(energy > 0, energy, 1)), 0)
        relative = response / (response.mean(-1, keepdims=True) + GRN_EPS)
        return inputs + (inputs * (scale * relative).astype(self.dtype) + bias.astype(self.dtype))


class Mlp(nn.Module):
    """Two dense layers on every place, with a GELU (erf) between them.

    Attributes:
        grn: whether a `ResponseNorm` follows the GELU.
        dtype: computation type.
    """

    grn: bool
    dtype: Any

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel']) -> Float[Array, 'batch h w channel']:
        """Modules fc1, grn (if there is one), fc2."""
        width = inputs.shape[-1]
        x = nn.Dense(EXPANSION * width, dtype=self.dtype, kernel_init=INIT, name='fc1')(inputs)
        x = nn.gelu(x, approximate=False)
        if self.grn:
            x = ResponseNorm(self.dtype, name='grn')(x)
        return nn.Dense(width, dtype=self.dtype, kernel_init=INIT, name='fc2')(x)


class Block(nn.Module):
    """A residual block: 7×7 depthwise, layer normalisation, MLP and, without `grn`, a scale for each channel.

    Attributes:
        grn: see `ConvNeXt`.
        eps: of the layer normalisation.
        drop_path: stochastic-depth probability.
        dtype: computation type.
    """

    grn: bool
    eps: float
    drop_path: float
    dtype: Any

    @nn.compact
    def __call__(
        self, inputs: Float[Array, 'batch h w channel'], *, train: bool, frozen: Sequence[str]
    ) -> Float[Array, 'batch h w channel']:
        """Modules conv_dw, norm, mlp; parameter gamma (channel,)."""
        x = DepthwiseConv(KERNEL, use_bias=True, dtype=self.dtype, kernel_init=INIT, name='conv_dw')(inputs)
        x = layer_norm(eps=self.eps, dtype=self.dtype, name='norm')(x)
        x = Mlp(self.grn, self.dtype, name='mlp')(x)
        if not self.grn:
            gamma = self.param('gamma', nn.initializers.constant(LAYER_SCALE), inputs.shape[-1:], jnp.float32)
            x = x * gamma.astype(self.dtype)
        return inputs + DropPath(self.drop_path, name='drop_path')(x, train=train, frozen=frozen)


class Stage(nn.Module):
    """Blocks of one width; all stages but the first halve the sides before them.

    Attributes:
        width: output channels.
        halves: whether it halves the sides.
        grn: see `ConvNeXt`.
        eps: of the layer normalisations.
        drop_paths: stochastic-depth probability of each block.
        dtype: computation type.
    """

    width: int
    halves: bool
    grn: bool
    eps: float
    drop_paths: tuple[float, ...]
    dtype: Any

    @nn.compact
    def __call__(
        self, inputs: Float[Array, 'batch h w channel'], *, train: bool, frozen: Sequence[str]
    ) -> Float[Array, 'batch h2 w2 width']:
        """Modules downsample (if it halves), block0, block1, …"""
        x = inputs
        if self.halves:
            x = Downsample(self.width, self.eps, self.dtype, name='downsample')(x)
        for index, drop_path in enumerate(self.drop_paths):
            x = Block(self.grn, self.eps, drop_path, self.dtype, name=f'block{index}')(x, train=train, frozen=frozen)
        return x


class ConvNeXt(Backbone):
    """The backbone: stages stem, stage1 … stage4, norm (`stage2/{downsample,block0/{conv_dw,norm,mlp,gamma}}`).

    The stage `norm` takes the mean over the picture and normalises it.

    Attributes:
        depths: number of blocks of each stage.
        widths: channels of each stage.
        grn: version 2: global response normalisation in the MLPs, and no scales (gamma) of the branches.
        conv_mlp: whether timm's files hold the MLPs' matrices as 1×1 convolutions (its smallest networks); read by
            the name map alone, the numbers are the same.
        eps: of the layer normalisations.
        drop_path: stochastic-depth probability of the last block, in [0, 1).
        dtype: computation type; parameters are float32.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    grn: bool = False
    conv_mlp: bool = False
    eps: float = 1e-6
    drop_path: float = 0.0
    dtype: Any = jnp.float32

    @property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """The stem, the stages with their blocks, the last norm."""
        stages = {f'stage{index + 1}': block_names(depth) for index, depth in enumerate(self.depths)}
        return {'stem': (), **stages, 'norm': ()}

    @property
    def head_depth(self) -> int:
        """The layer number of what comes after the blocks: 1 + their number."""
        return 1 + sum(self.depths)

    @nn.nowrap
    def depth(self, path: str) -> int:
        """As for every backbone; what halves the sides belongs to the block after it."""
        stage, _, below = path.partition('/')
        halves = below.startswith('downsample/') and stage in self.stages[2:-1]
        return super().depth(f'{stage}/block0' if halves else path)

    def _run(
        self, name: str, x: Float[Array, 'batch ...'], *, train: bool, frozen: Sequence[str]
    ) -> Float[Array, 'batch ...']:
        if name == 'stem':
            return Stem(self.widths[0], self.eps, self.dtype, name=name)(x)
        if name == 'norm':
            return layer_norm(eps=self.eps, dtype=jnp.float32, name=name)(x.astype(jnp.float32).mean((1, 2)))
        index = self.stages.index(name) - 1
        rates = stage_drop_path_rates(self.drop_path, self.depths, index)
        return Stage(self.widths[index], index > 0, self.grn, self.eps, rates, self.dtype, name=name)(
            x, train=train, frozen=frozen
        )
