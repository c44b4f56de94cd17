"""What each matrix does to points, worked out by hand or by NumPy in double precision; images are in warp_test."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.augment import matrices

SHAPE = (20, 31)
CENTRE = np.array([15.5, 10.0])


def _map(matrix, points):
    """Where the output at the points reads the input."""
    mapped = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ np.asarray(matrix, np.float64).T
    return mapped[:, :2] / mapped[:, 2:]


def _random(count, seed=0):
    """Affine and perspective matrices."""
    random = np.random.default_rng(seed)
    entries = np.eye(3) + random.uniform(-0.3, 0.3, (count, 3, 3)) * [[1, 1, 20], [1, 1, 20], [0.01, 0.01, 0]]
    return jnp.asarray(entries, jnp.float32)


def test_identity():
    result = matrices.identity(3)
    assert result.dtype == jnp.float32
    np.testing.assert_array_equal(result, np.tile(np.eye(3), (3, 1, 1)))


def test_rotation_is_counter_clockwise_about_the_centre():
    degrees = np.array([-400.0, -91, -45, -30, 0.01, 30, 44.9, 45.1, 89, 135, 200, 271, 359], np.float32)
    points = np.array([[0.0, 0.0], [31.0, 20.0], [3.0, 17.0]])
    for angle, matrix in zip(degrees, matrices.rotation(jnp.asarray(degrees), SHAPE), strict=True):
        # What is a step to the right of the centre in the output was turned there from `angle` clockwise of it; rows
        # count downwards.
        right = _map(matrix, CENTRE[None] + [1, 0])[0] - CENTRE
        np.testing.assert_allclose(right, [np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))], atol=1e-5)
        turn = np.deg2rad(np.float64(angle))
        linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        np.testing.assert_allclose(_map(matrix, points), CENTRE + (points - CENTRE) @ linear.T, atol=2e-5)


def test_quarter_turns_are_whole_numbers():
    result = np.asarray(matrices.rotation(jnp.array([0.0, 90, 180, 270, -90, 450]), (8, 8)))
    quarter = np.array([[0, -1, 8], [1, 0, 0], [0, 0, 1]])
    half, three = quarter @ quarter, quarter @ quarter @ quarter
    np.testing.assert_array_equal(result, [np.eye(3), quarter, half, three, three, quarter])


def test_shears_read_where_they_say():
    factors = jnp.array([-0.3, 0.5])
    points = np.array([[0.0, 0.0], [4.0, 10.0], [15.5, 20.0]])
    for factor, matrix in zip([-0.3, 0.5], matrices.shear_x(factors, SHAPE), strict=True):
        np.testing.assert_allclose(_map(matrix, points), points + factor * points[:, 1:] * [[1, 0]], atol=1e-5)
    for factor, matrix in zip([-0.3, 0.5], matrices.shear_y(factors, SHAPE), strict=True):
        np.testing.assert_allclose(_map(matrix, points), points + factor * points[:, :1] * [[0, 1]], atol=1e-5)


@pytest.mark.parametrize('shear', [matrices.shear_x, matrices.shear_y])
def test_centred_shears_keep_the_middle_and_the_direction(shear):
    factors = jnp.array([-0.3, 0.5])
    corner, centred = shear(factors, SHAPE), shear(factors, SHAPE, centred=True)
    for matrix in centred:
        np.testing.assert_allclose(_map(matrix, CENTRE[None])[0], CENTRE, atol=1e-5)
    np.testing.assert_array_equal(centred[:, :2, :2], corner[:, :2, :2])


def test_translation_moves_the_content_right_and_down():
    matrix = matrices.translation(jnp.array([3.0]), jnp.array([-2.0]))[0]
    np.testing.assert_array_equal(_map(matrix, np.array([[10.0, 10.0]])), [[7.0, 12.0]])


def test_zoom_magnifies_about_the_centre():
    double, half = matrices.zoom(jnp.array([2.0, 0.5]), SHAPE)
    corners = np.array([[0.0, 0.0], [31.0, 20.0]])
    np.testing.assert_allclose(_map(double, corners), [[7.75, 5.0], [23.25, 15.0]])
    np.testing.assert_allclose(_map(half, corners), [[-15.5, -10.0], [46.5, 30.0]])


def test_flips_mirror_the_chosen_images():
    chosen = jnp.array([[False, False], [True, False], [False, True], [True, True]])
    expected = [[3.0, 4.0], [28.0, 4.0], [3.0, 16.0], [28.0, 16.0]]
    for matrix, point in zip(matrices.flips(chosen[:, 0], chosen[:, 1], SHAPE), expected, strict=True):
        np.testing.assert_array_equal(_map(matrix, np.array([[3.0, 4.0]])), [point])


def _quadrilaterals(count, seed=0):
    """Corners of an image and convex quadrilaterals within it."""
    random = np.random.default_rng(seed)
    start = np.array([[0, 0], [30, 0], [30, 19], [0, 19]], np.float32)
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    end = start + inwards * random.uniform(0, 0.3, (count, 4, 2)) * [31, 20]
    return jnp.asarray(np.tile(start, (count, 1, 1))), jnp.asarray(end, jnp.float32)


def _solved(start, end):
    """The eight equations, in double precision."""
    rows, right = [], []
    for (u, v), (x, y) in zip(np.asarray(start, np.float64), np.asarray(end, np.float64), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.append(np.linalg.solve(rows, right), 1).reshape(3, 3)


def test_perspective_solves_the_eight_equations():
    start, end = _quadrilaterals(20)
    for matrix, s, e in zip(matrices.perspective(start, end), start, end, strict=True):
        np.testing.assert_allclose(_map(matrix, np.asarray(e)), s, atol=1e-3)
        inside = np.random.default_rng(1).dirichlet(np.ones(4), 50) @ np.asarray(e)
        np.testing.assert_allclose(_map(matrix, inside), _map(_solved(s, e), inside), atol=1e-3)
    # And back: from quadrilaterals to the corners, and from one to another.
    for matrix, s, e in zip(matrices.perspective(end, start[::-1]), end, start, strict=True):
        np.testing.assert_allclose(_map(matrix, np.asarray(e)), s, atol=1e-3)


def test_perspective_has_the_quadrilateral_before_the_viewer_mirrored_or_not():
    start, end = _quadrilaterals(10)
    mirrored = end[:, ::-1]
    for matrix, e in zip(matrices.perspective(start, end), end, strict=True):
        assert np.all(np.asarray(e) @ matrix[2, :2] + matrix[2, 2] > 0)
    for matrix, e in zip(matrices.perspective(start, mirrored), mirrored, strict=True):
        assert np.all(np.asarray(e) @ matrix[2, :2] + matrix[2, 2] > 0)


def test_perspective_that_moves_no_corner_is_exactly_the_identity():
    start, _ = _quadrilaterals(2)
    np.testing.assert_array_equal(matrices.perspective(start, start), matrices.identity(2))


def test_perspective_of_corners_in_line_is_not_finite():
    start, _ = _quadrilaterals(1)
    flat = jnp.array([[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]])
    assert not np.any(np.isfinite(matrices.perspective(start, flat)[0, 2]))


def test_compose_is_the_product_in_order_of_application():
    first, second, third = _random(5, 0), _random(5, 1), _random(5, 2)
    expected = np.asarray(first, np.float64) @ np.asarray(second, np.float64) @ np.asarray(third, np.float64)
    np.testing.assert_allclose(matrices.compose(first, second, third), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(matrices.compose(first), first)
    np.testing.assert_array_equal(matrices.compose(matrices.identity(5), first, matrices.identity(5)), first)
    # Right by 3, then magnified twice: what was at the centre is 6 to its right.
    moved = matrices.compose(
        matrices.translation(jnp.array([3.0]), jnp.array([0.0])), matrices.zoom(jnp.array([2.0]), SHAPE)
    )
    np.testing.assert_allclose(_map(moved[0], CENTRE[None] + [6, 0])[0], CENTRE)


def test_inverse():
    given = _random(6)
    np.testing.assert_allclose(
        matrices.inverse(given), np.linalg.inv(np.asarray(given, np.float64)), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_array_equal(matrices.inverse(matrices.identity(2)), matrices.identity(2))
    assert not np.any(np.isfinite(matrices.inverse(jnp.zeros((1, 3, 3)))))


def test_all_are_float32_and_may_be_compiled():
    numbers, chosen = jnp.array([0.3, 0.7]), jnp.array([True, False])
    start, end = _quadrilaterals(2)

    @jax.jit
    def build(numbers, chosen, start, end):
        return [
            matrices.rotation(numbers, SHAPE),
            matrices.shear_x(numbers, SHAPE),
            matrices.shear_y(numbers, SHAPE, centred=True),
            matrices.translation(numbers, numbers),
            matrices.zoom(numbers, SHAPE),
            matrices.flips(chosen, chosen, SHAPE),
            matrices.perspective(start, end),
        ]

    for result in build(numbers, chosen, start, end):
        assert result.shape == (2, 3, 3)
        assert result.dtype == jnp.float32
