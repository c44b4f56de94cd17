"""Warps against Pillow's `Image.transform` and `Image.rotate` and, where installed, torchvision, on photographs too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from jtransfer.augment import matrices
from jtransfer.augment.warp import warp

FILTERS = {
    'nearest': Image.Resampling.NEAREST,
    'bilinear': Image.Resampling.BILINEAR,
    'bicubic': Image.Resampling.BICUBIC,
}
SHAPES = [(37, 53), (32, 32), (1, 1), (1, 7), (9, 1)]
# A point nearer than this to the border between two pixels may fall on either side.
TIE = 2e-3

jitted = jax.jit(warp, static_argnames=('interpolation', 'fill'))


def _images(shape):
    """Parts of two photographs, noise, a gradient and one colour."""
    height, width = shape
    china, flower = (image[150 : 150 + height, 250 : 250 + width] for image in load_sample_images().images)
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    y, x = np.mgrid[:height, :width]
    gradient = np.stack([255 * x // max(width - 1, 1), 255 * y // max(height - 1, 1), (x + y) % 256], axis=-1)
    colour = np.broadcast_to([173, 20, 255], (height, width, 3))
    return np.stack([china, flower, noise, gradient, colour]).astype(np.uint8)


def _matrices(shape):
    """One for every image: rotated, sheared, shrunk off centre, and two perspectives."""
    height, width = shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    bent = np.array([[[0.1, 0.2], [0.95, 0.02], [0.8, 0.9], [0.05, 0.7]], [[0.3, 0.1], [0.6, 0.2], [1.2, 1], [0, 0.8]]])
    ones = jnp.ones(1)
    return jnp.concatenate(
        [
            matrices.rotation(27.3 * ones, shape),
            matrices.compose(matrices.shear_x(0.31 * ones, shape), matrices.shear_y(-0.17 * ones, shape)),
            matrices.compose(matrices.zoom(0.731 * ones, shape), matrices.translation(0.23 * ones, -0.41 * ones)),
            matrices.perspective(jnp.asarray([corners, corners], jnp.float32), jnp.asarray(bent * [width, height])),
        ]
    ).astype(jnp.float32)


def _coordinates(matrix, shape):
    """Where every output pixel comes from, in double precision."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    mapped = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.asarray(matrix, np.float64).T
    return mapped[..., 0] / mapped[..., 2], mapped[..., 1] / mapped[..., 2], mapped[..., 2]


def _off_ties(matrix, shape, interpolation):
    """The pixels about which two implementations can have but one opinion."""
    x, y, depth = _coordinates(matrix, shape)
    clear = depth > 0
    for position, length in ((x, shape[1]), (y, shape[0])):
        if interpolation == 'nearest':
            clear &= np.abs(position - np.round(position)) > TIE
        clear &= (np.abs(position) > TIE) & (np.abs(position - length) > TIE)
    return clear


def _pillow(image, matrix, interpolation, fill=None):
    matrix = np.asarray(matrix, np.float64)
    affine = np.array_equal(matrix[2], [0, 0, 1])
    method = Image.Transform.AFFINE if affine else Image.Transform.PERSPECTIVE
    data = (matrix / matrix[2, 2]).ravel()[: 6 if affine else 8]
    picture = Image.fromarray(image)
    return np.asarray(picture.transform(picture.size, method, data, FILTERS[interpolation], fillcolor=fill))


def _assert_is_pillows(result, pillow, clear, interpolation):
    if interpolation == 'nearest':
        np.testing.assert_array_equal(result[clear], pillow[clear])
    else:
        # Pillow cuts off the fraction.
        excess = (result - pillow)[clear]
        assert excess.min(initial=0) >= -0.05
        assert excess.max(initial=0) < 1.05


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('interpolation', FILTERS)
def test_is_pillows_transform(interpolation, shape):
    images, given = _images(shape), _matrices(shape)
    fill = (124, 116, 104)
    ours = np.asarray(jitted(images, given, interpolation=interpolation, fill=fill))
    assert ours.dtype == np.float32
    for image, matrix, result in zip(images, given, ours, strict=True):
        clear = _off_ties(matrix, shape, interpolation)
        assert clear.mean() > 0.9 or max(shape) < 10
        _assert_is_pillows(result, _pillow(image, matrix, interpolation, fill), clear, interpolation)


