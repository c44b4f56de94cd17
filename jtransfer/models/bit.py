"""BiT: ResNets of pre-activation blocks with group normalisation and standardised weights.

Kolesnikov et al., Big Transfer (BiT): General Visual Representation Learning, 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.errors import UserError
from jtransfer.models.backbone import Backbone
from jtransfer.models.bit_blocks import NormReLU, Stage, Stem
from jtransfer.models.layers import drop_path_rates
from jtransfer.models.stages import selected


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
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return ('stem', *(f'stage{index + 1}' for index in range(len(self.depths))), 'norm')

    @property
    def head_depth(self) -> int:
        """The layer number of what comes after the blocks: 1 + their number."""
        return 1 + sum(self.depths)

    @nn.nowrap
    def depth(self, path: str) -> int:
        """Layer number of a parameter (path below the backbone): the stem is 0, every block counts one.

        The last normalisation is one with the head.

        Raises:
            UserError: the path begins with no stage and block.
        """
        stage, _, below = path.partition('/')
        if stage in ('stem', 'norm'):
            return 0 if stage == 'stem' else self.head_depth
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
            train: stochastic depth.
            frozen: module-path prefixes that run in evaluation mode all the same, see `is_frozen`.
            start: the first stage to run. None: the stem.
            stop: the last stage to run. None: the last.

        Returns:
            The output of every stage run (batch, h, w, channel) and, when the last stage was among them, 'pooled':
            its mean over the picture, float32 (batch, channel).

        Raises:
            UserError: `start` or `stop` is not a stage, or the groups do not divide the channels.
        """
        running = selected(self.stages, start, stop)
        drop_paths = drop_path_rates(self.drop_path, sum(self.depths))
        features = {}
        x = inputs
        for name in running:
            if name == 'stem':
                x = Stem(self.stem_width, self.standardise_eps, self.dtype, name=name)(x)
            elif name == 'norm':
                x = NormReLU(self.norm_groups, self.dtype, name=name)(x)
            else:
                x = self._stage(name, drop_paths)(x, train=train, frozen=frozen)
            features[name] = x
        if running[-1] == self.stages[-1]:
            features['pooled'] = x.astype(jnp.float32).mean((1, 2))
        return features

    def _stage(self, name: str, drop_paths: tuple[float, ...]) -> Stage:
        index = self.stages.index(name) - 1
        before = sum(self.depths[:index])
        return Stage(
            self.widths[index],
            stride=1 if index == 0 else 2,
            groups=self.norm_groups,
            eps=self.standardise_eps,
            drop_paths=drop_paths[before : before + self.depths[index]],
            dtype=self.dtype,
            name=name,
        )
