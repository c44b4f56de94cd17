"""The parts of a BiT: convolutions of standardised weights, the stem, pre-activation blocks and stages.

Standardised weights: Qiao et al., Micro-Batch Training with Batch-Channel Normalization and Weight Standardization,
2019. Pre-activation: He et al., Identity Mappings in Deep Residual Networks, 2016 (here with the stride in the 3×3
convolution).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.errors import UserError
from jtransfer.models.layers.common import HE_NORMAL_FAN_OUT, DropPath
from jtransfer.models.layers.operation import Operation

EXPANSION = 4
EPS = 1e-5


def standardised(
    kernel: Float[Array, 'side side channel feature'], eps: float
) -> Float[Array, 'side side channel feature']:
    """Every output channel's weights with mean 0 and (biased) variance 1.

    Args:
        kernel: float32.
        eps: added to the variance.
    """
    mean = kernel.mean((0, 1, 2), keepdims=True)
    variance = jnp.square(kernel - mean).mean((0, 1, 2), keepdims=True)
    return (kernel - mean) * jax.lax.rsqrt(variance + eps)


class StandardisedConv(nn.Module):
    """A square convolution with standardised weights and no bias, padded by (kernel - 1) / 2 on every side.

    Attributes:
        features: output channels.
        kernel: side of the kernel, odd.
        stride: of both sides.
        eps: see `standardised`.
        dtype: computation type; the weights are standardised in float32.
    """

    features: int
    kernel: int
    stride: int
    eps: float
    dtype: Any

    operation: ClassVar[Operation] = 'standardised'

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel']) -> Float[Array, 'batch h2 w2 features']:
        """Parameter: kernel (kernel, kernel, channel, features)."""
        shape = (self.kernel, self.kernel, inputs.shape[-1], self.features)
        kernel = standardised(self.param('kernel', HE_NORMAL_FAN_OUT, shape, jnp.float32), self.eps).astype(self.dtype)
        inputs = inputs.astype(self.dtype)
        if self.kernel == 1:
            # Faster on CPU, see `layers.PointwiseConv`.
            return inputs[:, :: self.stride, :: self.stride] @ kernel[0, 0]
        pad = (self.kernel // 2, self.kernel // 2)
        return jax.lax.conv_general_dilated(
            inputs, kernel, (self.stride, self.stride), (pad, pad), dimension_numbers=('NHWC', 'HWIO', 'NHWC')
        )


class NormReLU(nn.Module):
    """Group normalisation (Wu and He, 2018) and ReLU; statistics are float32, the variance is taken in two passes.

    Attributes:
        groups: divides the channels.
        dtype: of the output.
    """

    groups: int
    dtype: Any

    operation: ClassVar[Operation] = 'norm'

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel']) -> Float[Array, 'batch h w channel']:
        """Parameters scale and bias (channel,).

        Raises:
            UserError: the groups do not divide the channels.
        """
        batch, height, width, channels = inputs.shape
        if channels % self.groups:
            where = '/'.join(self.path)
            raise UserError(f'norm_groups={self.groups} does not divide the {channels} channels of {where}')
        scale = self.param('scale', nn.initializers.ones, (channels,), jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, (channels,), jnp.float32)
        x = inputs.astype(jnp.float32).reshape(batch, height * width, self.groups, channels // self.groups)
        x = x - x.mean((1, 3), keepdims=True)
        x = x * jax.lax.rsqrt(jnp.square(x).mean((1, 3), keepdims=True) + EPS)
        return nn.relu(x.reshape(inputs.shape) * scale + bias).astype(self.dtype)


class Stem(nn.Module):
    """A 7×7 convolution with stride 2 and a 3×3 max pool with stride 2, with neither normalisation nor ReLU.

    Attributes:
        width: output channels.
        eps: see `standardised`.
        dtype: computation type.
    """

    width: int
    eps: float
    dtype: Any

    @nn.compact
    def __call__(self, images: Float[Array, 'batch h w channel']) -> Float[Array, 'batch h2 w2 width']:
        """Normalised images to the first features. Module conv."""
        x = StandardisedConv(self.width, 7, 2, self.eps, self.dtype, name='conv')(images)
        # The published weights were trained with zeros around the picture, which win over negative features.
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return nn.max_pool(x, (3, 3), (2, 2))


class Block(nn.Module):
    """A pre-activation bottleneck: three convolutions, each after its normalisation and ReLU; 1×1, 3×3, 1×1.

    Attributes:
        width: of the inner channels; the output has four times as many.
        stride: of the 3×3 convolution and of the shortcut.
        projected: whether the shortcut is a convolution.
        groups: of the normalisations.
        eps: see `standardised`.
        drop_path: stochastic-depth probability.
        dtype: computation type.
    """

    width: int
    stride: int
    projected: bool
    groups: int
    eps: float
    drop_path: float
    dtype: Any

    @nn.compact
    def __call__(
        self, inputs: Float[Array, 'batch h w channel'], *, train: bool, frozen: Sequence[str]
    ) -> Float[Array, 'batch h2 w2 width4']:
        """Modules norm1, conv1, … conv3, and downsample/conv where the shortcut is projected."""
        width, stride = self.width, self.stride
        x, shortcut = inputs, inputs
        layers = ((width, 1, 1), (width, 3, stride), (width * EXPANSION, 1, 1))
        for index, (features, kernel, conv_stride) in enumerate(layers, start=1):
            x = NormReLU(self.groups, self.dtype, name=f'norm{index}')(x)
            if index == 1 and self.projected:
                shortcut = Downsample(width * EXPANSION, stride, self.eps, self.dtype, name='downsample')(x)
            x = StandardisedConv(features, kernel, conv_stride, self.eps, self.dtype, name=f'conv{index}')(x)
        return shortcut + DropPath(self.drop_path, name='drop_path')(x, train=train, frozen=frozen)


class Downsample(nn.Module):
    """The projected shortcut, which reads the normalised features.

    Attributes:
        width: output channels.
        stride: of the convolution.
        eps: see `standardised`.
        dtype: computation type.
    """

    width: int
    stride: int
    eps: float
    dtype: Any

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel']) -> Float[Array, 'batch h2 w2 width']:
        """Module conv."""
        return StandardisedConv(self.width, 1, self.stride, self.eps, self.dtype, name='conv')(inputs)


class Stage(nn.Module):
    """Blocks of one width; the first has a projected shortcut and may halve the sides.

    Attributes:
        width: see `Block`.
        stride: of the first block.
        groups: of the normalisations.
        eps: see `standardised`.
        drop_paths: stochastic-depth probability of each block.
        dtype: computation type.
    """

    width: int
    stride: int
    groups: int
    eps: float
    drop_paths: tuple[float, ...]
    dtype: Any

    @nn.compact
    def __call__(
        self, inputs: Float[Array, 'batch h w channel'], *, train: bool, frozen: Sequence[str]
    ) -> Float[Array, 'batch h2 w2 width4']:
        """Modules block0, block1, …"""
        x = inputs
        for index, drop_path in enumerate(self.drop_paths):
            x = Block(
                self.width,
                stride=self.stride if index == 0 else 1,
                projected=index == 0,
                groups=self.groups,
                eps=self.eps,
                drop_path=drop_path,
                dtype=self.dtype,
                name=f'block{index}',
            )(x, train=train, frozen=frozen)
        return x
