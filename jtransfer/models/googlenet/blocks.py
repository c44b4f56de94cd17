"""What GoogLeNet is made of: stem, inception blocks, stages, auxiliary heads.

Szegedy et al., Going Deeper with Convolutions, 2015, with the batch normalisation of Ioffe and Szegedy, 2015.
"""

from __future__ import annotations

import string
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.models.layers.batch_norm import BatchNorm
from jtransfer.models.layers.common import conv
from jtransfer.models.layers.hidden_dense import HiddenDense
from jtransfer.models.layers.pooling import adaptive_average_pool, ceil_max_pool
from jtransfer.models.mode import Mode

EPS = 1e-3
# Names of a stage's blocks.
BLOCKS = string.ascii_lowercase
# Side of the grid that an auxiliary head averages its feature to.
AUX_GRID = 4


class Unit(nn.Module):
    """A convolution without bias, a batch normalisation and a ReLU.

    Attributes:
        width: output channels.
        kernel: side of the kernel.
        stride: of the convolution.
        dtype: computation type.
    """

    width: int
    kernel: int
    stride: int
    dtype: Any

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel'], mode: Mode) -> Float[Array, 'batch h2 w2 width']:
        """Modules conv and bn."""
        x = conv(self.width, self.kernel, stride=self.stride, dtype=self.dtype, name='conv')(inputs)
        norm = BatchNorm(eps=EPS, dtype=self.dtype, name='bn')
        return nn.relu(norm(x, mode))


class Stem(nn.Module):
    """7×7 with stride 2, a max pool, 1×1, 3×3, a max pool: the image's side shrinks eightfold.

    Attributes:
        widths: channels of the three convolutions.
        dtype: computation type.
    """

    widths: tuple[int, ...]
    dtype: Any

    @nn.compact
    def __call__(self, images: Float[Array, 'batch h w channel'], mode: Mode) -> Float[Array, 'batch h2 w2 width']:
        """Modules conv1, conv2, conv3."""
        x = images
        for index, (kernel, stride, pool) in enumerate(((7, 2, True), (1, 1, False), (3, 1, True))):
            x = Unit(self.widths[index], kernel, stride, self.dtype, name=f'conv{index + 1}')(x, mode)
            x = ceil_max_pool(x, 3, 2) if pool else x
        return x


class Inception(nn.Module):
    """Four branches side by side: 1×1; 1×1 and 3×3; 1×1 and 3×3; a 3×3 max pool and 1×1.

    Attributes:
        widths: channels of branch1, branch2_reduce, branch2, branch3_reduce, branch3, branch4.
        dtype: computation type.
    """

    widths: tuple[int, ...]
    dtype: Any

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel'], mode: Mode) -> Float[Array, 'batch h w width']:
        """Modules as in `widths`; the branches' channels one after another."""
        branch1, reduce2, branch2, reduce3, branch3, branch4 = self.widths

        def unit(name: str, width: int, kernel: int, x: Array) -> Array:
            unit = Unit(width, kernel, 1, self.dtype, name=name)
            return unit(x, mode)

        branches = (
            unit('branch1', branch1, 1, inputs),
            unit('branch2', branch2, 3, unit('branch2_reduce', reduce2, 1, inputs)),
            unit('branch3', branch3, 3, unit('branch3_reduce', reduce3, 1, inputs)),
            unit('branch4', branch4, 1, nn.max_pool(inputs, (3, 3), (1, 1), padding=((1, 1), (1, 1)))),
        )
        return jnp.concatenate(branches, axis=-1)


class Stage(nn.Module):
    """Inception blocks, and for all but the last stage a max pool that halves the sides.

    Attributes:
        widths: of each block, see `Inception`.
        pool: side of the pool's window. 0: no pool.
        dtype: computation type.
    """

    widths: tuple[tuple[int, ...], ...]
    pool: int
    dtype: Any

    @nn.compact
    def __call__(
        self, inputs: Float[Array, 'batch h w channel'], mode: Mode
    ) -> tuple[Float[Array, 'batch h2 w2 width'], dict[str, Float[Array, 'batch ...']]]:
        """Modules a, b, …; the stage's output, and the outputs of its blocks by name."""
        blocks = {}
        x = inputs
        for name, widths in zip(BLOCKS, self.widths, strict=False):
            x = Inception(widths, self.dtype, name=name)(x, mode)
            blocks[name] = x
        return (ceil_max_pool(x, self.pool, 2) if self.pool else x), blocks


class AuxiliaryHead(nn.Module):
    """Averages to 4×4 places, then a 1×1 convolution, a hidden dense layer and a dense layer.

    Attributes:
        num_classes: outputs.
        kernel_init: of the last kernel; its bias is zero.
        widths: channels of the convolution and of the hidden layer.
        dropout: dropout probability before the last layer, in [0, 1).
        dtype: computation type; the logits are float32.
    """

    num_classes: int
    kernel_init: nn.initializers.Initializer
    widths: tuple[int, int]
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel'], mode: Mode) -> Float[Array, 'batch output']:
        """Modules conv/{conv,bn}, fc1/dense, fc2."""
        width, hidden = self.widths
        x = adaptive_average_pool(inputs, AUX_GRID, AUX_GRID)
        x = Unit(width, 1, 1, self.dtype, name='conv')(x, mode)
        x = HiddenDense(hidden, AUX_GRID, 0.0, self.dtype, name='fc1')(x, mode)
        if self.dropout > 0 and mode.trains((*self.path, 'fc2')):
            x = nn.Dropout(self.dropout, name='drop')(x, deterministic=False)
        return nn.Dense(self.num_classes, dtype=jnp.float32, kernel_init=self.kernel_init, name='fc2')(x)
