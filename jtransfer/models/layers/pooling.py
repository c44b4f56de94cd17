"""Pooling with torch's rules for windows that do not fit evenly."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jtransfer.errors import UserError


def ceil_max_pool(
    pictures: Float[Array, 'batch h w channel'], kernel: int, stride: int
) -> Float[Array, 'batch h2 w2 channel']:
    """Maximum over square windows, the last of which may reach over the edge (torch's `ceil_mode=True`, unpadded).

    A side n becomes ceil((n - kernel) / stride) + 1. XLA's 'SAME' gives other sizes where n is odd.

    Args:
        pictures: of sides above kernel - stride.
        kernel: side of the window.
        stride: at most the kernel's side, so that every window begins within the picture.
    """
    over = [(kernel - side) % stride if side > kernel else kernel - side for side in pictures.shape[1:3]]
    # flax pads with -inf.
    return nn.max_pool(pictures, (kernel, kernel), (stride, stride), padding=[(0, rows) for rows in over])


def adaptive_average_pool(
    pictures: Float[Array, 'batch h w channel'], height: int, width: int
) -> Float[Array, 'batch h2 w2 channel']:
    """Averages to a given size, as torch's `adaptive_avg_pool2d` does.

    Of n places, output i of m takes those from floor(i n / m) up to but without ceil((i + 1) n / m): the bins overlap
    where m does not divide n, and repeat places where m is larger.

    Args:
        pictures: of any size.
        height: of the result.
        width: of the result.
    """
    if pictures.shape[1:3] == (height, width):
        return pictures
    rows, columns = _bins(pictures.shape[1], height), _bins(pictures.shape[2], width)
    x = jnp.einsum('ih,jw,bhwc->bijc', rows, columns, pictures.astype(jnp.float32), precision=jax.lax.Precision.HIGHEST)
    return x.astype(pictures.dtype)


def check_sides(images: Float[Array, 'batch h w channel'], smallest: int) -> None:
    """Refuses images of which the pooling would leave nothing.

    Args:
        images: normalised images.
        smallest: the shortest side that leaves something, pixels.

    Raises:
        UserError: a side is shorter.
    """
    height, width = images.shape[1:3]
    if min(height, width) < smallest:
        raise UserError(
            f'images of {height}×{width} pixels are too small for this network, whose pooling would leave nothing of '
            f'them: both sides must be at least {smallest}'
        )


def _bins(places: int, outputs: int) -> Float[np.ndarray, 'outputs places']:
    """Row i holds the weight of every place in output i."""
    index = np.arange(outputs)[:, None]
    start, end = index * places // outputs, -(-(index + 1) * places // outputs)
    place = np.arange(places)
    return ((place >= start) & (place < end)).astype(np.float32) / (end - start)
