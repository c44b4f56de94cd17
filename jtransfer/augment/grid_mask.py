"""GridMask: squares on a regular grid are painted over.

Chen et al. (2020), "GridMask data augmentation", https://arxiv.org/abs/2001.04086. The picture is tiled by units of
d × d pixels, and in every unit one square is dropped. The paper's r is the share of the unit's side that stays: the
square's side is d less r · d, so that 1 - (1 - r)² of all pixels stay. (This is the authors' program with `--mode 1`,
with which they trained on ImageNet; with mode 0 it drops what is kept here and keeps the squares.)
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int32, Key, UInt8

from jtransfer.augment import matrices


def grid_mask(
    keys: Key[Array, ' batch'],
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    *,
    probability: float,
    distance: tuple[float, float] = (96 / 224, 1.0),
    keep: float = 0.6,
    rotate: bool = False,
    value: Sequence[float],
) -> Float32[Array, 'batch height width channel']:
    """Paints the squares of a grid over, in some of the images.

    Args:
        keys: one per image.
        images: values in [0, 255].
        probability: that an image is masked, in [0, 1]. The authors let it grow from 0 to 0.8 over most of the
            training; here it is constant.
        distance: smallest and largest side of the grid's unit as shares of the images' shorter side, > 0. The side is
            uniform over the whole numbers of pixels from one to the other, both included. The default is the paper's
            for ImageNet: 96 to 224 pixels of 224.
        keep: the paper's r in [0, 1]: how much of a unit's side stays, rounded to whole pixels.
        rotate: turns the grid by an angle that is uniform over the circle, as the authors do on ImageNet.
        value: the colour, one number a channel, in [0, 255]; the mean colour in the paper.

    Returns:
        Values in [0, 255].
    """
    _, height, width, _ = images.shape
    low, high = (max(1, round(share * min(height, width))) for share in distance)
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (5,)))(keys)
    step = jnp.floor(uniform[:, 1] * (high - low + 1)).astype(jnp.int32)
    # A table, as the device's single precision would round some products of the other way.
    kept = np.floor(np.arange(low, high + 1) * keep + 0.5).astype(np.int32)
    distances = low + step
    offsets = jnp.floor(uniform[:, 2:4] * distances[:, None]).astype(jnp.int32)
    degrees = 360 * uniform[:, 4] if rotate else None
    dropped = grid_masks((height, width), distances, jnp.asarray(kept)[step], offsets, degrees)
    dropped = dropped & (uniform[:, 0] < probability)[:, None, None]
    return jnp.where(dropped[..., None], jnp.asarray(value, jnp.float32), images.astype(jnp.float32))


def grid_masks(
    shape: tuple[int, int],
    distances: Int32[Array, ' batch'],
    kept: Int32[Array, ' batch'],
    offsets: Int32[Array, 'batch 2'],
    degrees: Float[Array, ' batch'] | None = None,
) -> Bool[Array, 'batch height width']:
    """Which pixels a grid drops.

    Args:
        shape: height and width of the image, pixels.
        distances: side of the grid's unit, pixels, ≥ 1.
        kept: so many first pixels of each unit's side stay, in [0, distance].
        offsets: row and column at which a unit begins.
        degrees: angles by which the grid is turned counter-clockwise about the image's centre; none without.

    Returns:
        True for dropped pixels.
    """
    if degrees is None:
        rows, columns = jnp.arange(shape[0])[:, None], jnp.arange(shape[1])[None]
    else:
        across, down = jnp.split(matrices.rotation(degrees, shape)[:, :2], 2, axis=1)
        y, x = jnp.arange(shape[0])[:, None] + 0.5, jnp.arange(shape[1])[None] + 0.5
        columns, rows = (
            jnp.floor(line[..., :1] * x + line[..., 1:2] * y + line[..., 2:]).astype(jnp.int32)
            for line in (across, down)
        )
    distances, kept = distances[:, None, None], kept[:, None, None]
    in_rows = jnp.mod(rows - offsets[:, :1, None], distances) >= kept
    in_columns = jnp.mod(columns - offsets[:, 1:, None], distances) >= kept
    return in_rows & in_columns
