"""Where the parts of a picture went: what a crop and the warps after it did to points and object boxes.

A geometry is a matrix from output pixel coordinates, as in `jtransfer.augment.matrices`, to places in the true picture:
x and y as shares of its width and height. It starts as the crop's and is multiplied by every warp's matrix, in order:
`geometry = matrices.compose(box_matrix(crop_boxes, shape), first, second)`.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from jtransfer.augment import matrices as maps

# A part of a box nearer to the horizon of a perspective than this (1 is an ordinary depth) is far outside the image.
_NEAREST = 1e-4
# A share of the area below this may be rounding.
_ROUNDING = 1e-4


def box_matrix(boxes: Float[Array, 'batch 4'], shape: tuple[int, int]) -> Float[Array, 'batch 3 3']:
    """The geometry of `crop.resample`: from pixel coordinates in its result to shares of the true picture.

    Args:
        boxes: crop boxes (left, top, width, height) as shares of the picture's width and height; (0, 0, 1, 1) is the
            whole picture, squashed.
        shape: height and width of the result, pixels.
    """
    left, top, width, height = boxes.T
    nought = jnp.zeros_like(left)
    rows = [width / shape[1], nought, left, nought, height / shape[0], top, nought, nought, nought + 1]
    return jnp.stack(rows, axis=1).reshape(-1, 3, 3)


def transform_points(
    matrices: Float[Array, 'batch 3 3'], points: Float[Array, 'batch points 2']
) -> Float[Array, 'batch points 2']:
    """Maps points (x, y) by each image's matrix; one at the horizon of a perspective is not finite."""
    mapped = _map(matrices, points)
    return mapped[..., :2] / mapped[..., 2:]


def transform_boxes(
    matrices: Float[Array, 'batch 3 3'],
    boxes: Float[Array, 'batch boxes 4'],
    shape: tuple[int, int],
    shown: Float[Array, 'batch 4'] | None = None,
) -> tuple[Float[Array, 'batch boxes 4'], Float[Array, 'batch boxes']]:
    """Maps object boxes of the true picture into the augmented image.

    Args:
        matrices: the geometry of the images: from output pixel coordinates to shares of the true picture.
        boxes: (left, top, right, bottom) of the objects, as shares of the picture's width and height.
        shape: height and width of the augmented images, pixels.
        shown: the crop boxes (left, top, width, height) that the warps of the geometry started from, as shares. What
            lay outside them is lost: a warp that moves its place into the image moves fill there. By default the whole
            picture.

    Returns:
        boxes: (left, top, right, bottom), pixels: the upright box around the four corners of what the crop left of each
            box, clipped to the image. All 0 where nothing of it is to be seen.
        visible: the share of each object box's area that is to be seen, in [0, 1], exact also under rotation and
            perspective; 0 for a box without area.
    """
    crop = jnp.array([0.0, 0.0, 1.0, 1.0]) if shown is None else shown[:, None]
    low, high = crop[..., :2], crop[..., :2] + crop[..., 2:]
    left, top = jnp.moveaxis(jnp.clip(boxes[..., :2], low, high), -1, 0)
    right, bottom = jnp.moveaxis(jnp.clip(boxes[..., 2:], low, high), -1, 0)
    corners = jnp.stack(
        [jnp.stack(corner, axis=-1) for corner in ((left, top), (right, top), (right, bottom), (left, bottom))], axis=2
    )
    inverse = maps.inverse(matrices)

    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    visible = _visible_area(corners, inverse, shape) / jnp.where(area > 0, area, 1)
    visible = jnp.where((area > 0) & (visible > _ROUNDING), jnp.minimum(visible, 1), 0)
    size = jnp.array([shape[1], shape[0]] * 2, jnp.float32)
    around = jnp.clip(_upright(corners, inverse), 0, size)
    return jnp.where((visible > 0)[..., None], around, 0), visible


def _map(matrices: Array, points: Array) -> Array:
    """Homogeneous images [batch, …, 3] of points [batch, …, 2]; sums, not a dot, for full precision on any device."""
    columns = jnp.expand_dims(matrices, tuple(range(1, points.ndim - 1)))
    return points[..., 0:1] * columns[..., 0] + points[..., 1:2] * columns[..., 1] + columns[..., 2]


def _upright(corners: Array, inverse: Array) -> Array:
    """The smallest upright boxes [batch, boxes, 4] around what lies before the horizon of mapped quadrilaterals."""
    mapped = _map(inverse, corners)
    following = jnp.roll(mapped, -1, axis=2)
    depth, following_depth = mapped[..., 2:], following[..., 2:]
    ahead, following_ahead = depth >= _NEAREST, following_depth >= _NEAREST
    crosses = ahead != following_ahead
    way = (_NEAREST - depth) / jnp.where(crosses, following_depth - depth, 1)
    points = jnp.concatenate(
        [
            mapped[..., :2] / jnp.where(ahead, depth, 1),
            (mapped + way * (following - mapped))[..., :2] / _NEAREST,
        ],
        axis=2,
    )
    counts = jnp.concatenate([ahead, crosses], axis=2)
    low = jnp.min(jnp.where(counts, points, jnp.inf), axis=2)
    high = jnp.max(jnp.where(counts, points, -jnp.inf), axis=2)
    return jnp.concatenate([low, high], axis=-1)


def _visible_area(corners: Array, inverse: Array, shape: tuple[int, int]) -> Array:
    """Areas [batch, boxes], in the picture, of the parts of polygons that fall inside the output.

    Inside are four half-planes, linear in the picture's coordinates also under perspective: mapped to (x, y, depth),
    0 ≤ x ≤ width · depth and 0 ≤ y ≤ height · depth, which also keeps out what lies beyond the horizon.
    """
    x, y, depth = (inverse[:, i] for i in range(3))
    for half_plane in (x, shape[1] * depth - x, y, shape[0] * depth - y):
        corners = _clip(corners, half_plane)
    spokes = corners - corners[:, :, :1]
    following = jnp.roll(spokes, -1, axis=2)
    doubled = jnp.sum(spokes[..., 0] * following[..., 1] - spokes[..., 1] * following[..., 0], axis=2)
    return jnp.abs(doubled) / 2


def _clip(points: Array, half_plane: Array) -> Array:
    """Polygons [batch, boxes, corners, 2] cut off where `half_plane` · (x, y, 1) < 0; twice as many corners.

    The algorithm of Sutherland & Hodgman (1974) with as many corners whatever is cut: a corner outside is not left out
    but moved onto the cut, where it adds no area.
    """
    plane = half_plane[:, None, None]
    normal = plane[..., :2]
    value = jnp.sum(normal * points, axis=-1, keepdims=True) + plane[..., 2:]
    length = jnp.sum(normal * normal, axis=-1, keepdims=True)
    kept = points - jnp.minimum(value, 0) * normal / jnp.where(length > 0, length, 1)
    following, following_value = jnp.roll(points, -1, axis=2), jnp.roll(value, -1, axis=2)
    crosses = (value < 0) != (following_value < 0)
    way = value / jnp.where(crosses, value - following_value, 1)
    crossing = jnp.where(crosses, points + way * (following - points), kept)
    return jnp.stack([kept, crossing], axis=3).reshape(*points.shape[:2], -1, 2)
