"""ResNet v1.5 with basic and bottleneck blocks.

He et al., Deep Residual Learning for Image Recognition, 2016; v1.5 has the stride of a bottleneck in its 3×3
convolution, as in torchvision and timm. Wide variants: Zagoruyko and Komodakis, Wide Residual Networks, 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.errors import UserError
from jtransfer.models.backbone import Backbone
from jtransfer.models.batch_norm import BatchNorm
from jtransfer.models.layers import DropPath, conv, drop_path_rates
from jtransfer.models.stages import selected

EXPANSION = 4


class Stem(nn.Module):
    """The first convolution: 7×7 with stride 2 and a 3×3 max pool with stride 2, or for small images 3×3 alone.

    Attributes:
        width: output channels.
        kind: `imagenet` (the image's side shrinks fourfold) or `cifar` (it stays; section 4.2 of He et al.).
        dtype: computation type.
        norm_axis_name: see `BatchNorm.axis_name`.
    """

    width: int
    kind: str
    dtype: Any
    norm_axis_name: str | None

    @nn.compact
    def __call__(
        self, images: Float[Array, 'batch h w channel'], *, train: bool, frozen: Sequence[str]
    ) -> Float[Array, 'batch h2 w2 width']:
        """Normalised images to the first features."""
        small = self.kind == 'cifar'
        kernel, stride = (3, 1) if small else (7, 2)
        x = conv(self.width, kernel, stride=stride, dtype=self.dtype, name='conv')(images)
        x = BatchNorm(axis_name=self.norm_axis_name, dtype=self.dtype, name='bn')(x, train=train, frozen=frozen)
        x = nn.relu(x)
        return x if small else nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))


class Block(nn.Module):
    """A residual block: the ReLU comes after the addition, the last normalisation starts at zero.

    Attributes:
        kernels: sides of the convolutions' kernels, `(3, 3)` (basic) or `(1, 3, 1)` (bottleneck).
        widths: their output channels; the last is the block's own.
        stride: of the first 3×3 convolution, and of the shortcut.
        drop_path: stochastic-depth probability.
        dtype: computation type.
        norm_axis_name: see `BatchNorm.axis_name`.
    """

    kernels: tuple[int, ...]
    widths: tuple[int, ...]
    stride: int
    drop_path: float
    dtype: Any
    norm_axis_name: str | None

    @nn.compact
    def __call__(
        self, inputs: Float[Array, 'batch h w channel'], *, train: bool, frozen: Sequence[str]
    ) -> Float[Array, 'batch h2 w2 width']:
        """Modules conv1, bn1, … and, where the shape changes, downsample/conv and downsample/bn."""
        x = inputs
        for index, (kernel, width) in enumerate(zip(self.kernels, self.widths, strict=True)):
            last = index == len(self.kernels) - 1
            stride = self.stride if index == self.kernels.index(3) else 1
            x = conv(width, kernel, stride=stride, dtype=self.dtype, name=f'conv{index + 1}')(x)
            x = BatchNorm(
                axis_name=self.norm_axis_name,
                dtype=self.dtype,
                # The block starts as the identity (Goyal et al., Accurate, Large Minibatch SGD, 2017).
                scale_init=nn.initializers.zeros if last else nn.initializers.ones,
                name=f'bn{index + 1}',
            )(x, train=train, frozen=frozen)
            x = x if last else nn.relu(x)
        shortcut = inputs
        if self.stride != 1 or inputs.shape[-1] != self.widths[-1]:
            shortcut = Downsample(self.widths[-1], self.stride, self.dtype, self.norm_axis_name, name='downsample')(
                inputs, train=train, frozen=frozen
            )
        x = DropPath(self.drop_path, name='drop_path')(x, train=train, frozen=frozen)
        return nn.relu(x + shortcut)


class Downsample(nn.Module):
    """The projection shortcut: a 1×1 convolution and a batch normalisation.

    Attributes:
        width: output channels.
        stride: of the convolution.
        dtype: computation type.
        norm_axis_name: see `BatchNorm.axis_name`.
    """

    width: int
    stride: int
    dtype: Any
    norm_axis_name: str | None

    @nn.compact
    def __call__(
        self, inputs: Float[Array, 'batch h w channel'], *, train: bool, frozen: Sequence[str]
    ) -> Float[Array, 'batch h2 w2 width']:
        """Modules conv and bn."""
        x = conv(self.width, 1, stride=self.stride, dtype=self.dtype, name='conv')(inputs)
        return BatchNorm(axis_name=self.norm_axis_name, dtype=self.dtype, name='bn')(x, train=train, frozen=frozen)


class Stage(nn.Module):
    """Blocks of one width; the first one may halve the sides.

    Attributes:
        kernels: see `Block`.
        widths: see `Block`.
        stride: of the first block.
        drop_paths: stochastic-depth probability of each block.
        dtype: computation type.
        norm_axis_name: see `BatchNorm.axis_name`.
    """

    kernels: tuple[int, ...]
    widths: tuple[int, ...]
    stride: int
    drop_paths: tuple[float, ...]
    dtype: Any
    norm_axis_name: str | None

    @nn.compact
    def __call__(
        self, inputs: Float[Array, 'batch h w channel'], *, train: bool, frozen: Sequence[str]
    ) -> Float[Array, 'batch h2 w2 width']:
        """Modules block0, block1, …"""
        x = inputs
        for index, drop_path in enumerate(self.drop_paths):
            stride = self.stride if index == 0 else 1
            x = Block(
                self.kernels, self.widths, stride, drop_path, self.dtype, self.norm_axis_name, name=f'block{index}'
            )(x, train=train, frozen=frozen)
        return x


class ResNet(Backbone):
    """The backbone: stages stem, stage1, stage2, … (`stage1/block0/{conv1,bn1,…,downsample/{conv,bn}}`).

    Attributes:
        block: `basic` (two 3×3 convolutions) or `bottleneck` (1×1, 3×3, 1×1, the last one four times as wide).
        depths: number of blocks of each stage.
        widths: channels of each stage (a bottleneck's output has four times as many).
        inner_width: factor on the inner channels of a bottleneck (2: the wide variants).
        stem: `imagenet` or `cifar`, see `Stem`.
        stem_width: channels of the stem.
        drop_path: stochastic-depth probability of the last block, in [0, 1).
        dtype: computation type; parameters and statistics are float32.
        norm_axis_name: see `BatchNorm.axis_name`.
    """

    block: str
    depths: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512)
    inner_width: int = 1
    stem: str = 'imagenet'
    stem_width: int = 64
    drop_path: float = 0.0
    dtype: Any = jnp.float32
    norm_axis_name: str | None = None

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return ('stem', *(f'stage{index + 1}' for index in range(len(self.depths))))

    @property
    def head_depth(self) -> int:
        """The layer number of what comes after the backbone: 1 + the number of blocks."""
        return 1 + sum(self.depths)

    @nn.nowrap
    def depth(self, path: str) -> int:
        """Layer number of a parameter (path below the backbone): the stem is 0, every block counts one.

        Raises:
            UserError: the path begins with no stage and block.
        """
        stage, _, below = path.partition('/')
        if stage == 'stem':
            return 0
        if stage in self.stages:
            index = self.stages.index(stage) - 1
            blocks = [f'block{block}' for block in range(self.depths[index])]
            if below.split('/')[0] in blocks:
                return 1 + sum(self.depths[:index]) + blocks.index(below.split('/')[0])
        raise UserError(f"'{path}' is in none of the blocks of the stages {', '.join(self.stages)}")

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, 'batch h w channel'],
        *,
        train: bool = False,
        frozen: Sequence[str] = (),
        start: str | None = None,
        stop: str | None = None,
    ) -> dict[str, Float[Array, 'batch ...']]:
        """Runs the stages from `start` up to and including `stop`.

        Args:
            inputs: normalised images, or, with `start`, the output of the stage before it.
            train: batch statistics and stochastic depth.
            frozen: module-path prefixes that run in evaluation mode all the same, see `is_frozen`.
            start: the first stage to run. None: the stem.
            stop: the last stage to run. None: the last.

        Returns:
            The output of every stage run (batch, h, w, channel) and, when the last stage was among them, 'pooled':
            its mean over the picture, float32 (batch, channel).

        Raises:
            UserError: `start` or `stop` is not a stage.
        """
        running = selected(self.stages, start, stop)
        drop_paths = drop_path_rates(self.drop_path, sum(self.depths))
        features = {}
        x = inputs
        for name in running:
            x = self._stage(name, drop_paths)(x, train=train, frozen=frozen)
            features[name] = x
        if running[-1] == self.stages[-1]:
            features['pooled'] = x.astype(jnp.float32).mean((1, 2))
        return features

    def _stage(self, name: str, drop_paths: tuple[float, ...]) -> nn.Module:
        if name == 'stem':
            return Stem(self.stem_width, self.stem, self.dtype, self.norm_axis_name, name=name)
        index = self.stages.index(name) - 1
        width, before = self.widths[index], sum(self.depths[:index])
        inner = width * self.inner_width
        bottleneck = self.block == 'bottleneck'
        return Stage(
            kernels=(1, 3, 1) if bottleneck else (3, 3),
            widths=(inner, inner, width * EXPANSION) if bottleneck else (width, width),
            stride=1 if index == 0 else 2,
            drop_paths=drop_paths[before : before + self.depths[index]],
            dtype=self.dtype,
            norm_axis_name=self.norm_axis_name,
            name=name,
        )
