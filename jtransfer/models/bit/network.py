"""BiT: ResNets of pre-activation blocks with group normalisation and standardised weights.

Kolesnikov et al., Big Transfer (BiT): General Visual Representation Learning, 2020.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.models.backbone import Backbone
from jtransfer.models.bit.blocks import NormReLU, Stage, Stem
from jtransfer.models.layers.common import stage_drop_path_rates
from jtransfer.models.mode import Mode
from jtransfer.models.stages import block_names


class BiT(Backbone):
    """The backbone: stages stem, stage1, … (`stage1/block0/{norm1,conv1,…,downsample/conv}`) and norm.

    Attributes:
        depths: number of blocks of each stage.
        widths: inner channels of the blocks of each stage; their outputs have four times as many.
        stem_width: channels of the stem.
        norm_groups: groups of every normalisation.
        standardise_eps: added to the variance of weights: 1e-8 in timm and Hugging Face, 1e-10 in Google's code.
        drop_path: stochastic-depth probability of the last block, in [0, 1).
        dtype: computation type; parameters and statistics are float32.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512)
    stem_width: int = 64
    norm_groups: int = 32
    standardise_eps: float = 1e-8
    drop_path: float = 0.0
    dtype: Any = jnp.float32

    @property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """The stem, the stages with their blocks, the last normalisation."""
        stages = {f'stage{index + 1}': block_names(depth) for index, depth in enumerate(self.depths)}
        return {'stem': (), **stages, 'norm': ()}

    @property
    def closing(self) -> tuple[str, ...]:
        """The stage norm."""
        return ('norm',)

    @property
    def head_depth(self) -> int:
        """The layer number of what comes after the blocks: 1 + their number."""
        return 1 + sum(self.depths)

    def _run(self, name: str, x: Float[Array, 'batch ...'], mode: Mode) -> Float[Array, 'batch ...']:
        if name == 'stem':
            return Stem(self.stem_width, self.standardise_eps, self.dtype, name=name)(x)
        if name == 'norm':
            return NormReLU(self.norm_groups, self.dtype, name=name)(x)
        index = self.stages.index(name) - 1
        return Stage(
            self.widths[index],
            stride=1 if index == 0 else 2,
            groups=self.norm_groups,
            eps=self.standardise_eps,
            drop_paths=stage_drop_path_rates(self.drop_path, self.depths, index),
            dtype=self.dtype,
            name=name,
        )(x, mode)
