"""ResNet v1.5 with basic and bottleneck blocks, ResNeXt, ResNet-D and the small ResNets for CIFAR.

He et al., Deep Residual Learning for Image Recognition, 2016; v1.5 has the stride of a bottleneck in its 3×3
convolution, as in torchvision and timm. Wide variants: Zagoruyko and Komodakis, Wide Residual Networks, 2016. Grouped
ones: Xie et al., Aggregated Residual Transformations for Deep Neural Networks, 2017. `d` variants: He et al., Bag of
Tricks for Image Classification with Convolutional Neural Networks, 2019.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.checks import one_of
from jtransfer.errors import UserError
from jtransfer.models.backbone import Backbone
from jtransfer.models.layers.common import stage_drop_path_rates
from jtransfer.models.mode import Mode
from jtransfer.models.resnet.blocks import SHORTCUTS, STEMS, Stage, Stem
from jtransfer.models.stages import block_names

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

    @property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """The stem, the stages with their blocks."""
        stages = {f'stage{index + 1}': block_names(depth) for index, depth in enumerate(self.depths)}
        return {'stem': (), **stages}

    def __post_init__(self) -> None:
        """Raises `UserError` for a field that has a value it cannot have."""
        one_of('block', self.block, BLOCKS)
        one_of('stem', self.stem, STEMS)
        one_of('shortcut', self.shortcut, SHORTCUTS)
        if self.block == 'basic' and (self.groups, self.inner_width) != (1, 1):
            raise UserError('a basic block has no inner channels: groups and inner_width must be 1')
        super().__post_init__()

    def _run(self, name: str, x: Float[Array, 'batch ...'], mode: Mode) -> Float[Array, 'batch ...']:
        index = self.stages.index(name) - 1
        if name == 'stem':
            return Stem(self.stem_width, self.stem, self.dtype, name=name)(x, mode)
        inner = self.widths[index] * self.inner_width
        bottleneck = self.block == 'bottleneck'
        return Stage(
            kernels=(1, 3, 1) if bottleneck else (3, 3),
            widths=(inner, inner, self.widths[index] * EXPANSION) if bottleneck else (self.widths[index],) * 2,
            stride=1 if index == 0 else 2,
            drop_paths=stage_drop_path_rates(self.drop_path, self.depths, index),
            dtype=self.dtype,
            groups=self.groups,
            shortcut=self.shortcut,
            name=name,
        )(x, mode)
