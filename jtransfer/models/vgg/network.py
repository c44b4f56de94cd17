"""VGG: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2015.

With batch normalisation after every convolution: torchvision's `_bn` networks.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.models.backbone import Backbone
from jtransfer.models.layers.batch_norm import BatchNorm
from jtransfer.models.layers.hidden_dense import HE_NORMAL, HiddenDense
from jtransfer.models.mode import Mode

# The dense layers were made for the 7×7 places that 224×224 pixels leave.
GRID = 7


class Stage(nn.Module):
    """3×3 convolutions of one width, each with bias and a ReLU, then a 2×2 max pool with stride 2.

    Attributes:
        convolutions: how many.
        width: output channels.
        batch_norm: whether a batch normalisation precedes every ReLU (the convolutions keep their biases).
        dtype: computation type.
    """

    convolutions: int
    width: int
    batch_norm: bool
    dtype: Any

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel'], mode: Mode) -> Float[Array, 'batch h2 w2 width']:
        """Modules conv1, bn1, conv2, …; an odd side loses its last row in the pool, as in torch."""
        x = inputs
        for index in range(1, self.convolutions + 1):
            x = nn.Conv(
                self.width,
                (3, 3),
                padding=((1, 1), (1, 1)),
                dtype=self.dtype,
                kernel_init=HE_NORMAL,
                name=f'conv{index}',
            )(x)
            if self.batch_norm:
                x = BatchNorm(dtype=self.dtype, name=f'bn{index}')(x, mode)
            x = nn.relu(x)
        return nn.max_pool(x, (2, 2), (2, 2))


class VGG(Backbone):
    """The backbone: stages stage1, stage2, … (`stage1/{conv1,bn1,conv2,…}`) and fc1, fc2 (`fc1/dense`).

    The pooled features are those after fc2's ReLU, so that a new head replaces the last layer alone. Images of other
    sizes than 224×224 are averaged to 7×7 places before fc1, as in torchvision (timm averages after fc2 where there
    are more places).

    torchvision drops the inputs of fc2 and of the head with probability 0.5: that is `dropout=0.5` here and in the
    `Network`, which has the head's, and what `models.create(…, dropout=0.5)` makes.

    Attributes:
        depths: number of convolutions of each stage.
        widths: channels of each stage.
        hidden: features of fc1 and of fc2.
        batch_norm: whether a batch normalisation follows every convolution.
        dropout: dropout probability of the inputs of fc2, in [0, 1).
        dtype: computation type; parameters and statistics are float32.
    """

    input_kernel: ClassVar[str] = 'stage1/conv1/kernel'

    depths: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    hidden: int = 4096
    batch_norm: bool = False
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """The stages with their convolutions, and the two hidden dense layers."""
        convs = [tuple(f'conv{number + 1}' for number in range(depth)) for depth in self.depths]
        return {**{f'stage{index + 1}': names for index, names in enumerate(convs)}, 'fc1': (), 'fc2': ()}

    @property
    def smallest_side(self) -> int:
        """The shortest side of an image of which the pools leave something, pixels."""
        return 2 ** len(self.depths)

    @nn.nowrap
    def depth(self, path: str) -> int:
        """As for every backbone; a batch normalisation belongs to the convolution before it."""
        return super().depth(re.sub(r'^(stage\d+)/bn', r'\1/conv', path))

    def _run(self, name: str, x: Float[Array, 'batch ...'], mode: Mode) -> Float[Array, 'batch ...']:
        index = self.stages.index(name)
        module: nn.Module
        if name == 'fc1':
            module = HiddenDense(self.hidden, GRID, 0.0, self.dtype, name=name)
        elif name == 'fc2':
            module = HiddenDense(self.hidden, 0, self.dropout, self.dtype, name=name)
        else:
            module = Stage(self.depths[index], self.widths[index], self.batch_norm, self.dtype, name=name)
        return module(x, mode)
