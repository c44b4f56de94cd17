"""The hidden dense layers before the heads of AlexNet and VGG."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from jtransfer.models.layers.pooling import adaptive_average_pool
from jtransfer.models.mode import Mode

# Keeps the activations' scale through layers of ReLUs (He et al., Delving Deep into Rectifiers, 2015).
HE_NORMAL = nn.initializers.he_normal()


class HiddenDense(nn.Module):
    """Dropout, a dense layer and a ReLU.

    Attributes:
        width: outputs.
        grid: a picture is averaged to grid × grid places and flattened (h, w, channel). 0: the input is flat already.
        dropout: probability that an input is left out, in [0, 1).
        dtype: computation type.
    """

    width: int
    grid: int
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch ...'], mode: Mode) -> Float[Array, 'batch width']:
        """Module dense: kernel (grid · grid · channel, width) and bias (width,)."""
        x = inputs
        if self.grid:
            x = adaptive_average_pool(x, self.grid, self.grid).reshape(x.shape[0], -1)
        if self.dropout > 0 and mode.trains(self.path):
            x = nn.Dropout(self.dropout, name='drop')(x, deterministic=False)
        x = nn.Dense(self.width, dtype=self.dtype, kernel_init=HE_NORMAL, name='dense')(x)
        return nn.relu(x)
