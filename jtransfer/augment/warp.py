"""Resamples every image of a batch through its own 3×3 matrix, as Pillow's `Image.transform` does."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, UInt8

from jtransfer.augment.stored import stored


def warp(
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    matrices: Float[Array, 'batch 3 3'],
    interpolation: str = 'bilinear',
    fill: int | float | tuple[int | float, ...] | Float[Array, ' channel'] = 0.0,
) -> Float32[Array, 'batch height width channel']:
    """Moves every image through its own matrix, affine or perspective.

    The definition is that of Pillow's `Image.transform` with `AFFINE` or `PERSPECTIVE`: no antialiasing, neighbours
    beyond the edge are the edge's, and the cubic filter (Keys 1981) has a = -1, not the -0.5 of resizing. Pillow cuts
    fractions off; here values stay unrounded. Points at or beyond the horizon of a perspective, where Pillow paints the
    picture once more, upside down, are fill.

    Args:
        images: values in [0, 255].
        matrices: from output to input pixel coordinates (`jtransfer.augment.matrices`).
        interpolation: `nearest`, `bilinear` or `bicubic`.
        fill: output pixels whose centre comes from outside the input: in [0, 255], one value or one a channel.

    Returns:
        Values in [0, 255].
    """
    batch, height, width, channel = images.shape
    x, y, inside = _coordinates(matrices, height, width)
    # An index over the whole batch would be as fast on one device; over several, every device would collect all images.
    gather = jax.vmap(lambda image, index: image.at[index].get(mode='promise_in_bounds'))
    pixels = stored(images.reshape(batch, height * width, channel))
    columns = _taps(x, width, interpolation)
    result = jnp.zeros((), jnp.float32)
    for row, row_weight in _taps(y, height, interpolation):
        line = jnp.zeros((), jnp.float32)
        for column, weight in columns:
            line = line + weight[..., None] * gather(pixels, row * width + column)
        result = result + row_weight[..., None] * line
    return jnp.where(inside[..., None], jnp.clip(result, 0, 255), jnp.asarray(fill, jnp.float32))


def _coordinates(matrices: Array, height: int, width: int) -> tuple[Array, Array, Array]:
    """Where every output pixel comes from, [batch, height, width] each of x, y and whether that is inside the input.

    Outside it x and y are 0, so that whatever is read there can be read.
    """
    x = (jnp.arange(width) + 0.5)[None, None, :]
    y = (jnp.arange(height) + 0.5)[None, :, None]
    # Sums, not a dot, whose precision on accelerators may be lower.
    along_x, along_y, scale = (
        row[:, 0, None, None] * x + row[:, 1, None, None] * y + row[:, 2, None, None]
        for row in (matrices[:, 0], matrices[:, 1], matrices[:, 2])
    )
    # Where the scale is 0 the quotient is not a number or not finite, and so not inside.
    from_x, from_y = along_x / scale, along_y / scale
    inside = (scale > 0) & (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    return jnp.where(inside, from_x, 0), jnp.where(inside, from_y, 0), inside


def _taps(position: Array, length: int, interpolation: str) -> list[tuple[Array, Array]]:
    """Which pixels, 0 … `length` - 1, a position in [0, length) along one axis is made of, and their weights."""
    if interpolation == 'nearest':
        return [(position.astype(jnp.int32), jnp.ones_like(position))]
    lower = jnp.floor(position - 0.5)
    d = position - 0.5 - lower
    if interpolation == 'bilinear':
        weights = [1 - d, d]
    elif interpolation == 'bicubic':
        # Keys's cubic with a = -1, at distances 1 + d, d, 1 - d and 2 - d, in powers of d.
        weights = [
            d * (d * (2 - d) - 1),
            d * d * (d - 2) + 1,
            d * (d * (1 - d) + 1),
            d * d * (d - 1),
        ]
    else:
        raise ValueError(f"interpolation={interpolation!r} must be 'nearest', 'bilinear' or 'bicubic'")
    first = lower.astype(jnp.int32) - (len(weights) // 2 - 1)
    return [(jnp.clip(first + i, 0, length - 1), weight) for i, weight in enumerate(weights)]
