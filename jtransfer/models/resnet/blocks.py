"""The parts of a ResNet: stems, residual blocks, shortcuts and stages."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.errors import UserError
from jtransfer.models.layers.batch_norm import BatchNorm
from jtransfer.models.layers.common import DropPath, conv
from jtransfer.models.layers.grouped_conv import GroupedConv
from jtransfer.models.mode import Mode

STEMS = ('imagenet', 'deep', 'cifar')
SHORTCUTS = ('conv', 'pool', 'pad')


class Stem(nn.Module):
    """The first convolutions, each with batch normalisation and ReLU, and for large images a max pool.

    Attributes:
        width: output channels.
        kind: `imagenet` (7×7 with stride 2, then a 3×3 max pool with stride 2), `deep` (three 3×3 convolutions, the
            first with stride 2, in the place of the 7×7; ResNet-C of He et al., Bag of Tricks for Image
            Classification, 2019) or `cifar` (3×3 alone; the image's sides stay; section 4.2 of He et al., 2016).
        dtype: computation type.
    """

    width: int
    kind: str
    dtype: Any

    @nn.compact
    def __call__(self, images: Float[Array, 'batch h w channel'], mode: Mode) -> Float[Array, 'batch h2 w2 width']:
        """Normalised images to the first features. Modules conv and bn, in a deep stem also conv2, bn2, conv3, bn3."""
        half = self.width // 2
        widths = (half, half, self.width) if self.kind == 'deep' else (self.width,)
        kernel = 7 if self.kind == 'imagenet' else 3
        x = images
        for index, width in enumerate(widths):
            number = str(index + 1) if index else ''
            stride = 2 if index == 0 and self.kind != 'cifar' else 1
            x = conv(width, kernel, stride=stride, dtype=self.dtype, name=f'conv{number}')(x)
            norm = BatchNorm(dtype=self.dtype, name=f'bn{number}')
            x = nn.relu(norm(x, mode))
        return x if self.kind == 'cifar' else nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))


class Block(nn.Module):
    """A residual block: the ReLU comes after the addition, the last normalisation starts at zero.

    Attributes:
        kernels: sides of the convolutions' kernels, `(3, 3)` (basic) or `(1, 3, 1)` (bottleneck).
        widths: their output channels; the last is the block's own.
        stride: of the first 3×3 convolution, and of the shortcut.
        drop_path: stochastic-depth probability.
        dtype: computation type.
        groups: of the channels in 3×3 convolutions.
        shortcut: see `Shortcut`.
    """

    kernels: tuple[int, ...]
    widths: tuple[int, ...]
    stride: int
    drop_path: float
    dtype: Any
    groups: int = 1
    shortcut: str = 'conv'

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel'], mode: Mode) -> Float[Array, 'batch h2 w2 width']:
        """Modules conv1, bn1, … and, where the shape changes and a convolution sees to it, downsample/{conv,bn}."""
        x = inputs
        for index, (kernel, width) in enumerate(zip(self.kernels, self.widths, strict=True)):
            last = index == len(self.kernels) - 1
            stride = self.stride if index == self.kernels.index(3) else 1
            name = f'conv{index + 1}'
            if kernel == 3 and self.groups > 1:
                x = GroupedConv(width, kernel, self.groups, stride, self.dtype, name=name)(x)
            else:
                x = conv(width, kernel, stride=stride, dtype=self.dtype, name=name)(x)
            x = BatchNorm(
                dtype=self.dtype,
                # The block starts as the identity (Goyal et al., Accurate, Large Minibatch SGD, 2017).
                scale_init=nn.initializers.zeros if last else nn.initializers.ones,
                name=f'bn{index + 1}',
            )(x, mode)
            x = x if last else nn.relu(x)
        shortcut = inputs
        if self.stride != 1 or inputs.shape[-1] != self.widths[-1]:
            shortcut = Shortcut(self.widths[-1], self.stride, self.shortcut, self.dtype, name='downsample')(
                inputs, mode
            )
        x = DropPath(self.drop_path, name='drop_path')(x, mode)
        return nn.relu(x + shortcut)


class Shortcut(nn.Module):
    """What brings a block's input into the shape of its output.

    Attributes:
        width: output channels.
        stride: 1 or 2.
        kind: `conv` (a 1×1 convolution with the stride, and a batch normalisation), `pool` (the same without stride
            after a 2×2 average pool; ResNet-D of He et al., Bag of Tricks for Image Classification, 2019) or `pad`
            (every stride-th place, and channels of zeros, half of them in front; option A of He et al., 2016, as in
            github.com/akamaster/pytorch_resnet_cifar10).
        dtype: computation type.
    """

    width: int
    stride: int
    kind: str
    dtype: Any

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel'], mode: Mode) -> Float[Array, 'batch h2 w2 width']:
        """Modules conv and bn, or none.

        Raises:
            UserError: a padded shortcut to fewer channels.
        """
        if self.kind == 'pad':
            return self._padded(inputs)
        x, stride = inputs, self.stride
        if self.kind == 'pool' and stride == 2:
            # The pool of an odd side ends with a window half of which is beyond the edge and does not count.
            over = [(0, side % 2) for side in x.shape[1:3]]
            x, stride = nn.avg_pool(x, (2, 2), (2, 2), padding=over, count_include_pad=False), 1
        x = conv(self.width, 1, stride=stride, dtype=self.dtype, name='conv')(x)
        return BatchNorm(dtype=self.dtype, name='bn')(x, mode)

    def _padded(self, inputs: Float[Array, 'batch h w channel']) -> Float[Array, 'batch h2 w2 width']:
        more = self.width - inputs.shape[-1]
        if more < 0:
            raise UserError(
                f"shortcut='pad' cannot go from {inputs.shape[-1]} to {self.width} channels: widths must not shrink"
            )
        x = inputs[:, :: self.stride, :: self.stride]
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (more // 2, more - more // 2)))


class Stage(nn.Module):
    """Blocks of one width; the first one may halve the sides.

    Attributes:
        kernels: see `Block`.
        widths: see `Block`.
        stride: of the first block.
        drop_paths: stochastic-depth probability of each block.
        dtype: computation type.
        groups: see `Block`.
        shortcut: see `Shortcut`.
    """

    kernels: tuple[int, ...]
    widths: tuple[int, ...]
    stride: int
    drop_paths: tuple[float, ...]
    dtype: Any
    groups: int = 1
    shortcut: str = 'conv'

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel'], mode: Mode) -> Float[Array, 'batch h2 w2 width']:
        """Modules block0, block1, …"""
        x = inputs
        for index, drop_path in enumerate(self.drop_paths):
            x = Block(
                self.kernels,
                self.widths,
                stride=self.stride if index == 0 else 1,
                drop_path=drop_path,
                dtype=self.dtype,
                groups=self.groups,
                shortcut=self.shortcut,
                name=f'block{index}',
            )(x, mode)
        return x
