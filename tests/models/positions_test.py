"""Position embeddings on other grids, against torch and SciPy from the fixture of tests/golden/make_vit.py."""

import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.models.positions import METHODS, fitted_to_grid, resize_positions
from tests.golden import check

GOLDEN = check.golden('vit_positions')
GRIDS = [key.removeprefix('grid/') for key in GOLDEN if key.startswith('grid/')]


def grids(key):
    return [tuple(int(side) for side in grid.split('x')) for grid in key.split('/')]


def resized(key, method, prefix=0):
    grid = GOLDEN[f'grid/{key}'].reshape(1, -1, 3)
    tokens = np.random.default_rng(0).normal(size=(1, prefix, 3)).astype('f4')
    given = jnp.concatenate([tokens, grid], axis=1)
    return tokens, np.asarray(resize_positions(given, prefix, *grids(key), method))


def test_the_fixture_goes_up_and_down_and_to_rectangles():
    assert [grids(key) for key in GRIDS] == [
        [(4, 4), (7, 7)],
        [(7, 7), (4, 4)],
        [(5, 5), (3, 8)],
        [(3, 5), (4, 2)],
    ]


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('key', GRIDS)
def test_each_method_is_the_references(key, method):
    expected = GOLDEN[f'{method}/{key}']
    _, ours = resized(key, method)
    np.testing.assert_allclose(ours.reshape(expected.shape), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('key', GRIDS)
def test_no_two_methods_agree(key):
    results = [resized(key, method)[1] for method in METHODS]
    differences = [np.abs(a - b).max() for i, a in enumerate(results) for b in results[:i]]
    assert min(differences) > 1e-2


@pytest.mark.parametrize('prefix', [0, 1, 5])
def test_the_prefix_stays(prefix):
    tokens, ours = resized(GRIDS[2], 'bicubic', prefix)
    assert ours.shape == (1, prefix + 3 * 8, 3)
    np.testing.assert_array_equal(ours[:, :prefix], tokens)
    np.testing.assert_array_equal(ours[:, prefix:], resized(GRIDS[2], 'bicubic')[1])


@pytest.mark.parametrize('method', METHODS)
def test_the_same_grid_changes_nothing(method):
    given = jnp.asarray(np.random.default_rng(0).normal(size=(1, 7, 4)), jnp.float32)
    assert resize_positions(given, 1, (2, 3), (2, 3), method) is given


@pytest.mark.parametrize('method', METHODS)
def test_constant_embeddings_stay_constant(method):
    ours = resize_positions(jnp.full((1, 6, 2), 3.0), 0, (2, 3), (5, 1), method)
    np.testing.assert_allclose(ours, np.full((1, 5, 2), 3.0), rtol=1e-6)


def test_a_grid_of_as_many_patches_in_another_shape_is_resampled():
    given = jnp.asarray(np.random.default_rng(0).normal(size=(1, 6, 2)), jnp.float32)
    ours = resize_positions(given, 0, (2, 3), (3, 2), 'bilinear')
    assert not np.allclose(ours, given)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((1, (2, 3), (4, 4), 'bicubik'), "Did you mean 'bicubic'"),
        ((0, (2, 3), (4, 4), 'bicubic'), '7 position embeddings are not those of 0 prefix tokens and 2×3 patches'),
        ((1, (2, 3), (0, 4), 'bicubic'), 'both need patches'),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        resize_positions(jnp.zeros((1, 7, 4)), *arguments)


def test_what_is_for_the_grid_stays_as_it_is_and_what_has_no_grid_is_refused():
    stored = np.random.default_rng(0).normal(size=(1, 5, 4)).astype(np.float16)
    assert fitted_to_grid(stored, (1, 5, 4), 1, (None, (2, 2)), '') is stored
    assert fitted_to_grid(stored, (1, 10, 4), 1, (None, (3, 3)), '').shape == (1, 10, 4)
    assert fitted_to_grid(stored, (1, 5, 4), 1, ((1, 4), (2, 2)), '') is not stored
    # Five patches are no square, and four features are not six.
    assert fitted_to_grid(stored, (1, 9, 4), 0, (None, (3, 3)), '') is None
    assert fitted_to_grid(stored, (1, 10, 6), 1, (None, (3, 3)), '') is None
