"""AlexNet with one tower: Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014.

No grouped convolutions and no local response normalisation, unlike Krizhevsky et al., ImageNet Classification with Deep
Convolutional Neural Networks, 2012. It is what torchvision calls alexnet.
"""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.models.backbone import Backbone
from jtransfer.models.layers.hidden_dense import HE_NORMAL, HiddenDense
from jtransfer.models.mode import Mode

# Kernel, stride and padding of each convolution, and whether a max pool (3×3, stride 2, unpadded) follows.
_CONVOLUTIONS = ((11, 4, 2, True), (5, 1, 2, True), (3, 1, 1, False), (3, 1, 1, False), (3, 1, 1, True))
# The dense layers were made for the 6×6 places that 224×224 pixels leave.
GRID = 6


class Stage(nn.Module):
    """A convolution with bias, a ReLU, and perhaps a max pool.

    Attributes:
        width: output channels.
        kernel: side of the convolution's kernel.
        stride: of the convolution.
        padding: of the convolution, on every side.
        pool: whether a 3×3 max pool with stride 2 follows.
        dtype: computation type.
    """

    width: int
    kernel: int
    stride: int
    padding: int
    pool: bool
    dtype: Any

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel']) -> Float[Array, 'batch h2 w2 width']:
        """Module conv."""
        x = nn.Conv(
            self.width,
            (self.kernel, self.kernel),
            (self.stride, self.stride),
            padding=((self.padding, self.padding),) * 2,
            dtype=self.dtype,
            kernel_init=HE_NORMAL,
            name='conv',
        )(inputs)
        x = nn.relu(x)
        return nn.max_pool(x, (3, 3), (2, 2)) if self.pool else x


class AlexNet(Backbone):
    """The backbone: stages stage1 … stage5 (`stage1/conv`) and fc1, fc2 (`fc1/dense`).

    The pooled features are those after fc2's ReLU, so that a new head replaces the last layer alone. Images of other
    sizes than 224×224 are averaged to 6×6 places before fc1, as in torchvision.

    As in torchvision, dropout is for the inputs of fc1 and of fc2 (there with probability 0.5), not for those of the
    head.

    Attributes:
        widths: channels of the five convolutions.
        hidden: features of fc1 and of fc2.
        dropout: dropout probability of the inputs of fc1 and of fc2, in [0, 1).
        dtype: computation type; parameters are float32.
    """

    input_kernel: ClassVar[str] = 'stage1/conv/kernel'

    widths: tuple[int, ...] = (64, 192, 384, 256, 256)
    hidden: int = 4096
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @property
    def dropout_before_head(self) -> bool:
        """False: fc2's output goes into the head as it is."""
        return False

    @property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """Every stage is one layer."""
        return {name: () for name in ('stage1', 'stage2', 'stage3', 'stage4', 'stage5', 'fc1', 'fc2')}

    @property
    def smallest_side(self) -> int:
        """The shortest side of an image of which the pools leave something, pixels."""
        return 63

    def _run(self, name: str, x: Float[Array, 'batch ...'], mode: Mode) -> Float[Array, 'batch ...']:
        if name in ('fc1', 'fc2'):
            grid = GRID if name == 'fc1' else 0
            return HiddenDense(self.hidden, grid, self.dropout, self.dtype, name=name)(x, mode)
        index = self.stages.index(name)
        return Stage(self.widths[index], *_CONVOLUTIONS[index], self.dtype, name=name)(x)
