"""MobileNetV2: Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.checks import one_of
from jtransfer.models.backbone import Backbone
from jtransfer.models.layers.batch_norm import BatchNorm
from jtransfer.models.layers.common import HE_NORMAL_FAN_OUT, DropPath, PointwiseConv, stage_drop_path_rates
from jtransfer.models.layers.depthwise import DepthwiseConv, Padding
from jtransfer.models.mode import Mode
from jtransfer.models.stages import block_names

KERNEL = 3
PADDINGS = ('torch', 'tensorflow')


def conv_padding(kind: str, stride: int, height: int, width: int) -> Padding:
    """Zeros around the picture for a 3×3 convolution.

    Args:
        kind: `torch` (one on every side) or `tensorflow` ('SAME': an even side with stride 2 gets its single zero
            at the end; otherwise it is torch's).
        stride: 1 or 2.
        height: of the picture.
        width: of the picture.
    """
    uneven = kind == 'tensorflow' and stride == 2
    rows, columns = ((0, 1) if uneven and side % 2 == 0 else (1, 1) for side in (height, width))
    return rows, columns


class ConvNorm(nn.Module):
    """A convolution without bias, a batch normalisation and, unless it is linear, a ReLU6.

    Attributes:
        kind: `full` (3×3), `depthwise` (3×3, every channel by itself) or `pointwise` (1×1).
        width: output channels (those of the input for `depthwise`).
        stride: of the convolution.
        linear: whether the ReLU6 is left out.
        padding: see `conv_padding`.
        eps: of the batch normalisation.
        dtype: computation type.
    """

    kind: str
    width: int
    stride: int
    linear: bool
    padding: str
    eps: float
    dtype: Any

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel'], mode: Mode) -> Float[Array, 'batch h2 w2 width']:
        """Modules conv and bn."""
        padding = conv_padding(self.padding, self.stride, *inputs.shape[1:3])
        if self.kind == 'pointwise':
            x = PointwiseConv(self.width, dtype=self.dtype, name='conv')(inputs)
        elif self.kind == 'depthwise':
            x = DepthwiseConv(KERNEL, self.stride, padding, dtype=self.dtype, name='conv')(inputs)
        else:
            x = nn.Conv(
                self.width,
                (KERNEL, KERNEL),
                self.stride,
                padding=padding,
                use_bias=False,
                dtype=self.dtype,
                kernel_init=HE_NORMAL_FAN_OUT,
                name='conv',
            )(inputs)
        x = BatchNorm(eps=self.eps, dtype=self.dtype, name='bn')(x, mode)
        return x if self.linear else nn.relu6(x)


class Block(nn.Module):
    """An inverted residual: 1×1 to more channels, 3×3 on each of them, 1×1 to few, without a ReLU after that.

    Attributes:
        width: output channels.
        expansion: inner channels, in multiples of the input's. 1: the first 1×1 convolution is left out.
        stride: of the 3×3 convolution.
        drop_path: stochastic-depth probability, where there is a shortcut.
        conv_norm: fields that all three `ConvNorm` share.
    """

    width: int
    expansion: int
    stride: int
    drop_path: float
    conv_norm: Mapping[str, Any]

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel'], mode: Mode) -> Float[Array, 'batch h2 w2 width']:
        """Modules expand (if the channels grow), depthwise and project, each with conv and bn."""
        inner = inputs.shape[-1] * self.expansion
        parts = {
            'expand': ConvNorm('pointwise', inner, 1, False, **self.conv_norm, name='expand'),
            'depthwise': ConvNorm('depthwise', inner, self.stride, False, **self.conv_norm, name='depthwise'),
            'project': ConvNorm('pointwise', self.width, 1, True, **self.conv_norm, name='project'),
        }
        if self.expansion == 1:
            del parts['expand']
        x = inputs
        for part in parts.values():
            x = part(x, mode)
        if self.stride != 1 or inputs.shape[-1] != self.width:
            return x
        return inputs + DropPath(self.drop_path, name='drop_path')(x, mode)


class Stage(nn.Module):
    """Blocks of one width; the first one may halve the sides.

    Attributes:
        width: see `Block`.
        expansion: see `Block`.
        stride: of the first block.
        drop_paths: stochastic-depth probability of each block.
        conv_norm: see `Block`.
    """

    width: int
    expansion: int
    stride: int
    drop_paths: tuple[float, ...]
    conv_norm: Mapping[str, Any]

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel'], mode: Mode) -> Float[Array, 'batch h2 w2 width']:
        """Modules block0, block1, …"""
        x = inputs
        for index, drop_path in enumerate(self.drop_paths):
            stride = self.stride if index == 0 else 1
            x = Block(self.width, self.expansion, stride, drop_path, self.conv_norm, name=f'block{index}')(x, mode)
        return x


class MobileNetV2(Backbone):
    """The backbone: stages stem, stage1 … stage7, top (`stage2/block0/{expand,depthwise,project}/{conv,bn}`).

    Attributes:
        widths: channels of each stage.
        depths: number of blocks of each stage.
        expansions: of each stage's blocks, see `Block`.
        strides: of each stage's first block.
        stem_width: channels of the first convolution.
        top_width: channels of the last convolution, and of the pooled features.
        padding: `torch` or `tensorflow` (Keras and Google's weights), see `conv_padding`.
        eps: of the batch normalisations (1e-3 in Keras and Google's weights).
        drop_path: stochastic-depth probability of the last block, in [0, 1).
        dtype: computation type; parameters and statistics are float32.
    """

    widths: tuple[int, ...] = (16, 24, 32, 64, 96, 160, 320)
    depths: tuple[int, ...] = (1, 2, 3, 4, 3, 3, 1)
    expansions: tuple[int, ...] = (1, 6, 6, 6, 6, 6, 6)
    strides: tuple[int, ...] = (1, 2, 2, 2, 1, 2, 1)
    stem_width: int = 32
    top_width: int = 1280
    padding: str = 'torch'
    eps: float = 1e-5
    drop_path: float = 0.0
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        """Raises `UserError` for a padding that is neither of the two."""
        super().__post_init__()
        one_of('padding', self.padding, PADDINGS)

    @property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """The stem, the stages with their blocks, the last convolution."""
        stages = {f'stage{index + 1}': block_names(depth) for index, depth in enumerate(self.depths)}
        return {'stem': (), **stages, 'top': ()}

    @property
    def closing(self) -> tuple[str, ...]:
        """The stage top."""
        return ('top',)

    @property
    def head_depth(self) -> int:
        """The layer number of what comes after the blocks: 1 + their number."""
        return 1 + sum(self.depths)

    def _run(self, name: str, x: Float[Array, 'batch ...'], mode: Mode) -> Float[Array, 'batch ...']:
        conv_norm = {
            'padding': self.padding,
            'eps': self.eps,
            'dtype': self.dtype,
        }
        index = self.stages.index(name) - 1
        module: nn.Module
        if name == 'stem':
            module = ConvNorm('full', self.stem_width, 2, False, **conv_norm, name=name)
        elif name == 'top':
            module = ConvNorm('pointwise', self.top_width, 1, False, **conv_norm, name=name)
        else:
            rates = stage_drop_path_rates(self.drop_path, self.depths, index)
            module = Stage(self.widths[index], self.expansions[index], self.strides[index], rates, conv_norm, name=name)
        return module(x, mode)
