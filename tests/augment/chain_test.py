"""Consecutive geometric operations: flips alone exact, anything else one resampling of the composed map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_sample_image

from jtransfer.augment import chain, flip, matrices
from jtransfer.augment.warp import warp
from jtransfer.config.operations import parse_operation

PHOTO = load_sample_image('china.jpg')[100:132, 200:240]
IMAGES = jnp.asarray(np.tile(PHOTO[None], (6, 1, 1, 1)), jnp.float32)


def _keys(count, streams, seed=0):
    return [jax.random.split(jax.random.key(seed + stream), count) for stream in range(streams)]


def _parse(*texts):
    return [parse_operation(text) for text in texts]


def test_a_run_is_one_chain_until_resampling_changes():
    operations = _parse(
        'horizontal_flip', 'rotate(5)', 'vertical_flip', 'shear(0.1)', 'zoom(0.1, fill=9)', 'horizontal_flip',
        'translate(0.1, interpolation=nearest, fill=9)',
    )  # fmt: skip
    names = [[operation.name for operation in run] for run in chain.split_chains(operations)]
    assert names == [
        ['horizontal_flip', 'rotate', 'vertical_flip', 'shear'],
        ['zoom', 'horizontal_flip'],
        ['translate'],
    ]
    assert chain.split_chains([]) == []


def test_flips_alone_move_pixels_and_say_so():
    keys = _keys(6, 2)
    images, maps = chain.make_chain(_parse('horizontal_flip(0.5)', 'vertical_flip(0.5)'))(keys, IMAGES)
    across, down = flip.draw(keys[0], 0.5), flip.draw(keys[1], 0.5)
    np.testing.assert_array_equal(images, flip.mirror(IMAGES, across, down))
    np.testing.assert_allclose(warp(IMAGES, maps, 'nearest'), images)


def test_a_chain_resamples_once():
    keys = _keys(6, 4)
    operations = _parse('rotate(30)', 'horizontal_flip(0.5)', 'shear(x=0.2, y=0.1)', 'zoom((0.7, 1.4))')
    images, maps = chain.make_chain(operations)(keys, IMAGES)
    single = [chain.operation_matrices(key, op, IMAGES.shape[1:3]) for key, op in zip(keys, operations, strict=True)]
    np.testing.assert_allclose(maps, matrices.compose(*single), atol=1e-4)
    np.testing.assert_array_equal(images, warp(IMAGES, maps, 'bilinear', 0.0))
    gathers = str(jax.make_jaxpr(chain.make_chain(operations))(keys, IMAGES)).count(' gather[')
    alone = str(jax.make_jaxpr(chain.make_chain(operations[:1]))(keys[:1], IMAGES)).count(' gather[')
    assert gathers == alone > 0


@pytest.mark.parametrize(
    'text',
    ['rotate(0)', 'shear(x=0, y=0)', 'translate(x=0, y=0)', 'zoom((1, 1))', 'perspective(0)', 'rotate(90, 0.0)'],
)
def test_strength_nought_changes_nothing(text):
    images, _ = chain.make_chain(_parse(text))(_keys(6, 1), IMAGES)
    np.testing.assert_allclose(images, IMAGES, atol=2e-3)


def test_a_probability_leaves_the_others_as_they_are():
    images, _ = chain.make_chain(_parse('rotate((20, 40), probability=0.5)'))(_keys(6, 1), IMAGES)
    same = [np.array_equal(a, b) for a, b in zip(images, IMAGES, strict=True)]
    assert 0 < sum(same) < 6


@pytest.mark.parametrize(
    ('text', 'entry', 'scale'),
    [
        ('shear(x=(-0.2, 0.4), y=0)', (0, 1), 1.0),
        ('translate(x=(-0.25, 0.5), y=0)', (0, 2), -1 / 40),
        ('zoom((0.5, 2))', (0, 0), None),
        ('rotate((-60, 20))', (1, 0), None),
    ],
)
def test_parameters_are_uniform_in_their_ranges(text, entry, scale):
    (operation,) = _parse(text)
    low, high = next(iter(operation.values.values()))
    drawn = np.asarray(chain.operation_matrices(_keys(2000, 1)[0], operation, (32, 40)))
    if operation.name == 'zoom':
        values = 1 / drawn[:, 0, 0]
    elif operation.name == 'rotate':
        values = np.degrees(np.arctan2(drawn[:, 1, 0], drawn[:, 0, 0]))
    else:
        values = scale * drawn[:, entry[0], entry[1]]
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01


def test_perspective_moves_corners_inwards_by_at_most_half_the_distortion():
    (operation,) = _parse('perspective(0.6)')
    maps = np.asarray(chain.operation_matrices(_keys(500, 1)[0], operation, (32, 40)), np.float64)
    corners = np.array([[0, 0, 1], [40, 0, 1], [40, 32, 1], [0, 32, 1]], np.float64)
    moved = np.einsum('bij,cj->bci', np.linalg.inv(maps), corners)
    moved = moved[..., :2] / moved[..., 2:]
    inwards = np.abs(moved - corners[None, :, :2]) / [20, 16]
    assert inwards.max() <= 0.6 + 1e-3
    assert stats.kstest(inwards.ravel(), stats.uniform(0, 0.6).cdf).pvalue > 0.01


def test_another_operation_is_refused():
    (operation,) = _parse('invert')
    with pytest.raises(ValueError, match='invert is not a geometric operation'):
        chain.operation_matrices(_keys(2, 1)[0], operation, (8, 8))
