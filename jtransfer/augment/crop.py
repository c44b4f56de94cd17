"""Random crops of whole pictures that were squashed to a square, with the geometry of the true picture.

The resized crop of Szegedy et al. (2015), "Going deeper with convolutions", with the sampling rule of torchvision's
`RandomResizedCrop`, and the square crop of a fixed size. Data sets are kept as squashed squares so that a batch is one
array; a box drawn in the true picture is mapped to the square, and one separable resampling undoes the squash, crops
and resizes at once.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

ATTEMPTS = 10
# A box as large as the picture must not be thrown away for the last bit of a square root.
_ROUNDING = 1e-5


def sample_boxes(
    keys: Key[Array, ' batch'], aspects: Float[Array, ' batch'], scale: tuple[float, float], ratio: tuple[float, float]
) -> Float[Array, 'batch 4']:
    """Draws a crop box for every picture.

    The share of the area is uniform in `scale`, the width-to-height ratio log-uniform in `ratio`, both in the true
    picture. The first of ten draws that fits is taken and placed uniformly; when none fits, the largest centred box
    whose ratio is within `ratio` (torchvision's rule, without its rounding to whole pixels).

    Args:
        keys: one per picture.
        aspects: width / height of the true pictures, > 0.
        scale: smallest and largest share of the picture's area, in (0, 1].
        ratio: smallest and largest width / height of the box, > 0.

    Returns:
        Boxes (left, top, width, height) as shares of the picture's width and height, within [0, 1].
    """
    return jax.vmap(lambda key, aspect: _sample_box(key, aspect, scale, ratio))(keys, aspects)


def _sample_box(key: Array, aspect: Array, scale: tuple[float, float], ratio: tuple[float, float]) -> Array:
    # One draw for all: every separate one costs compile time.
    uniform = jax.random.uniform(key, (2 * ATTEMPTS + 2,))
    area = scale[0] + (scale[1] - scale[0]) * uniform[:ATTEMPTS]
    box_ratio = ratio[0] * (ratio[1] / ratio[0]) ** uniform[ATTEMPTS : 2 * ATTEMPTS]
    # In a picture `aspect` wide and 1 high: width² = area · aspect · ratio, height² = area · aspect / ratio.
    widths = jnp.sqrt(area * box_ratio / aspect)
    heights = jnp.sqrt(area * aspect / box_ratio)
    fits = jnp.maximum(widths, heights) <= 1 + _ROUNDING
    first = jnp.argmax(fits)
    drawn = jnp.minimum(jnp.stack([widths[first], heights[first]]), 1)
    nearest_ratio = jnp.clip(aspect, ratio[0], ratio[1])
    centred = jnp.minimum(jnp.stack([nearest_ratio / aspect, aspect / nearest_ratio]), 1)
    found = jnp.any(fits)
    size = jnp.where(found, drawn, centred)
    corner = (1 - size) * jnp.where(found, uniform[2 * ATTEMPTS :], 0.5)
    return jnp.concatenate([corner, size])


def sample_square_boxes(
    keys: Key[Array, ' batch'], aspects: Float[Array, ' batch'], fraction: float
) -> Float[Array, 'batch 4']:
    """Draws a square for every picture, uniformly placed: the random crop that keeps shapes as they are.

    As He et al. (2015), "Deep residual learning for image recognition", and others crop 224 pixels of pictures whose
    shorter side is 256; without the rounding to whole pixels.

    Args:
        keys: one per picture.
        aspects: width / height of the true pictures, > 0.
        fraction: side of the square as a share of the picture's shorter side, in (0, 1].

    Returns:
        Boxes (left, top, width, height) as shares of the picture's width and height, within [0, 1].

    Raises:
        ValueError: for a fraction outside (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f'fraction={fraction} must be above 0 and at most 1')
    places = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys)
    # In a picture `aspect` wide and 1 high.
    side = fraction * jnp.minimum(aspects, 1)
    sizes = jnp.stack([side / aspects, side], axis=1)
    return jnp.concatenate([(1 - sizes) * places, sizes], axis=1)


def resample(
    images: Float[Array, 'batch height width channel'],
    boxes: Float[Array, 'batch 4'],
    shape: tuple[int, int],
    interpolation: str = 'bicubic',
) -> Float[Array, 'batch height2 width2 channel']:
    """Cuts a box out of every picture and resizes it to one shape, antialiased, in one separable pass.

    The filters, and their reach over the edge of the box into the picture, are those of Pillow's
    `Image.resize((width2, height2), box=box)`; bicubic overshoot is clipped after either pass, as there, but values
    stay unrounded.

    Args:
        images: values in [0, 255].
        boxes: (left, top, width, height) as shares of the picture's width and height, within [0, 1].
        shape: height and width of the result, pixels.
        interpolation: `bilinear` or `bicubic` (a = -0.5).

    Returns:
        Values in [0, 255].
    """
    _, height, width, _ = images.shape
    left, top, box_width, box_height = boxes.T
    columns = _weights(left, box_width, width, shape[1], interpolation)
    rows = _weights(top, box_height, height, shape[0], interpolation)
    # Full precision: at an accelerator's default one, neighbouring grey values (8 bits) would fall together.
    product = jax.lax.Precision.HIGHEST
    images = jnp.clip(jnp.einsum('bjw,bhwc->bhjc', columns, images, precision=product), 0, 255)
    return jnp.clip(jnp.einsum('bih,bhjc->bijc', rows, images, precision=product), 0, 255)


def _weights(start: Array, extent: Array, length: int, size: int, interpolation: str) -> Array:
    """Resampling matrices [batch, size, length] from boxes (shares of the length) to `size` pixels."""
    step = extent * length / size
    centre = start[:, None] * length + (jnp.arange(size) + 0.5) * step[:, None]
    stretch = jnp.maximum(step, 1)[:, None, None]
    offset = jnp.abs(jnp.arange(length) + 0.5 - centre[:, :, None])
    weights = _kernel(offset / stretch, interpolation)
    return weights / jnp.sum(weights, axis=2, keepdims=True)


def _kernel(x: Array, interpolation: str) -> Array:
    """The interpolation filter at distances x ≥ 0: the triangle, or the cubic of Keys (1981) with a = -0.5."""
    if interpolation == 'bilinear':
        return jnp.maximum(1 - x, 0)
    if interpolation == 'bicubic':
        near = (1.5 * x - 2.5) * x * x + 1
        far = ((-0.5 * x + 2.5) * x - 4) * x + 2
        return jnp.where(x < 1, near, jnp.where(x < 2, far, 0))
    raise ValueError(f"interpolation={interpolation!r} must be 'bilinear' or 'bicubic'")
