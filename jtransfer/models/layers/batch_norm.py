"""Batch normalisation with torch's running statistics, over the global batch, that stands still where it is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.errors import UserError
from jtransfer.models.layers.common import is_frozen
from jtransfer.models.layers.operation import Operation


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last (Ioffe and Szegedy, 2015), torch's semantics.

    In training the batch's own mean and biased variance normalise, and the running statistics move towards the mean
    and the unbiased variance. In evaluation, and at any time under a frozen prefix, the running statistics normalise
    and stay as they are. Statistics are float32, the variance is taken in two passes.

    Attributes:
        eps: added to the variance.
        momentum: weight of the old running value (torch's `momentum` is 1 minus this), in [0, 1].
        axis_name: pmap or vmap axis whose members hold equal parts of the batch. None: this is the whole batch (as
            under jit, however it is sharded).
        dtype: of the output.
        scale_init: initialiser of the scale.
    """

    eps: float = 1e-5
    momentum: float = 0.9
    axis_name: str | None = None
    dtype: Any = jnp.float32
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    operation: ClassVar[Operation] = 'norm'

    @nn.compact
    def __call__(
        self, inputs: Float[Array, '*batch channel'], *, train: bool, frozen: Sequence[str] = ()
    ) -> Float[Array, '*batch channel']:
        """Parameters scale and bias, batch_stats mean and var, all (channel,).

        Raises:
            UserError: training on a single value a channel, which has no variance.
        """
        shape = inputs.shape[-1:]
        scale = self.param('scale', self.scale_init, shape, jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, shape, jnp.float32)
        running_mean = self.variable('batch_stats', 'mean', jnp.zeros, shape, jnp.float32)
        running_var = self.variable('batch_stats', 'var', jnp.ones, shape, jnp.float32)

        values = inputs.astype(jnp.float32)
        if not train or is_frozen(self.path, frozen) or self.is_initializing():
            mean, var = running_mean.value, running_var.value
        else:
            mean, var, count = self._statistics(values)
            unbiased = var * (count / (count - 1))
            running_mean.value = self.momentum * running_mean.value + (1 - self.momentum) * mean
            running_var.value = self.momentum * running_var.value + (1 - self.momentum) * unbiased
        normalised = (values - mean) * (scale * jax.lax.rsqrt(var + self.eps)) + bias
        return normalised.astype(self.dtype)

    def _statistics(
        self, values: Float[Array, '*batch channel']
    ) -> tuple[Float[Array, ' channel'], Float[Array, ' channel'], int]:
        """Mean and biased variance of each channel over the global batch, and how many values that is."""
        axes = tuple(range(values.ndim - 1))
        count = values.size // values.shape[-1]
        mean = values.mean(axes)
        if self.axis_name is not None:
            count *= jax.lax.psum(1, self.axis_name)
            mean = jax.lax.pmean(mean, self.axis_name)
        if count < 2:
            raise UserError(
                f'batch normalisation {"/".join(self.path)} would train on a single value a channel: '
                'use a larger batch or larger images, or freeze it'
            )
        var = jnp.square(values - mean).mean(axes)
        if self.axis_name is not None:
            var = jax.lax.pmean(var, self.axis_name)
        return mean, var, count
