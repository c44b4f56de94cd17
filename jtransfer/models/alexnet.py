"""AlexNet with one tower: Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014.

No grouped convolutions and no local response normalisation, unlike Krizhevsky et al., ImageNet Classification with Deep
Convolutional Neural Networks, 2012. It is what torchvision calls alexnet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.errors import UserError
from jtransfer.models.backbone import Backbone
from jtransfer.models.hidden_dense import HE_NORMAL, HiddenDense
from jtransfer.models.pooling import check_sides
from jtransfer.models.stages import selected

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
    smallest_side: ClassVar[int] = 63

    widths: tuple[int, ...] = (64, 192, 384, 256, 256)
    hidden: int = 4096
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @property
    def dropout_before_head(self) -> bool:
        """False: fc2's output goes into the head as it is."""
        return False

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return ('stage1', 'stage2', 'stage3', 'stage4', 'stage5', 'fc1', 'fc2')

    @property
    def head_depth(self) -> int:
        """The layer number of what comes after the backbone: the number of its layers."""
        return len(self.stages)

    @nn.nowrap
    def depth(self, path: str) -> int:
        """Layer number of a parameter (path below the backbone): every stage is one layer.

        Raises:
            UserError: the path begins with no stage.
        """
        stage = path.split('/')[0]
        if stage not in self.stages:
            raise UserError(f"'{path}' is in none of the stages {', '.join(self.stages)}")
        return self.stages.index(stage)

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
            train: dropout.
            frozen: module-path prefixes that run in evaluation mode all the same, see `is_frozen`.
            start: the first stage to run. None: stage1.
            stop: the last stage to run. None: the last.

        Returns:
            The output of every stage run, (batch, h, w, channel) or (batch, feature), and, when the last stage was
            among them, 'pooled': that of fc2, float32.

        Raises:
            UserError: `start` or `stop` is not a stage, or an image side below 63 pixels.
        """
        running = selected(self.stages, start, stop)
        if running[0] == self.stages[0]:
            check_sides(inputs, self.smallest_side)
        features = {}
        x = inputs
        for name in running:
            if name in ('fc1', 'fc2'):
                grid = GRID if name == 'fc1' else 0
                x = HiddenDense(self.hidden, grid, self.dropout, self.dtype, name=name)(x, train=train, frozen=frozen)
            else:
                index = self.stages.index(name)
                x = Stage(self.widths[index], *_CONVOLUTIONS[index], self.dtype, name=name)(x)
            features[name] = x
        if running[-1] == self.stages[-1]:
            features['pooled'] = x.astype(jnp.float32)
        return features
