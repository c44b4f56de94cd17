"""Geometric operations as 3×3 matrices, so that a chain of them is one product and one resampling.

A matrix maps homogeneous OUTPUT pixel coordinates (x, y, 1) to INPUT ones, as Pillow's `Image.transform` takes them:
the pixel in row i and column j has its centre at (j + 0.5, i + 0.5), and the image reaches from (0, 0) to
(width, height). Every function returns float32 matrices [batch, 3, 3], one per image.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def identity(batch: int) -> Float[Array, 'batch 3 3']:
    """Matrices that change nothing."""
    return jnp.tile(jnp.eye(3), (batch, 1, 1))


def rotation(degrees: Float[Array, ' batch'], shape: tuple[int, int]) -> Float[Array, 'batch 3 3']:
    """Turns counter-clockwise about the centre, as Pillow's `Image.rotate`; exactly at multiples of 90 degrees.

    Args:
        degrees: angle per image.
        shape: height and width of the images, pixels.
    """
    # Sine and cosine only of the rest beyond quarter turns: in float32 those of 90 degrees are not whole.
    quarters = jnp.round(degrees / 90)
    rest = jnp.deg2rad(degrees - 90 * quarters)
    cosine, sine = jnp.cos(rest), jnp.sin(rest)
    turn = jnp.mod(quarters, 4)
    choices = [turn == 0, turn == 1, turn == 2]
    cosine, sine = (
        jnp.select(choices, [cosine, -sine, -cosine], sine),
        jnp.select(choices, [sine, cosine, -sine], -cosine),
    )
    return _about_centre(cosine, -sine, sine, cosine, shape)


def shear_x(
    factors: Float[Array, ' batch'], shape: tuple[int, int], centred: bool = False
) -> Float[Array, 'batch 3 3']:
    """Shifts rows: the output at (x, y) reads the input at (x + factor · y, y).

    Args:
        factors: shear per image, pixels to the left per row downwards.
        shape: height and width of the images, pixels.
        centred: the middle stays in place rather than the top left corner, which stays in AutoAugment (Cubuk et al.
            2019) and in timm.
    """
    origin = factors * (shape[0] / 2) if centred else 0
    return _matrices([[1, factors, -origin], [0, 1, 0], [0, 0, 1]])


def shear_y(
    factors: Float[Array, ' batch'], shape: tuple[int, int], centred: bool = False
) -> Float[Array, 'batch 3 3']:
    """Shifts columns: the output at (x, y) reads the input at (x, y + factor · x).

    Args:
        factors: shear per image, pixels upwards per column to the right.
        shape: height and width of the images, pixels.
        centred: the middle stays in place rather than the top left corner.
    """
    origin = factors * (shape[1] / 2) if centred else 0
    return _matrices([[1, 0, 0], [factors, 1, -origin], [0, 0, 1]])


def translation(dx: Float[Array, ' batch'], dy: Float[Array, ' batch']) -> Float[Array, 'batch 3 3']:
    """Moves the content dx pixels to the right and dy pixels down."""
    return _matrices([[1, 0, -dx], [0, 1, -dy], [0, 0, 1]])


def zoom(factors: Float[Array, ' batch'], shape: tuple[int, int]) -> Float[Array, 'batch 3 3']:
    """Magnifies about the centre by factors > 0: more than 1 shows less of the picture, larger.

    Args:
        factors: magnification per image.
        shape: height and width of the images, pixels.
    """
    return _about_centre(1 / factors, 0, 0, 1 / factors, shape)


def flips(
    horizontal: Bool[Array, ' batch'], vertical: Bool[Array, ' batch'], shape: tuple[int, int]
) -> Float[Array, 'batch 3 3']:
    """Mirrors the chosen images left-right, top-bottom, or both.

    Args:
        horizontal: whether to mirror each image left-right.
        vertical: whether to mirror each image top-bottom.
        shape: height and width of the images, pixels.
    """
    return _about_centre(jnp.where(horizontal, -1, 1), 0, 0, jnp.where(vertical, -1, 1), shape)


def perspective(start: Float[Array, 'batch 4 2'], end: Float[Array, 'batch 4 2']) -> Float[Array, 'batch 3 3']:
    """The plane seen from elsewhere: what was at four points of the input goes to four points of the output.

    As torchvision's `perspective`. Either map from the unit square is in closed form (Heckbert 1989, "Fundamentals of
    texture mapping and image warping"), which is cheaper than a system of eight equations per image.

    Args:
        start: corners (x, y) of a convex quadrilateral in the input, in order around it, pixels.
        end: where they go in the output, pixels, convex too. Where three corners are in line the matrix is not finite
            (and a warp by it all fill).
    """
    return _product(_from_unit_square(start), inverse(_from_unit_square(end)))


def compose(*matrices: Float[Array, 'batch 3 3']) -> Float[Array, 'batch 3 3']:
    """One matrix for several operations, given in the order in which they are applied to the images."""
    total = matrices[0]
    for matrix in matrices[1:]:
        total = _product(total, matrix)
    return total


def inverse(matrices: Float[Array, 'batch 3 3']) -> Float[Array, 'batch 3 3']:
    """The maps from input to output coordinates; not finite where a matrix has none."""
    first, second, third = matrices[:, 0], matrices[:, 1], matrices[:, 2]
    crossed = [jnp.cross(second, third), jnp.cross(third, first), jnp.cross(first, second)]
    determinant = jnp.sum(first * crossed[0], axis=1)
    return jnp.stack(crossed, axis=2) / determinant[:, None, None]


def _product(first: Array, second: Array) -> Array:
    """Matrix products as sums: in full precision on any device, where a dot may be of fewer bits, and fused."""
    products = [first[:, :, i, None] * second[:, None, i, :] for i in range(3)]
    return products[0] + products[1] + products[2]


def _about_centre(xx, xy, yx, yy, shape: tuple[int, int]) -> Array:
    """The linear map of rows (xx, xy) and (yx, yy) with the middle of the image fixed."""
    x, y = shape[1] / 2, shape[0] / 2
    return _matrices([[xx, xy, x - xx * x - xy * y], [yx, yy, y - yx * x - yy * y], [0, 0, 1]])


def _matrices(rows: list[list]) -> Array:
    """Numbers and arrays [batch], by rows, as matrices [batch, 3, 3]."""
    entries = [jnp.asarray(entry, jnp.float32) for row in rows for entry in row]
    return jnp.stack(jnp.broadcast_arrays(*entries), axis=-1).reshape(-1, 3, 3)


def _from_unit_square(points: Array) -> Array:
    """Maps of (0, 0), (1, 0), (1, 1), (0, 1) to corner points [batch, 4, 2]."""
    first, second, third, fourth = (points[:, i] for i in range(4))
    right, down, bend = second - third, fourth - third, first - second + third - fourth
    area = _cross(right, down)
    tilt_x, tilt_y = _cross(bend, down) / area, _cross(right, bend) / area
    (x0, y0), (x1, y1), (x3, y3) = first.T, second.T, fourth.T
    return _matrices(
        [
            [x1 - x0 + tilt_x * x1, x3 - x0 + tilt_y * x3, x0],
            [y1 - y0 + tilt_x * y1, y3 - y0 + tilt_y * y3, y0],
            [tilt_x, tilt_y, 1],
        ]
    )


def _cross(first: Array, second: Array) -> Array:
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
