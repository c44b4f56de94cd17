"""GoogLeNet with batch normalisation: Szegedy et al., Going Deeper with Convolutions, 2015; as torchvision has it.

The normalisation is that of Ioffe and Szegedy, Batch Normalization, 2015. The third branch of a block, 5×5 in the
paper, is 3×3 in the published weights (torchvision issue 906), and so it is here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.models.auxiliary import Auxiliary
from jtransfer.models.backbone import Backbone
from jtransfer.models.googlenet.blocks import BLOCKS, AuxiliaryHead, Stage, Stem
from jtransfer.models.mode import EVALUATION, Mode
from jtransfer.models.stages import selected

# Table 1 of the paper: channels of branch1, branch2_reduce, branch2, branch3_reduce, branch3, branch4.
PUBLISHED = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
# Sides of the max pools that end stage3 and stage4; the latter is 3 in the paper and 2 in the published weights.
POOLS = (3, 2, 0)
# Weight of an auxiliary head's loss, section 5 of the paper.
AUX_WEIGHT = 0.3


class GoogLeNet(Backbone):
    """The backbone: stages stem (`stem/conv1/{conv,bn}`), stage3, stage4, stage5 (`stage3/a/branch1/{conv,bn}`).

    Block `stage4/b` is the paper's inception (4b). Every stage but the last ends with its max pool.

    The published weights want pixels of mean 0.5 and standard deviation 0.5. torchvision feeds them pixels normalised
    as for its other networks and takes that back in the first step (`transform_input=True`), which comes to the same.

    With `aux`, two auxiliary heads, `head/aux1` and `head/aux2`, read the outputs of stage4's blocks a and d in
    training. Those of the published file are not trained.

    Attributes:
        stem_widths: channels of the stem's three convolutions.
        blocks: for stage3, stage4 and stage5, the widths of each block, see `Inception`.
        aux: whether there are auxiliary heads (stage4 must have four blocks or more).
        aux_widths: channels of their convolution and of their hidden layer.
        aux_dropout: dropout probability before their last layer, in [0, 1).
        dtype: computation type; parameters and statistics are float32.
    """

    input_kernel: ClassVar[str] = 'stem/conv1/conv/kernel'
    smallest_side: ClassVar[int] = 15

    stem_widths: tuple[int, ...] = (64, 64, 192)
    blocks: tuple[tuple[tuple[int, ...], ...], ...] = PUBLISHED
    aux: bool = False
    aux_widths: tuple[int, int] = (128, 1024)
    aux_dropout: float = 0.7
    dtype: Any = jnp.float32

    @property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """The stem, and the stages with their blocks."""
        stages = {f'stage{index + 3}': tuple(BLOCKS[: len(blocks)]) for index, blocks in enumerate(self.blocks)}
        return {'stem': (), **stages}

    @property
    def auxiliaries(self) -> tuple[Auxiliary, ...]:
        """The two auxiliary heads, if there are any."""
        if not self.aux:
            return ()
        make = functools.partial(
            AuxiliaryHead,
            widths=self.aux_widths,
            dropout=self.aux_dropout,
            dtype=self.dtype,
        )
        features = {'aux1': 'stage4/a', 'aux2': 'stage4/d'}
        return tuple(Auxiliary(name, feature, AUX_WEIGHT, make) for name, feature in features.items())

    @nn.compact
    def __call__(
        self,
        inputs: Mapping[str, Array] | Float[Array, 'batch ...'],
        mode: Mode = EVALUATION,
        *,
        start: str | None = None,
        stop: str | None = None,
    ) -> dict[str, Float[Array, 'batch ...']]:
        """Runs the stages from `start` up to and including `stop`.

        Args:
            inputs: see `Backbone.__call__`.
            mode: of the pass.
            start: the first stage to run. None: the stem.
            stop: the last stage to run. None: the last.

        Returns:
            The output of every stage run (batch, h, w, channel); where stage4 was among them, what auxiliary heads
            read ('stage4/a', 'stage4/d'); and where the last stage was, 'pooled': its mean over the picture, float32
            (batch, channel).

        Raises:
            UserError: `start` or `stop` is not a stage, or an image side below 15 pixels.
        """
        running = selected(self.stages, start, stop)
        read = {auxiliary.feature for auxiliary in self.auxiliaries}
        features: dict[str, Array] = {}
        x = self.first_input(inputs, start)
        for name in running:
            if name == 'stem':
                stem = Stem(self.stem_widths, self.dtype, name=name)
                x = stem(x, mode)
            else:
                index = self.stages.index(name) - 1
                stage = Stage(self.blocks[index], POOLS[index], self.dtype, name=name)
                x, blocks = stage(x, mode)
                outputs = {f'{name}/{block}': output for block, output in blocks.items()}
                features |= {feature: output for feature, output in outputs.items() if feature in read}
            features[name] = x
        if running[-1] == self.stages[-1]:
            features['pooled'] = x.astype(jnp.float32).mean((1, 2))
        return features