@pytest.mark.parametrize('interpolation', FILTERS)
@pytest.mark.parametrize('shape', [(37, 53), (24, 24)])
def test_is_pillows_rotate(interpolation, shape):
    degrees = np.array([-30.0, 12.5, 90.0, 180.0, 271.0], np.float32)
    images = _images(shape)
    given = matrices.rotation(jnp.asarray(degrees), shape)
    ours = np.asarray(jitted(images, given, interpolation=interpolation))
    for image, angle, matrix, result in zip(images, degrees, given, ours, strict=True):
        pillow = np.asarray(Image.fromarray(image).rotate(float(angle), FILTERS[interpolation]))
        if angle == 180 or (angle == 90 and shape[0] == shape[1]):
            # Transposed there, without resampling.
            np.testing.assert_array_equal(result, pillow)
        else:
            clear = _off_ties(matrix, shape, interpolation)
            assert clear.mean() > 0.9 or angle == 90
            _assert_is_pillows(result, pillow, clear, interpolation)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('interpolation', FILTERS)
def test_what_needs_no_resampling_is_exact(interpolation, shape):
    images = _images(shape)
    no, yes = jnp.zeros(5, bool), jnp.ones(5, bool)
    unchanged = jitted(images, matrices.identity(5), interpolation=interpolation)
    np.testing.assert_array_equal(unchanged, images)
    for horizontal, vertical, axes in ((yes, no, 2), (no, yes, 1), (yes, yes, (1, 2))):
        flipped = jitted(images, matrices.flips(horizontal, vertical, shape), interpolation=interpolation)
        np.testing.assert_array_equal(flipped, np.flip(images, axes))
    moved = jitted(
        images, matrices.translation(jnp.full(5, 2.0), jnp.full(5, -3.0)), interpolation=interpolation, fill=7
    )
    padded = np.pad(images, ((0, 0), (3, 3), (3, 3), (0, 0)), constant_values=7)
    np.testing.assert_array_equal(moved, padded[:, 6 : 6 + shape[0], 1 : 1 + shape[1]])


@pytest.mark.parametrize('interpolation', FILTERS)
def test_whole_numbers_give_the_same_as_uint8(interpolation):
    images, given = _images((17, 12)), _matrices((17, 12))
    floats = jitted(images.astype(np.float32), given, interpolation=interpolation)
    np.testing.assert_allclose(jitted(images, given, interpolation=interpolation), floats, atol=1e-3)


@pytest.mark.parametrize('interpolation', FILTERS)
def test_constant_images_stay_constant(interpolation):
    images = np.full((5, 15, 11, 1), 173, np.float32)
    ours = jitted(images, _matrices((15, 11)), interpolation=interpolation, fill=173)
    np.testing.assert_allclose(ours, 173, atol=1e-3)


def test_bicubic_overshoot_is_clipped():
    stripes = np.tile(np.array([0, 0, 255, 255], np.float32)[None, None, :, None], (1, 4, 4, 1))
    given = matrices.translation(jnp.array([0.3]), jnp.array([0.0]))
    ours = np.asarray(jitted(stripes, given, interpolation='bicubic'))
    assert ours.min() == 0
    assert ours.max() == 255


def test_fill_may_be_an_array():
    far = matrices.translation(jnp.full(1, 100.0), jnp.zeros(1))
    fill = jnp.array([1.0, 2.0, 3.0])
    result = warp(jnp.full((1, 4, 5, 3), 9.0), far, 'nearest', fill)
    np.testing.assert_array_equal(result, np.broadcast_to(np.arange(1, 4), (1, 4, 5, 3)))


