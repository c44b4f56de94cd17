"""From names to kernels: what is drawn, from which range, for whom, and what it is handed to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jtransfer.augment import colour, filters, ranges, tables, tone
from jtransfer.augment.pixel_operations import make_moves, make_pixel_operation
from jtransfer.config.operations import FRAME, GEOMETRY, MIX, OPERATIONS, parse_operation

MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
KEYS = jax.random.split(jax.random.key(0), 6)
IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 256, (6, 9, 8, 3)), jnp.float32)


def _make(text):
    return jax.jit(make_pixel_operation(parse_operation(text), MEAN, STD))


@pytest.mark.parametrize(
    ('text', 'kernel', 'span'),
    [
        ('brightness((0.2, 1.8))', colour.adjust_brightness, (0.2, 1.8)),
        ('contrast(0.5)', colour.adjust_contrast, (0.5, 1.5)),
        ('saturation(0.5)', colour.adjust_saturation, (0.5, 1.5)),
        ('hue(0.2)', colour.adjust_hue, (-0.2, 0.2)),
        ('gamma((0.5, 2))', tone.adjust_gamma, (0.5, 2.0)),
        ('sharpness((0, 2))', filters.sharpness, (0.0, 2.0)),
        ('solarize((0, 256), probability=1)', lambda x, t: tables.apply_tables(x, tables.solarize(t)), (0.0, 256.0)),
        (
            'gaussian_blur((0.5, 2))',
            lambda x, s: filters.gaussian_blur(x, s, filters.blur_kernel_size(2.0)),
            (0.5, 2.0),
        ),
        ('solarize_add((0, 99), 120)', lambda x, a: tables.apply_tables(x, tables.solarize_add(a, 120)), (0.0, 99.0)),
    ],
)
def test_kernels_get_a_number_an_image_from_the_range(text, kernel, span):
    (drawn,) = ranges.draw(KEYS, span)
    assert len(np.unique(np.asarray(drawn))) == 6
    np.testing.assert_allclose(_make(text)(KEYS, IMAGES), jax.jit(kernel)(IMAGES, drawn), atol=1e-3)


def test_posterize_keeps_each_number_of_bits_equally_often():
    keys = jax.random.split(jax.random.key(1), 1500)
    images = jnp.full((1500, 1, 1, 1), 255.0)
    kept = 256 - np.asarray(_make('posterize((3, 5))')(keys, images))[:, 0, 0, 0]
    values, counts = np.unique(kept, return_counts=True)
    np.testing.assert_array_equal(values, [8, 16, 32])
    assert stats.chisquare(counts).pvalue > 0.01


def test_lighting_is_normal_along_the_components():
    keys = jax.random.split(jax.random.key(1), 2000)
    shifts = np.asarray(_make('lighting(0.1)')(keys, jnp.full((2000, 1, 1, 3), 127.0)))[:, 0, 0] - 127
    unit = np.asarray(tone.lighting(jnp.full((3, 1, 1, 3), 127.0), jnp.eye(3) * 0.1))[:, 0, 0] - 127
    alphas = shifts @ np.linalg.inv(unit)
    for component in alphas.T:
        assert stats.kstest(component, stats.norm(0, 1).cdf).pvalue > 0.01


def test_noise_has_the_strength_that_was_drawn():
    keys = jax.random.split(jax.random.key(1), 40)
    noise = np.asarray(_make('gaussian_noise((2, 20))')(keys, jnp.full((40, 40, 40, 3), 127.0))) - 127
    strengths = noise.std(axis=(1, 2, 3))
    assert stats.kstest(strengths, stats.uniform(2, 18).cdf).pvalue > 0.01


@pytest.mark.parametrize('text', ['invert(probability=0.4)', 'cutout(3, probability=0.4)', 'simple_augment(0.4)'])
def test_the_others_are_left_as_they_are(text):
    keys = jax.random.split(jax.random.key(2), 200)
    images = jnp.tile(IMAGES[:1], (200, 1, 1, 1))
    changed = (np.asarray(_make(text)(keys, images)) != np.asarray(images)).any(axis=(1, 2, 3))
    # Four standard deviations.
    assert abs(changed.mean() - 0.4) < 4 * np.sqrt(0.24 / 200)


@pytest.mark.parametrize('name', ['simple_augment', 'gaussian_noise', 'color_jitter'])
def test_what_happens_to_the_chosen_is_what_happens_to_all(name):
    """Whether an operation happens says nothing about what it draws."""
    keys = jax.random.split(jax.random.key(3), 800)
    images = jnp.tile(IMAGES[:1], (800, 1, 1, 1))
    few, every = (np.asarray(_make(f'{name}(probability={share})')(keys, images)) for share in (0.3, 1))
    changed = (few != np.asarray(images)).any(axis=(1, 2, 3))
    for measure in (lambda x: x.mean(axis=(1, 2, 3)), lambda x: x.std(axis=(1, 2, 3))):
        assert stats.ks_2samp(measure(few[changed]), measure(every)).pvalue > 1e-3


def test_covered_pixels_have_the_mean_colour():
    black = jnp.zeros((6, 9, 8, 3))
    for text in ('cutout(3)', 'random_erasing(probability=1)', 'grid_mask'):
        out = np.asarray(_make(text)(KEYS, black))
        covered = out.any(axis=-1)
        assert covered.any(), text
        np.testing.assert_allclose(out[covered], np.broadcast_to(MEAN, out[covered].shape), rtol=1e-6)


def test_what_moves_things_says_so():
    movers = {
        name
        for name, kind in OPERATIONS.items()
        if kind.works_on not in (FRAME, GEOMETRY, MIX) and make_moves(parse_operation(name)) is not None
    }
    assert movers == {'rand_augment', 'trivial_augment_wide', 'auto_augment', 'simple_augment'}
