"""Where things go, against pictures that are painted and augmented, dense points, and torchvision's boxes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.augment import crop, geometry, matrices
from jtransfer.augment.warp import warp

SHAPE = (60, 80)
ONE = jnp.ones(1)
WHOLE = jnp.array([[0.0, 0.0, 1.0, 1.0]])
CROP = jnp.array([[0.3, 0.2, 0.5, 0.6]])

transform_boxes = jax.jit(geometry.transform_boxes, static_argnames='shape')


def _perspective(bend):
    """The top of the image gets narrower by `bend` on either side; with much bend the horizon is in the image."""
    height, width = SHAPE
    start = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    end = start + np.array([[bend * width, bend * height], [-bend * width, bend * height], [0, 0], [0, 0]])
    return matrices.perspective(jnp.asarray(start[None], jnp.float32), jnp.asarray(end[None], jnp.float32))


WARPS = {
    'none': matrices.identity(1),
    'flip': matrices.flips(ONE > 0, ONE < 0, SHAPE),
    'rotation': matrices.rotation(25 * ONE, SHAPE),
    'chain': matrices.compose(
        matrices.shear_x(0.3 * ONE, SHAPE),
        matrices.rotation(-40 * ONE, SHAPE),
        matrices.zoom(0.8 * ONE, SHAPE),
        matrices.translation(5 * ONE, -3 * ONE),
    ),
    'perspective': matrices.compose(matrices.rotation(10 * ONE, SHAPE), _perspective(0.2)),
    'horizon': _perspective(0.43),
}
# (left, top, right, bottom): in the middle, across an edge of the crop, outside it, around it, and thin.
BOXES = np.array(
    [
        [0.45, 0.4, 0.65, 0.6],
        [0.1, 0.3, 0.4, 0.5],
        [0.05, 0.05, 0.2, 0.15],
        [0.0, 0.0, 1.0, 1.0],
        [0.5, 0.1, 0.52, 0.9],
        [0.7, 0.75, 0.95, 0.95],
    ],
    np.float32,
)


def _geometry(warp_name, crop_boxes):
    return matrices.compose(geometry.box_matrix(crop_boxes, SHAPE), WARPS[warp_name])


@pytest.mark.parametrize('name', ['none', 'rotation', 'chain', 'perspective'])
def test_geometry_says_which_place_every_pixel_shows(name):
    """A picture whose colours say where they are, cropped and warped: the colours are the mapped coordinates."""
    side = 200
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    picture = 255 * np.stack([x, y, np.ones_like(x)], axis=-1)[None].astype(np.float32)
    cropped = crop.resample(jnp.asarray(picture), CROP, SHAPE, 'bilinear')
    shown = np.asarray(warp(cropped, WARPS[name]))[0]
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    points = jnp.asarray(np.stack([columns.ravel(), rows.ravel()], axis=-1)[None], jnp.float32)
    places = np.asarray(geometry.transform_points(_geometry(name, CROP), points))[0].reshape(*SHAPE, 2)
    # Not at the edge of the crop, whose outermost pixels are stretched outwards by half of their width.
    margin = 0.006
    left, top, width, height = np.asarray(CROP)[0]
    inside = (np.abs(places - [left + width / 2, top + height / 2]) < np.array([width, height]) / 2 - margin).all(-1)
    assert inside.mean() > 0.3
    np.testing.assert_allclose(shown[inside][:, :2] / 255, places[inside], atol=1e-3)


@pytest.mark.parametrize('name', ['none', 'flip', 'rotation', 'chain', 'perspective'])
@pytest.mark.parametrize('box', BOXES[[0, 1, 4, 5]])
def test_boxes_go_where_a_painted_rectangle_goes(name, box):
    side = 200
    left, top, right, bottom = np.round(side * box).astype(int)
    picture = np.zeros((1, side, side, 1), np.float32)
    picture[:, top:bottom, left:right] = 255
    painted = np.asarray(warp(crop.resample(jnp.asarray(picture), CROP, SHAPE, 'bilinear'), WARPS[name]))[0, ..., 0]
    result, visible = transform_boxes(_geometry(name, CROP), jnp.asarray(box)[None, None], SHAPE, CROP)
    rows, columns = np.nonzero(painted > 127)
    measured = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    around = np.asarray(result)[0, 0]
    # Nothing of it is outside the box but a part of a pixel.
    assert np.all(np.asarray(measured)[:2] > around[:2] - 1)
    assert np.all(np.asarray(measured)[2:] < around[2:] + 1)
    if visible[0, 0] > 0.999:
        # The corners of thin or slanted shapes are less than half a pixel's area.
        np.testing.assert_allclose(measured, around, atol=2)


def _dense(matrix, box, crop_box, count=401):
    """Of many points of a box: where they come out, and whether they are to be seen, in double precision."""
    u, v = np.mgrid[:count, :count] / (count - 1)
    x, y = box[0] + (box[2] - box[0]) * u, box[1] + (box[3] - box[1]) * v
    mapped = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(np.asarray(matrix, np.float64)).T
    left, top, width, height = np.asarray(crop_box, np.float64)
    kept = (x >= left) & (x <= left + width) & (y >= top) & (y <= top + height) & (mapped[..., 2] > 0)
    out = mapped[..., :2] / np.where(kept, mapped[..., 2], 1)[..., None]
    inside = kept & ((out >= 0) & (out <= [SHAPE[1], SHAPE[0]])).all(axis=-1)
    return out[kept], inside


@pytest.mark.parametrize('crop_boxes', [WHOLE, CROP])
@pytest.mark.parametrize('name', WARPS)
def test_boxes_and_visible_shares_are_those_of_dense_points(name, crop_boxes):
    matrix = _geometry(name, crop_boxes)
    result, visible = transform_boxes(matrix, jnp.asarray(BOXES)[None], SHAPE, crop_boxes)
    for box, around, share in zip(BOXES, np.asarray(result)[0], np.asarray(visible)[0], strict=True):
        kept, inside = _dense(matrix[0], box, crop_boxes[0])
        assert abs(share - inside.mean()) < 0.01
        if inside.any():
            limits = np.concatenate([kept.min(axis=0), kept.max(axis=0)])
            np.testing.assert_allclose(around, np.clip(limits, 0, [80, 60, 80, 60]), atol=0.7)
        else:
            assert share == 0
            np.testing.assert_array_equal(around, 0)


def test_a_crop_box_before_the_horizon_and_corners_beyond_it():
    """A small crop of a large object, strongly tilted: corners of the object lie beyond the horizon."""
    small = jnp.array([[0.45, 0.4, 0.1, 0.1]])
    matrix = _geometry('perspective', small)
    box = np.array([0.1, 0.05, 0.9, 1.0], np.float32)
    depth = np.linalg.inv(np.asarray(matrix[0], np.float64))[2] @ [[0.1, 0.9, 0.1, 0.9], [0.05, 0.05, 1, 1], [1] * 4]
    assert depth.min() < 0 < depth.max()
    # Seen as if the whole picture were there; the crop alone is all before the horizon.
    result, visible = transform_boxes(matrix, jnp.asarray(box)[None, None], SHAPE)
    kept, inside = _dense(matrix[0], box, WHOLE[0], count=1001)
    assert abs(float(visible[0, 0]) - inside.mean()) < 0.004
    limits = np.concatenate([kept.min(axis=0), kept.max(axis=0)])
    np.testing.assert_allclose(result[0, 0], np.clip(limits, 0, [80, 60, 80, 60]), atol=0.7)


def test_the_whole_picture_unchanged_has_its_boxes_scaled():
    result, visible = transform_boxes(geometry.box_matrix(WHOLE, SHAPE), jnp.asarray(BOXES)[None], SHAPE)
    np.testing.assert_allclose(result[0], BOXES * [80, 60, 80, 60], atol=1e-4)
    np.testing.assert_allclose(visible, 1, atol=1e-5)


def test_a_crop_shows_the_share_that_is_in_it():
    boxes = jnp.array([[[0.2, 0.1, 0.4, 0.4], [0.0, 0.0, 0.3, 0.2], [0.4, 0.4, 0.5, 0.5]]])
    result, visible = transform_boxes(geometry.box_matrix(CROP, SHAPE), boxes, SHAPE)
    np.testing.assert_allclose(visible[0], [0.5 * 2 / 3, 0, 1], atol=1e-5)
    np.testing.assert_allclose(result[0, 0], [0, 0, 16, 20], atol=1e-3)
    np.testing.assert_array_equal(result[0, 1], 0)
    np.testing.assert_allclose(result[0, 2], [16, 20, 32, 30], atol=1e-3)


def test_a_box_without_area_and_a_matrix_without_inverse_show_nothing():
    empty = jnp.array([[[0.5, 0.5, 0.5, 0.5], [0.4, 0.6, 0.6, 0.6]]])
    result, visible = transform_boxes(geometry.box_matrix(WHOLE, SHAPE), empty, SHAPE)
    np.testing.assert_array_equal(visible, 0)
    np.testing.assert_array_equal(result, 0)
    result, visible = transform_boxes(jnp.zeros((1, 3, 3)), jnp.asarray(BOXES)[None], SHAPE)
    np.testing.assert_array_equal(visible, 0)
    np.testing.assert_array_equal(result, 0)


def test_every_image_has_its_own_matrix():
    names = list(WARPS)
    together = matrices.compose(
        jnp.tile(geometry.box_matrix(CROP, SHAPE), (len(names), 1, 1)), jnp.concatenate([WARPS[n] for n in names])
    )
    boxes = jnp.tile(jnp.asarray(BOXES)[None], (len(names), 1, 1))
    result, visible = transform_boxes(together, boxes, SHAPE, jnp.tile(CROP, (len(names), 1)))
    for i, name in enumerate(names):
        alone = transform_boxes(_geometry(name, CROP), boxes[:1], SHAPE, CROP)
        np.testing.assert_allclose(result[i], alone[0][0], atol=1e-3)
        np.testing.assert_allclose(visible[i], alone[1][0], atol=1e-5)


def _corners(bend):
    height, width = SHAPE
    start = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
    end = [[bend, 3], [width - 7, 1], [width - 3, height - bend], [2, height - 2]]
    return start, end


TORCHVISION = {
    'horizontal_flip': (lambda F, boxes: F.horizontal_flip(boxes), lambda: WARPS['flip']),
    'rotate': (lambda F, boxes: F.rotate(boxes, 25.0), lambda: WARPS['rotation']),
    'affine': (
        lambda F, boxes: F.affine(boxes, 20.0, [3, -2], 0.8, [11.0, -6.0]),
        lambda: matrices.compose(
            matrices.shear_x(jnp.tan(jnp.deg2rad(11 * ONE)), SHAPE, centred=True),
            matrices.shear_y(jnp.tan(jnp.deg2rad(-6 * ONE)), SHAPE, centred=True),
            matrices.zoom(0.8 * ONE, SHAPE),
            matrices.rotation(-20 * ONE, SHAPE),
            matrices.translation(3 * ONE, -2 * ONE),
        ),
    ),
    'perspective': (
        lambda F, boxes: F.perspective(boxes, *_corners(9)),
        lambda: matrices.perspective(*(jnp.asarray([points], jnp.float32) for points in _corners(9))),
    ),
    'resized_crop': (
        lambda F, boxes: F.resized_crop(boxes, 12, 24, 36, 40, list(SHAPE)),
        lambda: jnp.array([[[0.5, 0, 24], [0, 0.6, 12], [0, 0, 1]]]),
    ),
}


@pytest.mark.parity
@pytest.mark.parametrize('name', TORCHVISION)
def test_boxes_are_torchvisions(name):
    torch = pytest.importorskip('torch')
    from tests.golden.reference import import_torchvision

    import_torchvision()
    from torchvision import tv_tensors
    from torchvision.transforms.v2 import functional

    theirs, ours = TORCHVISION[name]
    boxes = BOXES[[0, 1, 3, 4, 5]]
    result, visible = transform_boxes(
        matrices.compose(geometry.box_matrix(WHOLE, SHAPE), ours()), jnp.asarray(boxes)[None], SHAPE
    )
    assert float(visible.min()) > 0
    pixels = torch.from_numpy(boxes * np.array([80, 60, 80, 60], np.float32))
    given = tv_tensors.BoundingBoxes(pixels, format='XYXY', canvas_size=SHAPE)
    expected = theirs(functional, given)
    np.testing.assert_allclose(result[0], np.clip(expected.numpy(), 0, [80, 60, 80, 60]), atol=2e-3)
