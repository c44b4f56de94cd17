"""Layers that the families share: what a frozen module is, stochastic depth, convolutions and layer normalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.models.layers.operation import Operation

HE_NORMAL_FAN_OUT = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


def is_frozen(module_path: Sequence[str], frozen: Sequence[str]) -> bool:
    """Whether a module lies at or under one of the frozen module-path prefixes.

    Args:
        module_path: names from the top of the network, `('backbone', 'stage1', 'block0', 'bn1')`.
        frozen: '/'-joined prefixes, `('backbone/stem', 'backbone/stage1')`; whole names count, so that
            `backbone/block1` does not cover `backbone/block10`.
    """
    path = '/'.join(module_path)
    return any(path == prefix or path.startswith(f'{prefix}/') for prefix in frozen)


class DropPath(nn.Module):
    """Stochastic depth: a residual branch is left out for a whole example, and scaled up where it is kept.

    Huang et al., Deep Networks with Stochastic Depth, 2016. Draws from the random stream `dropout`.

    Attributes:
        rate: probability that an example loses the branch, in [0, 1).
    """

    rate: float

    @nn.compact
    def __call__(
        self, branch: Float[Array, 'batch ...'], *, train: bool, frozen: Sequence[str] = ()
    ) -> Float[Array, 'batch ...']:
        """The branch; unchanged in evaluation, at rate 0, and under a frozen prefix."""
        if not train or self.rate == 0 or is_frozen(self.path, frozen):
            return branch
        shape = branch.shape[:1] + (1,) * (branch.ndim - 1)
        kept = jax.random.bernoulli(self.make_rng('dropout'), 1 - self.rate, shape)
        return jnp.where(kept, branch / (1 - self.rate), jnp.zeros_like(branch))


def drop_path_rates(largest: float, blocks: int) -> tuple[float, ...]:
    """Stochastic-depth probability of each block, rising linearly from 0 to `largest` at the last one.

    The linear rule of Huang et al., Deep Networks with Stochastic Depth, 2016 (as DeiT and timm apply it).
    """
    return tuple(largest * index / max(blocks - 1, 1) for index in range(blocks))


def stage_drop_path_rates(largest: float, depths: Sequence[int], stage: int) -> tuple[float, ...]:
    """Those of one stage's blocks, where they rise over the blocks of all stages.

    Args:
        largest: see `drop_path_rates`.
        depths: blocks of every stage.
        stage: index of the stage, from 0.
    """
    before = sum(depths[:stage])
    return drop_path_rates(largest, sum(depths))[before : before + depths[stage]]


class PointwiseConv(nn.Module):
    """A 1×1 convolution without bias, computed as a matrix product.

    The same numbers as `lax.conv` with no padding; on CPU XLA's convolutions take 1.4 to 3 times as long.

    Attributes:
        features: output channels.
        stride: keeps every stride-th row and column, beginning with the first, as torch does.
        dtype: computation type.
    """

    features: int
    stride: int = 1
    dtype: Any = jnp.float32

    operation: ClassVar[Operation] = 'conv'

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel']) -> Float[Array, 'batch h2 w2 features']:
        """Parameter: kernel (1, 1, channel, features)."""
        shape = (1, 1, inputs.shape[-1], self.features)
        kernel = self.param('kernel', HE_NORMAL_FAN_OUT, shape, jnp.float32)
        inputs = inputs[:, :: self.stride, :: self.stride]
        return inputs.astype(self.dtype) @ kernel[0, 0].astype(self.dtype)


def conv(features: int, kernel: int, *, stride: int = 1, dtype: Any, name: str) -> Callable[[Array], Array]:
    """A square convolution without bias, padded by (kernel - 1) / 2 on every side as in torch.

    XLA's 'SAME' pads a strided convolution unevenly and gives other numbers.

    Args:
        features: output channels.
        kernel: side of the kernel, odd.
        stride: of both sides.
        dtype: computation type; parameters are float32.
        name: of the module; its parameter is kernel (kernel, kernel, channel, features).
    """
    if kernel == 1:
        return PointwiseConv(features, stride, dtype, name=name)
    return nn.Conv(
        features,
        (kernel, kernel),
        (stride, stride),
        padding=((kernel // 2, kernel // 2),) * 2,
        use_bias=False,
        dtype=dtype,
        kernel_init=HE_NORMAL_FAN_OUT,
        name=name,
    )


def layer_norm(*, eps: float, dtype: Any, name: str) -> nn.LayerNorm:
    """Layer normalisation over the last axis, with the variance taken in two passes as in torch.

    Flax's default, E[x²] - E[x]², loses digits when the mean is large.
    """
    return nn.LayerNorm(epsilon=eps, use_fast_variance=False, dtype=dtype, name=name)
