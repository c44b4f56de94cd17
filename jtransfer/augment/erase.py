"""Random erasing and cutout: rectangles of the image are painted over, a few of them in some images, one in all."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int32, Key, UInt8

from jtransfer.augment import noise
from jtransfer.errors import UserError

ATTEMPTS = 10
FILLS = ('mean', 'noise', 'color')


def random_erasing(
    keys: Key[Array, ' batch'],
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    *,
    probability: float = 0.25,
    area: tuple[float, float] = (0.02, 1 / 3),
    ratio: tuple[float, float] = (0.3, 10 / 3),
    count: int = 1,
    fill: str = 'mean',
    mean: Sequence[float],
    std: Sequence[float],
) -> Float32[Array, 'batch height width channel']:
    """Paints rectangles of some of the images over.

    Zhong et al. (2017), "Random erasing data augmentation", with the sampling rule of timm's `RandomErasing` (see
    `sample_boxes`). timm erases normalised images; the mean and standard deviation of the normalisation put its fills
    into the range of the pixels.

    Args:
        keys: one per image.
        images: values in [0, 255].
        probability: that an image is erased, in [0, 1].
        area: smallest and largest share of the image's area that all rectangles of an image together are drawn to
            cover, within [0, 1].
        ratio: smallest and largest height / width of a rectangle, > 0.
        count: rectangles in an erased image, ≥ 1. They may overlap.
        fill: `mean` paints the mean colour (timm's `const`), `noise` normal noise, new for every pixel and channel
            (timm's `pixel`), `color` one colour of normally distributed channels per rectangle (timm's `rand`).
        mean: of each channel, in [0, 255].
        std: of each channel, in units of the pixels; the noise's.

    Returns:
        Values in [0, 255]; noise is clipped to them and not rounded.

    Raises:
        UserError: if `fill` is none of these.
    """
    if fill not in FILLS:
        raise UserError(f'random erasing: fill={fill!r} must be one of {", ".join(FILLS)}')
    _, height, width, channels = images.shape
    streams = jax.vmap(jax.random.split)(keys)
    boxes = sample_boxes(streams[:, 0], (height, width), probability=probability, area=area, ratio=ratio, count=count)
    values = jnp.broadcast_to(jnp.asarray(mean, jnp.float32), (1, 1, 1, 1, channels))
    if fill != 'mean':
        # Rectangles that overlap may share the noise: what is seen of it is drawn anew for every pixel in any case.
        layout = (1, height, width, channels) if fill == 'noise' else (count, 1, 1, channels)
        drawn = noise.normal(streams[:, 1], layout)
        values = jnp.clip(values + jnp.asarray(std, jnp.float32) * drawn, 0, 255)
    values = jnp.broadcast_to(values, (values.shape[0], count, *values.shape[2:]))
    images = images.astype(jnp.float32)
    for number in range(count):
        images = erase_boxes(images, boxes[:, number], values[:, number])
    return images


def cutout(
    keys: Key[Array, ' batch'],
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    size: int,
    value: Sequence[float],
) -> Float32[Array, 'batch height width channel']:
    """Paints a square of every image over, which may reach over the image's border.

    DeVries and Taylor (2017), "Improved regularization of convolutional neural networks with Cutout". The centre is
    uniform over the pixels; the part of the square outside the image is lost.

    Args:
        keys: one per image.
        images: values in [0, 255].
        size: side of the square, pixels, ≥ 0. It reaches from `size // 2` pixels before the centre on.
        value: the colour, one number a channel, in [0, 255].

    Returns:
        Values in [0, 255].
    """
    extent = jnp.asarray(images.shape[1:3])
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys)
    corners = jnp.floor(uniform * extent).astype(jnp.int32) - size // 2
    boxes = jnp.concatenate([corners, jnp.full_like(corners, size)], axis=1)
    return erase_boxes(images, boxes, jnp.asarray(value, jnp.float32)[None, None, None])


def sample_boxes(
    keys: Key[Array, ' batch'],
    shape: tuple[int, int],
    *,
    probability: float = 1.0,
    area: tuple[float, float],
    ratio: tuple[float, float],
    count: int = 1,
) -> Int32[Array, 'batch count 4']:
    """Draws the rectangles to erase by timm's rule.

    For each rectangle the share of the area is uniform in `area`, divided by `count`, and height / width log-uniform in
    `ratio`; the sides are rounded to whole pixels. The first of ten draws that is smaller than the image in both
    directions is taken and placed uniformly.

    Args:
        keys: one per image.
        shape: height and width of the images, pixels.
        probability: that an image is erased at all.
        area: smallest and largest share of the image's area, all rectangles of an image together.
        ratio: smallest and largest height / width.
        count: rectangles per image.

    Returns:
        Boxes (top, left, height, width) within the image; empty where nothing is to be erased, or no draw fitted.
    """
    draws = 2 * ATTEMPTS + 2
    # One draw for all: every separate one costs compile time.
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (1 + count * draws,)))(keys)
    erased = uniform[:, :1] < probability
    uniform = uniform[:, 1:].reshape(-1, count, draws)
    areas = (area[0] + (area[1] - area[0]) * uniform[..., :ATTEMPTS]) * (shape[0] * shape[1] / count)
    ratios = ratio[0] * (ratio[1] / ratio[0]) ** uniform[..., ATTEMPTS : 2 * ATTEMPTS]
    heights = jnp.round(jnp.sqrt(areas * ratios))
    widths = jnp.round(jnp.sqrt(areas / ratios))
    fits = (heights < shape[0]) & (widths < shape[1])
    first = fits & (jnp.cumsum(fits, axis=-1) == 1) & erased[..., None]
    sizes = jnp.stack([jnp.sum(jnp.where(first, side, 0), axis=-1) for side in (heights, widths)], axis=-1)
    corners = jnp.floor(uniform[..., 2 * ATTEMPTS :] * (jnp.asarray(shape) - sizes + 1))
    return jnp.concatenate([corners, sizes], axis=-1).astype(jnp.int32)


def erase_boxes(
    images: UInt8[Array, 'batch height width channel'] | Float[Array, 'batch height width channel'],
    boxes: Int32[Array, 'batch 4'],
    values: Float[Array, '#batch #height #width channel'],
) -> Float32[Array, 'batch height width channel']:
    """Replaces the pixels in each image's box (top, left, height, width; may reach outside) by `values`."""
    _, height, width, _ = images.shape
    masks = box_masks(boxes, (height, width))
    return jnp.where(masks[..., None], values, images.astype(jnp.float32))


def box_masks(boxes: Int32[Array, 'batch 4'], shape: tuple[int, int]) -> Bool[Array, 'batch height width']:
    """Which pixels of images of this height and width lie in each image's box (top, left, height, width)."""
    top, left, height, width = boxes.T[:, :, None]
    rows, columns = jnp.arange(shape[0]), jnp.arange(shape[1])
    in_rows = (rows >= top) & (rows < top + height)
    in_columns = (columns >= left) & (columns < left + width)
    return in_rows[:, :, None] & in_columns[:, None, :]
