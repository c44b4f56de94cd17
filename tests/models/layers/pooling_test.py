"""Pooling against its definition, written out place by place."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.models.layers.pooling import adaptive_average_pool, ceil_max_pool, check_sides


def picture(height, width):
    """Two examples with three channels, negative throughout, so that padding with zeros would show."""
    return np.random.default_rng(height * 100 + width).uniform(-2, -1, (2, height, width, 3)).astype('f4')


@pytest.mark.parametrize(
    ('side', 'kernel', 'expected'), [(2, 3, 1), (3, 3, 1), (4, 3, 2), (5, 3, 2), (28, 3, 14), (1, 2, 1), (7, 2, 4)]
)
def test_windows_may_reach_over_the_edge(side, kernel, expected):
    x = picture(side, 9)
    pooled = np.asarray(ceil_max_pool(jnp.asarray(x), kernel, 2))
    assert pooled.shape[1] == expected
    for row in range(expected):
        for column in range(pooled.shape[2]):
            window = x[:, 2 * row : 2 * row + kernel, 2 * column : 2 * column + kernel]
            np.testing.assert_array_equal(pooled[:, row, column], window.max((1, 2)))
    # No window more would begin within the picture and hold a place that none has yet.
    assert 2 * (expected - 1) + kernel >= side > 2 * (expected - 2) + kernel


@pytest.mark.parametrize('shape', [(14, 7), (13, 5), (3, 8), (1, 20), (7, 21)])
def test_bins_are_those_of_the_definition(shape):
    x = picture(*shape)
    pooled = np.asarray(adaptive_average_pool(jnp.asarray(x), 7, 6))
    assert pooled.shape == (2, 7, 6, 3)

    def bounds(index, places, outputs):
        return slice(math.floor(index * places / outputs), math.ceil((index + 1) * places / outputs))

    for row in range(7):
        for column in range(6):
            places = x[:, bounds(row, shape[0], 7), bounds(column, shape[1], 6)]
            np.testing.assert_allclose(pooled[:, row, column], places.mean((1, 2)), rtol=1e-6)


def test_the_size_that_is_there_already_costs_nothing():
    x = jnp.asarray(picture(7, 6))
    assert adaptive_average_pool(x, 7, 6) is x


def test_averages_keep_the_type():
    x = jnp.asarray(picture(9, 9), jnp.bfloat16)
    pooled = adaptive_average_pool(x, 4, 4)
    assert pooled.dtype == jnp.bfloat16
    np.testing.assert_allclose(pooled.astype('f4'), adaptive_average_pool(x.astype('f4'), 4, 4), rtol=4e-3)


def test_small_images_are_refused():
    check_sides(jnp.zeros((1, 15, 20, 3)), 15)
    with pytest.raises(UserError, match=r'images of 14×20 pixels are too small .* at least 15'):
        check_sides(jnp.zeros((1, 14, 20, 3)), 15)
