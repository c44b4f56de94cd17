"""Grouped convolutions, in the form that each kind of device computes fast.

Xie et al., Aggregated Residual Transformations for Deep Neural Networks, 2017 (ResNeXt).
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.errors import UserError
from jtransfer.models.layers.common import HE_NORMAL_FAN_OUT
from jtransfer.models.layers.operation import Operation


class GroupedConv(nn.Module):
    """A square convolution without bias whose output channels each see one group of the input channels.

    Padded by (kernel - 1) / 2 on every side as in torch.

    Attributes:
        features: output channels.
        kernel: side of the kernel, odd.
        groups: into which the channels are divided, in order.
        stride: of both sides.
        dtype: computation type.
    """

    features: int
    kernel: int
    groups: int
    stride: int = 1
    dtype: Any = jnp.float32

    operation: ClassVar[Operation] = 'grouped'

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel']) -> Float[Array, 'batch h2 w2 features']:
        """Parameter: kernel (kernel, kernel, channel / groups, features).

        Raises:
            UserError: the groups do not divide the channels.
        """
        channels = inputs.shape[-1]
        if channels % self.groups or self.features % self.groups:
            raise UserError(f'{self.groups} groups do not divide {channels} channels in and {self.features} out')
        shape = (self.kernel, self.kernel, channels // self.groups, self.features)
        kernel = self.param('kernel', HE_NORMAL_FAN_OUT, shape, jnp.float32)
        return grouped_conv(inputs.astype(self.dtype), kernel.astype(self.dtype), self.groups, self.stride)


def grouped_conv(
    inputs: Float[Array, 'batch h w channel'],
    kernel: Float[Array, 'side side part features'],
    groups: int,
    stride: int = 1,
) -> Float[Array, 'batch h2 w2 features']:
    """A grouped convolution, padded by (side - 1) / 2.

    On CPU a matrix product a group: XLA computes the gradient of `lax.conv`'s kernel there with a loop that takes 40 to
    200 times as long (forward and backward through ResNeXt-50 at 224 pixels, on two cores with jax 0.10.2: 11 s an
    image instead of 0.4). Elsewhere `lax.conv`.

    Args:
        inputs: pictures.
        kernel: of odd sides; part = channel / groups, and the features of a group lie side by side.
        groups: divides channel and features.
        stride: of both sides.
    """
    # Without the checkpoint the patches, side² times the inputs, would be kept for the backward pass.
    on_cpu = jax.checkpoint(functools.partial(_with_patches, groups=groups, stride=stride))
    elsewhere = functools.partial(_with_lax, groups=groups, stride=stride)
    return jax.lax.platform_dependent(inputs, kernel, cpu=on_cpu, default=elsewhere)


def _with_lax(inputs: Array, kernel: Array, *, groups: int, stride: int) -> Array:
    pad = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        inputs,
        kernel,
        (stride, stride),
        ((pad, pad), (pad, pad)),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=groups,
    )


def _with_patches(inputs: Array, kernel: Array, *, groups: int, stride: int) -> Array:
    batch, *sides, _ = inputs.shape
    side, _, part, features = kernel.shape
    x = jnp.moveaxis(inputs.reshape(batch, *sides, groups, part), 3, 0)
    pad = (side // 2, side // 2)
    x = jnp.pad(x, ((0, 0), (0, 0), pad, pad, (0, 0)))
    ends = [stride * ((length - 1) // stride) + 1 for length in sides]
    shifted = [
        x[:, :, row : row + ends[0] : stride, column : column + ends[1] : stride]
        for row in range(side)
        for column in range(side)
    ]
    kernels = kernel.reshape(side * side * part, groups, features // groups)
    x = jnp.einsum('gbhwk,kgo->bhwgo', jnp.concatenate(shifted, axis=-1), kernels)
    return x.reshape(*x.shape[:3], features)
