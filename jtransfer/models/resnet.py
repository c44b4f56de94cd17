"""ResNet v1.5 with basic and bottleneck blocks, ResNeXt, ResNet-D and the small ResNets for CIFAR.

He et al., Deep Residual Learning for Image Recognition, 2016; v1.5 has the stride of a bottleneck in its 3×3
convolution, as in torchvision and timm. Wide variants: Zagoruyko and Komodakis, Wide Residual Networks, 2016. Grouped
ones: Xie et al., Aggregated Residual Transformations for Deep Neural Networks, 2017. `d` variants: He et al., Bag of
Tricks for Image Classification with Convolutional Neural Networks, 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.config_check import one_of
from jtransfer.errors import UserError
from jtransfer.models.backbone import Backbone
from jtransfer.models.layers import drop_path_rates
from jtransfer.models.resnet_blocks import SHORTCUTS, STEMS, Stage, Stem
from jtransfer.models.stages import selected

BLOCKS = ('basic', 'bottleneck')
EXPANSION = 4


class ResNet(Backbone):
    """The backbone: stages stem, stage1, stage2, … (`stage1/block0/{conv1,bn1,…,downsample/{conv,bn}}`).

    Attributes:
        block: `basic` (two 3×3 convolutions) or `bottleneck` (1×1, 3×3, 1×1, the last one four times as wide).
        depths: number of blocks of each stage.
        widths: channels of each stage (a bottleneck's output has four times as many).
        inner_width: factor on the inner channels of a bottleneck: groups · base width / 64 (2: the wide variants, and
            32 groups of base width 4).
        groups: of the channels in the 3×3 convolutions of a bottleneck.
        stem: `imagenet`, `deep` or `cifar`, see `Stem`.
        stem_width: channels of the stem.
        shortcut: of the blocks that change the shape, `conv`, `pool` or `pad`, see `Shortcut`.
        drop_path: stochastic-depth probability of the last block, in [0, 1).
        dtype: computation type; parameters and statistics are float32.
        norm_axis_name: see `BatchNorm.axis_name`.
    """

    block: str
    depths: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512)
    inner_width: int = 1
    groups: int = 1
    stem: str = 'imagenet'
    stem_width: int = 64
    shortcut: str = 'conv'
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
            UserError: `start` or `stop` is not a stage, or a field has a value that it cannot have.
        """
        self._check()
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

    def _check(self) -> None:
        one_of('block', self.block, BLOCKS)
        one_of('stem', self.stem, STEMS)
        one_of('shortcut', self.shortcut, SHORTCUTS)
        if self.block == 'basic' and (self.groups, self.inner_width) != (1, 1):
            raise UserError('a basic block has no inner channels: groups and inner_width must be 1')

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
            groups=self.groups,
            shortcut=self.shortcut,
            name=name,
        )
