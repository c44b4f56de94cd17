"""The random crop of a padded image: a shift by whole pixels, as small images are augmented.

As for CIFAR-10 since Lee et al. (2015), "Deeply-supervised nets", and He et al. (2016): pad every side by a few pixels,
cut the first shape out again anywhere.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt8

MODES = ('zero', 'reflect')


def random_crop(
    keys: Key[Array, ' batch'],
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    padding: int,
    mode: str = 'zero',
) -> UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel']:
    """Pads every side and cuts each image's own shape out again, at offsets uniform in 0 … 2 · padding either way.

    Args:
        keys: one per image.
        images: values in [0, 255].
        padding: pixels on every side, ≥ 0.
        mode: what is beyond the edge: `zero`, black; `reflect`, the image mirrored about the middle of its last pixels
            (which are not repeated), for which the padding must be less than either side.

    Returns:
        Of the type of the images.

    Raises:
        ValueError: for a negative padding, an unknown mode, or a padding too large to reflect.
    """
    height, width = images.shape[1:3]
    if padding < 0:
        raise ValueError(f'padding={padding} must not be negative')
    if mode == 'reflect' and padding >= min(height, width):
        raise ValueError(
            f'padding={padding} must be less than the shorter side of the images ({height}×{width} pixels) to reflect'
        )
    return shift(images, *draw_shifts(keys, padding), mode)


def draw_shifts(keys: Key[Array, ' batch'], padding: int) -> tuple[Int[Array, ' batch'], Int[Array, ' batch']]:
    """The shifts (dx, dy) of `random_crop`, pixels to the right and down, each uniform in -padding … padding."""
    drawn = jax.vmap(lambda key: jax.random.randint(key, (2,), -padding, padding + 1))(keys)
    return drawn[:, 0], drawn[:, 1]


def shift(
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    dx: Int[Array, ' batch'],
    dy: Int[Array, ' batch'],
    mode: str = 'zero',
) -> UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel']:
    """Moves the content dx pixels to the right and dy pixels down, by any distance.

    Args:
        images: values in [0, 255].
        dx: pixels to the right, per image.
        dy: pixels down, per image.
        mode: what comes in over the edge, as in `random_crop`: `zero` or `reflect` (again and again, as far as needed).

    Returns:
        Of the type of the images.
    """
    if mode not in MODES:
        raise ValueError(f"mode={mode!r} must be 'zero' or 'reflect'")
    _, height, width, _ = images.shape
    rows = jnp.arange(height) - dy[:, None]
    columns = jnp.arange(width) - dx[:, None]
    if mode == 'reflect':
        return _take(images, _reflect(rows, height), _reflect(columns, width))
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    taken = _take(images, jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1))
    return jnp.where(inside[..., None], taken, jnp.zeros((), images.dtype))


def _take(images: Array, rows: Array, columns: Array) -> Array:
    """The images' pixels at row and column numbers [batch, height] and [batch, width], all inside."""
    batch, height, width, channel = images.shape
    index = rows[:, :, None] * width + columns[:, None, :]
    pixels = images.reshape(batch, height * width, channel)
    return jax.vmap(lambda image, i: image.at[i].get(mode='promise_in_bounds'))(pixels, index)


def _reflect(index: Array, length: int) -> Array:
    period = max(2 * (length - 1), 1)
    index = jnp.mod(index, period)
    return jnp.minimum(index, period - index) if length > 1 else index
