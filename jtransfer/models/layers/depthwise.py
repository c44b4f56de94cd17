"""Depthwise convolutions: every channel is filtered by a kernel of its own.

On CPU, XLA's own way takes 3 to 60 times as long as the one here (benchmarks/convolutions.py): a sum of shifted
products, one for each place of the kernel, which XLA makes one loop. On accelerators `lax.conv` is the fast way. The
numbers agree to rounding.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jtransfer.models.layers.common import HE_NORMAL_FAN_OUT
from jtransfer.models.layers.operation import Operation

# A longer sum, XLA would take apart again to fuse its end with what follows, and it would compile every one of them for
# seconds: it goes into a loop, over the halves of the picture.
_SHORT_SUM = 9

# Zeros before and after the rows, and before and after the columns.
Padding = tuple[tuple[int, int], tuple[int, int]]


class DepthwiseConv(nn.Module):
    """A depthwise convolution with a square kernel.

    Attributes:
        kernel: side of the kernel.
        stride: of both sides.
        padding: zeros around the rows and the columns. None: (kernel - 1) / 2 on every side, as in torch.
        use_bias: whether a bias is added.
        dtype: computation type; parameters are float32.
        kernel_init: of the kernel.
    """

    kernel: int
    stride: int = 1
    padding: Padding | None = None
    use_bias: bool = False
    dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = HE_NORMAL_FAN_OUT

    operation: ClassVar[Operation] = 'grouped'

    @nn.compact
    def __call__(self, inputs: Float[Array, 'batch h w channel']) -> Float[Array, 'batch h2 w2 channel']:
        """Parameters: kernel (kernel, kernel, 1, channel) and, if there is one, bias (channel,)."""
        channels = inputs.shape[-1]
        shape = (self.kernel, self.kernel, 1, channels)
        kernel = self.param('kernel', self.kernel_init, shape, jnp.float32)
        margin = self.kernel // 2
        padding = ((margin, margin), (margin, margin)) if self.padding is None else self.padding
        x = depthwise_conv(inputs.astype(self.dtype), kernel.astype(self.dtype), stride=self.stride, padding=padding)
        if not self.use_bias:
            return x
        bias = self.param('bias', nn.initializers.zeros, (channels,), jnp.float32)
        return x + bias.astype(self.dtype)


# Compiled functions are traced once for equal shapes: networks repeat them dozens of times.
@functools.partial(jax.jit, static_argnames=('stride', 'padding'))
def depthwise_conv(
    inputs: Float[Array, 'batch h w channel'],
    kernel: Float[Array, 'kh kw 1 channel'],
    *,
    stride: int,
    padding: Padding,
) -> Float[Array, 'batch h2 w2 channel']:
    """The convolution in the way that is fast where it runs.

    On CPU it has derivatives in reverse mode only.

    Args:
        inputs: pictures.
        kernel: a filter for each channel.
        stride: of both sides.
        padding: zeros around the rows and the columns.
    """
    return lax.platform_dependent(
        inputs,
        kernel,
        cpu=lambda inputs, kernel: by_shifts(inputs, kernel, stride, padding),
        default=lambda inputs, kernel: by_convolution(inputs, kernel, stride, padding),
    )


def by_convolution(
    inputs: Float[Array, 'batch h w channel'], kernel: Float[Array, 'kh kw 1 channel'], stride: int, padding: Padding
) -> Float[Array, 'batch h2 w2 channel']:
    """The convolution by `lax.conv`; arguments as of `depthwise_conv`."""
    return lax.conv_general_dilated(
        inputs,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=inputs.shape[-1],
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def by_shifts(
    inputs: Float[Array, 'batch h w channel'], kernel: Float[Array, 'kh kw 1 channel'], stride: int, padding: Padding
) -> Float[Array, 'batch h2 w2 channel']:
    """The convolution as a sum of shifted products in float32; arguments as of `depthwise_conv`."""
    padded = jnp.pad(inputs, ((0, 0), *padding, (0, 0)))
    height = kernel.shape[0]
    rows, columns = (_outputs(padded.shape[1 + axis], kernel.shape[axis], stride) for axis in (0, 1))
    if kernel.shape[0] * kernel.shape[1] <= _SHORT_SUM or rows == 1:
        return _products(padded, kernel, stride)
    half = -(-rows // 2)

    def fill(index: Array, outputs: Array) -> Array:
        start = index * (rows - half)
        part = lax.dynamic_slice_in_dim(padded, start * stride, (half - 1) * stride + height, axis=1)
        return lax.dynamic_update_slice_in_dim(outputs, _products(part, kernel, stride), start, axis=1)

    outputs = jnp.zeros((len(inputs), rows, columns, inputs.shape[-1]), inputs.dtype)
    return lax.fori_loop(0, 2, fill, outputs)


def _forward(inputs: Array, kernel: Array, stride: int, padding: Padding) -> tuple[Array, tuple[Array, Array]]:
    return by_shifts(inputs, kernel, stride, padding), (inputs, kernel)


def _backward(stride: int, padding: Padding, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    inputs, kernel = saved
    return _input_gradient(gradient, kernel, inputs.shape, stride, padding), _kernel_gradient(
        inputs, gradient, kernel, stride, padding
    )


by_shifts.defvjp(_forward, _backward)


def _input_gradient(
    gradient: Array, kernel: Array, shape: tuple[int, ...], stride: int, padding: Padding
) -> Float[Array, 'batch h w channel']:
    """The gradient, spread by the stride, under the mirrored kernel: a convolution again."""
    margins = []
    for axis in (0, 1):
        size, spread = kernel.shape[axis], stride * (gradient.shape[1 + axis] - 1) + 1
        before = size - 1 - padding[axis][0]
        margins.append((before, shape[1 + axis] + size - 1 - spread - before, stride - 1))
    spread_out = lax.pad(gradient, jnp.zeros((), gradient.dtype), ((0, 0, 0), *margins, (0, 0, 0)))
    return by_shifts(spread_out, kernel[::-1, ::-1], 1, ((0, 0), (0, 0)))


def _kernel_gradient(
    inputs: Array, gradient: Array, kernel: Array, stride: int, padding: Padding
) -> Float[Array, 'kh kw 1 channel']:
    """Row by row of the outputs, which then stay in the cache, and of the kernel, which spares the compiler.

    Images are added up last of all, so that nothing is exchanged on the way where they lie on several devices.
    """
    height, width, _, channels = kernel.shape
    rows, columns = gradient.shape[1:3]
    padded = jnp.pad(inputs, ((0, 0), *padding, (0, 0)))

    def add(row: Array, total: Array) -> Array:
        upstream = lax.dynamic_index_in_dim(gradient, row, axis=1).astype(jnp.float32)

        def of_kernel_row(offset: Array) -> Array:
            line = lax.dynamic_index_in_dim(padded, row * stride + offset, axis=1).astype(jnp.float32)
            shifts = [_strided(line, column, columns, stride, axis=2) for column in range(width)]
            return jnp.stack([(shifted * upstream).sum((1, 2)) for shifted in shifts])

        return total + lax.map(of_kernel_row, jnp.arange(height))

    start = jnp.zeros((height, width, len(inputs), channels), jnp.float32)
    return lax.fori_loop(0, rows, add, start).sum(2)[:, :, None].astype(kernel.dtype)


def _products(padded: Array, kernel: Array, stride: int) -> Array:
    """The sum over the places of the kernel, unrolled: XLA makes it one loop over the outputs."""
    rows, columns = (_outputs(padded.shape[1 + axis], kernel.shape[axis], stride) for axis in (0, 1))
    total = jnp.zeros((), jnp.float32)
    for row in range(kernel.shape[0]):
        line = _strided(padded, row, rows, stride, axis=1)
        for column in range(kernel.shape[1]):
            shifted = _strided(line, column, columns, stride, axis=2)
            total = total + shifted.astype(jnp.float32) * kernel[row, column, 0].astype(jnp.float32)
    return total.astype(padded.dtype)


def _outputs(side: int, size: int, stride: int) -> int:
    """How many places a kernel of that size has on a padded side."""
    return (side - size) // stride + 1


def _strided(values: Array, start: int, count: int, stride: int, axis: int) -> Array:
    """`count` entries of an axis."""
    return lax.slice_in_dim(values, start, start + stride * (count - 1) + 1, stride, axis)