@pytest.mark.parametrize('interpolation', FILTERS)
def test_beyond_the_horizon_and_without_numbers_is_fill(interpolation):
    images = np.full((4, 8, 8, 3), 200, np.uint8)
    horizon = jnp.array([[1.0, 0, 0], [0, 1, 0], [0, 1, -4.5]])  # At the centres of row 4; above it depth is negative.
    given = jnp.stack([horizon, jnp.zeros((3, 3)), jnp.full((3, 3), jnp.nan), -jnp.eye(3)])
    ours = np.asarray(jitted(images, given, interpolation=interpolation, fill=5))
    np.testing.assert_array_equal(ours[0, :5], 5)
    np.testing.assert_allclose(ours[0, 6:], 200, atol=1e-3)
    np.testing.assert_array_equal(ours[1:], 5)


def test_every_image_is_warped_by_itself():
    images, given = _images((16, 16)), _matrices((16, 16))
    together = jitted(images, given, interpolation='bilinear')
    for i in range(5):
        alone = jitted(images[i : i + 1], given[i : i + 1], interpolation='bilinear')
        np.testing.assert_allclose(alone[0], together[i], atol=1e-3)


def test_images_spread_over_devices_are_not_collected():
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ('data',))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('data'))
    count = len(jax.devices())
    assert count > 1
    images = jax.device_put(np.zeros((count, 6, 6, 3), np.float32), spread)
    given = jax.device_put(matrices.identity(count), spread)
    assert 'all-gather' not in jax.jit(warp).lower(images, given).compile().as_text()


def test_an_unknown_interpolation_is_refused():
    with pytest.raises(ValueError, match='lanczos'):
        warp(jnp.zeros((1, 2, 2, 3)), matrices.identity(1), 'lanczos')


TORCHVISION = {
    'rotate': lambda F, image, shape, **kwargs: F.rotate(image, 33.0, **kwargs),
    'affine': lambda F, image, shape, **kwargs: F.affine(image, 20.0, [3, -2], 0.8, [11.0, -6.0], **kwargs),
    'perspective': lambda F, image, shape, **kwargs: F.perspective(image, *_corner_points(shape), **kwargs),
}


def _corner_points(shape):
    height, width = shape
    start = [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
    end = [[4, 3], [width - 7, 1], [width - 3, height - 6], [2, height - 2]]
    return start, end


def _like_torchvision(name, shape):
    ones = jnp.ones(1)
    if name == 'rotate':
        return matrices.rotation(33 * ones, shape)
    if name == 'perspective':
        start, end = (jnp.asarray([points], jnp.float32) for points in _corner_points(shape))
        return matrices.perspective(start, end)
    return matrices.compose(
        matrices.shear_x(jnp.tan(jnp.deg2rad(11 * ones)), shape, centred=True),
        matrices.shear_y(jnp.tan(jnp.deg2rad(-6 * ones)), shape, centred=True),
        matrices.zoom(0.8 * ones, shape),
        matrices.rotation(-20 * ones, shape),
        matrices.translation(3 * ones, -2 * ones),
    )


@pytest.mark.parity
@pytest.mark.parametrize('interpolation', ['nearest', 'bilinear'])
@pytest.mark.parametrize('name', TORCHVISION)
def test_is_torchvisions(name, interpolation):
    torch = pytest.importorskip('torch')
    from tests.golden.reference import import_torchvision

    import_torchvision()
    from torchvision.transforms.v2 import functional

    shape = (37, 53)
    matrix = _like_torchvision(name, shape)
    x, y, _ = _coordinates(matrix[0], shape)
    clear = _off_ties(matrix[0], shape, interpolation)
    if interpolation == 'bilinear':
        # At the edge torchvision mixes with the fill.
        clear &= (x > 0.5) & (x < shape[1] - 0.5) & (y > 0.5) & (y < shape[0] - 0.5)
    assert clear.mean() > 0.5
    mode = functional.InterpolationMode(interpolation)
    for image in _images(shape):
        ours = np.asarray(jitted(image[None], matrix, interpolation=interpolation))[0]
        tensor = torch.from_numpy(image).permute(2, 0, 1)
        theirs = TORCHVISION[name](functional, tensor, shape, interpolation=mode).permute(1, 2, 0).numpy()
        if interpolation == 'nearest':
            np.testing.assert_array_equal(ours[clear], theirs[clear])
        else:
            # Rounded there.
            assert np.abs(ours - theirs)[clear].max() < 0.55
