"""A value that is computed once and kept, where XLA would compute it anew for every read."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8


def stored(
    values: UInt8[Array, 'batch _ ...'] | Float[Array, 'batch _ ...'],
) -> Array:
    """The values themselves, ≥ 0, from memory.

    On a CPU, XLA computes what a gather reads anew for every index that reads it, whatever that costs, and drops
    `optimization_barrier` before it decides so; a reduction over windows it always stores. These windows hold one value
    and one of the margin, which is 0. On other devices the values pass through.
    """
    length = values.shape[1]

    def along(middle: Any, others: Any) -> tuple[Any, ...]:
        return tuple(middle if axis == 1 else others for axis in range(values.ndim))

    def reduced(values: Array) -> Array:
        return jax.lax.reduce_window(
            values,
            np.zeros((), values.dtype),
            jax.lax.max,
            window_dimensions=along(2, 1),
            window_strides=along(1, 1),
            padding=along((length, 0), (0, 0)),
            window_dilation=along(length, 1),
        )

    return jax.lax.platform_dependent(values, cpu=reduced, default=lambda values: values)
