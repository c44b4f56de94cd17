"""VGG: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2015.

With batch normalisation after every convolution: torchvision's `_bn` networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.errors import UserError
from jtransfer.models.backbone import Backbone
from jtransfer.models.batch_norm import BatchNorm
from jtransfer.models.hidden_dense import HE_NORMAL, HiddenDense
from jtransfer.models.pooling import check_sides
from jtransfer.models.stages import selected

# The dense layers were made for the 7×7 places that 224×224 pixels leave.
GRID = 7


class Stage(nn.Module):
    """3×3 convolutions of one width, each with bias and a ReLU, then a 2×2 max pool with stride 2.

    Attributes:
        convolutions: how many.
        width: output channels.
        batch_norm: whether a batch normalisation precedes every ReLU (the convolutions keep their biases).
        dtype: computation type.
        norm_axis_name: see `BatchNorm.axis_name`.
    """

    convolutions: int
    width: int
    batch_norm: bool
    dtype: Any
    norm_axis_name: str | None

    @nn.compact
    def __call__(
        self, inputs: Float[Array, 'batch h w channel'], *, train: bool, frozen: Sequence[str]
    ) -> Float[Array, 'batch h2 w2 width']:
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
                x = BatchNorm(axis_name=self.norm_axis_name, dtype=self.dtype, name=f'bn{index}')(
                    x, train=train, frozen=frozen
                )
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
        norm_axis_name: see `BatchNorm.axis_name`.
    """

    input_kernel: ClassVar[str] = 'stage1/conv1/kernel'

    depths: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    hidden: int = 4096
    batch_norm: bool = False
    dropout: float = 0.0
    dtype: Any = jnp.float32
    norm_axis_name: str | None = None

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return (*(f'stage{index + 1}' for index in range(len(self.depths))), 'fc1', 'fc2')

    @property
    def smallest_side(self) -> int:
        """The shortest side of an image of which the pools leave something, pixels."""
        return 2 ** len(self.depths)

    @property
    def head_depth(self) -> int:
        """The layer number of what comes after the backbone: the number of its convolutions and dense layers."""
        return sum(self.depths) + 2

    @nn.nowrap
    def depth(self, path: str) -> int:
        """Layer number of a parameter (path below the backbone): every convolution and dense layer counts one.

        Raises:
            UserError: the path begins with no stage and layer.
        """
        stage, _, below = path.partition('/')
        if stage in ('fc1', 'fc2'):
            return sum(self.depths) + ('fc1', 'fc2').index(stage)
        if stage in self.stages:
            index, layer = self.stages.index(stage), below.split('/')[0]
            for kind in ('conv', 'bn'):
                layers = [f'{kind}{number + 1}' for number in range(self.depths[index])]
                if layer in layers:
                    return sum(self.depths[:index]) + layers.index(layer)
        raise UserError(f"'{path}' is in none of the layers of the stages {', '.join(self.stages)}")

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, 'batch ...'],
        *,
        train: bool = False,
        frozen: Sequence[str] = (),
        start: str | None = None,
        stop: str | None = None,
    ) -> dict[str, Float[Array, 'batch ...']]:
        """Runs the stages from `start` up to and including `stop`.

        Args:
            inputs: normalised images (batch, h, w, channel), or, with `start`, the output of the stage before it.
            train: batch statistics and dropout.
            frozen: module-path prefixes that run in evaluation mode all the same, see `is_frozen`.
            start: the first stage to run. None: stage1.
            stop: the last stage to run. None: the last.

        Returns:
            The output of every stage run, (batch, h, w, channel) or (batch, feature), and, when the last stage was
            among them, 'pooled': that of fc2, float32.

        Raises:
            UserError: `start` or `stop` is not a stage, or an image side that the pools halve to nothing.
        """
        running = selected(self.stages, start, stop)
        if running[0] == self.stages[0]:
            check_sides(inputs, self.smallest_side)
        features = {}
        x = inputs
        for name in running:
            x = self._stage(name)(x, train=train, frozen=frozen)
            features[name] = x
        if running[-1] == self.stages[-1]:
            features['pooled'] = x.astype(jnp.float32)
        return features

    def _stage(self, name: str) -> nn.Module:
        if name == 'fc1':
            return HiddenDense(self.hidden, GRID, 0.0, self.dtype, name=name)
        if name == 'fc2':
            return HiddenDense(self.hidden, 0, self.dropout, self.dtype, name=name)
        index = self.stages.index(name)
        return Stage(
            self.depths[index], self.widths[index], self.batch_norm, self.dtype, self.norm_axis_name, name=name
        )
