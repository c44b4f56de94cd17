"""The grid is the authors' program's, the kept share the paper's formula, and every image has its own draw."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from jtransfer.augment import grid_mask

VALUE = (124.0, 116.0, 104.0)

# As one program each: an operation at a time is dozens.
grid_masked = jax.jit(grid_mask.grid_mask, static_argnames=('probability', 'distance', 'keep', 'rotate', 'value'))
grid_masks = jax.jit(grid_mask.grid_masks, static_argnums=0)


def _keys(seed, count):
    return jax.random.split(jax.random.key(seed), count)


def _white(count, height, width):
    return jnp.full((count, height, width, 3), 255.0)


def _by_the_authors_rule(shape, distance, kept, offsets, degrees):
    """Bands of rows and of columns on a canvas half as large again; outside both kinds a pixel is dropped (mode 1)."""
    canvas = [3 * side // 2 for side in shape]
    bands = []
    for side, offset in zip(canvas, offsets, strict=True):
        band = np.zeros(side, bool)
        for start in range(offset - distance, side, distance):
            band[max(start, 0) : max(start + kept, 0)] = True
        bands.append(band)
    dropped = ~bands[0][:, None] & ~bands[1][None]
    dropped = np.asarray(Image.fromarray(dropped.astype(np.uint8)).rotate(degrees))
    top, left = ((outer - inner) // 2 for outer, inner in zip(canvas, shape, strict=True))
    return dropped[top : top + shape[0], left : left + shape[1]] == 1


GRIDS = [(7, 4, (0, 0)), (7, 4, (3, 6)), (24, 14, (20, 5)), (1, 0, (0, 0)), (5, 5, (1, 1))]


def _ours(shape, degrees=None):
    distances, kept, offsets = (np.array(column, np.int32) for column in zip(*GRIDS, strict=True))
    # The authors' offsets are on the canvas, ours on the image.
    offsets = offsets - np.array([(3 * side // 2 - side) // 2 for side in shape], np.int32)
    return np.asarray(grid_masks(shape, distances, kept, offsets, degrees))


@pytest.mark.parametrize('shape', [(24, 24), (37, 53), (1, 7)])
def test_the_grid_is_the_authors(shape):
    for mask, grid in zip(_ours(shape), GRIDS, strict=True):
        np.testing.assert_array_equal(mask, _by_the_authors_rule(shape, *grid, 0))


@pytest.mark.parametrize('degrees', [0, 37, 90, 200])
def test_the_turned_grid_is_the_authors(degrees):
    # Even margins of the canvas, so that both turn about the same point; square, so that the canvas holds the image.
    shape = (40, 40)
    masks = _ours(shape, jnp.full(len(GRIDS), float(degrees)))
    for mask, grid in zip(masks, GRIDS, strict=True):
        expected = _by_the_authors_rule(shape, *grid, degrees)
        # Pillow finds source pixels in fixed-point numbers; at the borders between pixels the two may differ.
        assert np.mean(mask != expected) <= (0.005 if degrees % 90 else 0)


@pytest.mark.parametrize(('keep', 'distance'), [(0.4, 10), (0.6, 10), (0.8, 20), (0.0, 5), (1.0, 10)])
def test_the_kept_share_is_the_papers(keep, distance):
    """Exactly so, wherever the grid begins, in images of whole units."""
    out = grid_masked(
        _keys(0, 20), _white(20, 40, 60), probability=1.0, distance=(distance / 40,) * 2, keep=keep, value=VALUE
    )
    stays = np.mean(np.asarray(out) == 255, axis=(1, 2, 3))
    np.testing.assert_allclose(stays, 1 - (1 - keep) ** 2, atol=1e-6)


@pytest.mark.parametrize('rotate', [False, True])
def test_the_kept_share_is_the_papers_on_average(rotate):
    out = grid_masked(
        _keys(1, 1000), _white(1000, 24, 31), probability=1.0, distance=(0.5, 1.0), keep=0.5, rotate=rotate, value=VALUE
    )
    sides = np.arange(12, 25)
    expected = np.mean(1 - (1 - np.floor(sides / 2 + 0.5) / sides) ** 2)
    stays = np.mean(np.asarray(out) == 255, axis=(1, 2, 3))
    assert abs(stays.mean() - expected) < 4 * stays.std() / np.sqrt(len(stays))


def test_distances_and_offsets_are_uniform():
    count, width = 3000, 64
    out = grid_masked(
        _keys(2, count), _white(count, 20, width), probability=1.0, distance=(0.3, 0.8), keep=0.5, value=VALUE
    )
    dropped = (np.asarray(out) != 255).any(axis=(1, 3))
    # Columns where a square begins; there are at least two of them, one unit apart.
    first = [1 + np.flatnonzero(~row[:-1] & row[1:])[:2] for row in dropped]
    distances = np.array([second - begin for begin, second in first])
    np.testing.assert_array_equal(np.unique(distances), np.arange(6, 17))
    assert stats.chisquare(np.bincount(distances)[6:]).pvalue > 1e-3
    for distance in (6, 16):
        offsets = np.array([begin for begin, _ in first])[distances == distance] % distance
        assert stats.chisquare(np.bincount(offsets, minlength=distance)).pvalue > 1e-3


def test_the_colour_and_uint8():
    images = np.random.default_rng(0).integers(0, 256, (8, 20, 20, 3), dtype=np.uint8)
    settings = {'probability': 1.0, 'value': VALUE, 'rotate': True}
    out = np.asarray(grid_masked(_keys(3, 8), jnp.asarray(images), **settings))
    assert out.dtype == np.float32
    painted = (out == VALUE).all(-1)
    assert 0.05 < painted.mean() < 0.3
    np.testing.assert_array_equal(out[~painted], images[~painted])
    np.testing.assert_array_equal(grid_masked(_keys(3, 8), jnp.asarray(images, jnp.float32), **settings), out)


def test_probability_is_the_share_of_masked_images():
    for probability in (0.0, 0.3, 1.0):
        out = grid_masked(_keys(4, 2000), _white(2000, 8, 8), probability=probability, distance=(0.5, 0.5), value=VALUE)
        share = np.mean((np.asarray(out) != 255).any((1, 2, 3)))
        assert abs(share - probability) <= 4 * np.sqrt(probability * (1 - probability) / 2000)


@pytest.mark.parametrize('shape', [(1, 1), (1, 7)])
def test_tiny_images(shape):
    out = np.asarray(grid_masked(_keys(5, 8), _white(8, *shape), probability=1.0, rotate=True, value=VALUE))
    assert np.isin(out, (255.0, *VALUE)).all()


@pytest.mark.parametrize('rotate', [False, True])
def test_an_image_is_masked_by_its_key_alone_in_one_compilation(rotate):
    images = _white(8, 30, 30)
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def apply(keys):
        return grid_masked(keys, images, probability=1.0, rotate=rotate, value=VALUE)

    keys = _keys(6, 8)
    out = np.asarray(apply(keys))
    assert len(np.unique(out.reshape(8, -1), axis=0)) == 8
    order = np.random.default_rng(0).permutation(8)
    np.testing.assert_array_equal(apply(keys[order]), out[order])
