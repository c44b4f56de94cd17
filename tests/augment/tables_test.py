"""Tables against Pillow's ImageOps and ImageEnhance: bit for bit, on photographs, odd sizes and degenerate images."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from sklearn.datasets import load_sample_images

from jtransfer.augment import tables

MIXED = (np.arange(35 * 3).reshape(5, 7, 3) * 2 % 256).astype(np.uint8)
MIXED[..., 1] = 77


def _pictures():
    """Photographs, odd sizes, constants, noise, a gradient, a channel of one value, few pixels."""
    china, flower = load_sample_images().images
    random = np.random.default_rng(0)
    return {
        'china': china[100:228, 200:328],
        'flower': flower[150:187, 300:353],
        'row': china[10:11, 20:27],
        'pixel': flower[200:201, 100:101],
        'dim': (china[:60, :80] // 3 + 40).astype(np.uint8),
        'noise': random.integers(0, 256, (23, 41, 3)).astype(np.uint8),
        'gradient': np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (3, 256, 3)),
        'constant': np.full((9, 8, 3), 173, np.uint8),
        'black': np.zeros((4, 4, 3), np.uint8),
        'white': np.full((4, 4, 3), 255, np.uint8),
        'two values': random.choice(np.array([12, 200], np.uint8), (19, 17, 3)),
        'one-valued channel': MIXED,
        'mostly bright': np.where(random.random((30, 30, 1)) < 0.56, 255, np.arange(90).reshape(30, 1, 3)).astype(
            np.uint8
        ),
    }


PICTURES = _pictures()
names = pytest.mark.parametrize('name', PICTURES)


@functools.partial(jax.jit, static_argnums=1)
def _through(images, make):
    """Images through the tables that `make(images)` gives, as one program: an operation at a time is a dozen."""
    return tables.apply_tables(images, make(images))


def _applied(image, make):
    """What `make(images)` gives, of uint8 and of floats, which must be the same."""
    out, again = (np.asarray(_through(image[None].astype(dtype), make)) for dtype in (np.uint8, np.float32))
    assert out.dtype == np.uint8
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, out)
    return out[0]


@jax.jit
def _posterized(images, bits):
    return tables.apply_tables(images, tables.posterize(bits))


@jax.jit
def _solarized(images, thresholds):
    return tables.apply_tables(images, tables.solarize(thresholds))


@jax.jit
def _enhanced(images, factors):
    made = tables.brightness(factors), tables.contrast(images, factors)
    return [(table, tables.apply_tables(images, table)) for table in made]


def _pillow(image, function):
    """A Pillow operation, on RGB or, for one channel, on grey."""
    grey = image.shape[2] == 1
    out = np.asarray(function(Image.fromarray(image[..., 0] if grey else image)))
    return out[..., None] if grey else out


def _repeated(image, count):
    return np.broadcast_to(image, (count, *image.shape))


@names
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize(
    ('make', 'reference'),
    [
        (lambda images: tables.invert(1), ImageOps.invert),
        (tables.autocontrast, ImageOps.autocontrast),
        (tables.equalize, ImageOps.equalize),
    ],
    ids=['invert', 'autocontrast', 'equalize'],
)
def test_operations_without_parameters_are_pillows(name, channels, make, reference):
    image = PICTURES[name][..., :channels]
    np.testing.assert_array_equal(_applied(image, make), _pillow(image, reference))


@names
def test_posterize_is_pillows(name):
    image = PICTURES[name]
    out = np.asarray(_posterized(_repeated(image, 8), np.arange(1, 9)))
    for kept, result in zip(range(1, 9), out, strict=True):
        np.testing.assert_array_equal(result, _pillow(image, lambda im, kept=kept: ImageOps.posterize(im, kept)))


def test_no_bits_are_black():
    np.testing.assert_array_equal(tables.posterize(jnp.array([0])), np.zeros((1, 1, 256)))


@names
def test_solarize_is_pillows(name):
    image = PICTURES[name]
    thresholds = [0, 1, 100, 128, 173, 200.5, 255, 256]
    out = np.asarray(_solarized(_repeated(image, len(thresholds)), np.array(thresholds, np.float32)))
    for threshold, result in zip(thresholds, out, strict=True):
        expected = _pillow(image, lambda im, threshold=threshold: ImageOps.solarize(im, threshold))
        np.testing.assert_array_equal(result, expected)
    whole = jnp.array([0, 128, 256], jnp.int32)
    np.testing.assert_array_equal(tables.solarize(whole), tables.solarize(whole.astype(jnp.float32)))


def test_solarize_add_is_autoaugments():
    amounts = [0, 1, 60, 110, 128, 200]
    values = np.arange(256)
    for threshold in (128, 200):
        out = np.asarray(tables.solarize_add(jnp.array(amounts), threshold))[:, 0]
        for amount, result in zip(amounts, out, strict=True):
            expected = [min(255, value + amount) if value < threshold else value for value in values]
            np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(tables.solarize_add(jnp.array([60.9])), tables.solarize_add(jnp.array([60])))


FACTORS = np.array([0.0, 0.05, 0.1, 0.3, 0.5, 0.73, 0.9, 1.0, 1.1, 1.27, 1.9, 2.6, 10.0, -0.4], np.float32)


@names
@pytest.mark.parametrize('channels', [1, 3])
def test_brightness_and_contrast_are_pillows(name, channels):
    image = PICTURES[name][..., :channels]
    cases = _enhanced(_repeated(image, len(FACTORS)), FACTORS)
    for (made, out), enhancer in zip(cases, (ImageEnhance.Brightness, ImageEnhance.Contrast), strict=True):
        chex.assert_shape(made, (len(FACTORS), 1, 256))
        for factor, result in zip(FACTORS, np.asarray(out), strict=True):
            expected = _pillow(image, lambda im, factor=factor, enhancer=enhancer: enhancer(im).enhance(float(factor)))
            np.testing.assert_array_equal(result, expected)


def test_floats_are_rounded_first():
    image = PICTURES['flower']
    whole = jnp.asarray(image)[None]
    shaken = whole.astype(jnp.float32) + jnp.linspace(-0.4, 0.4, image.size).reshape(1, *image.shape)
    for make in (tables.autocontrast, tables.equalize, lambda images: tables.contrast(images, jnp.array([0.3]))):
        np.testing.assert_array_equal(make(jnp.clip(shaken, 0, 255)), make(whole))
    np.testing.assert_array_equal(tables.apply_tables(shaken, tables.identity(1)), image[None])


def test_every_pair_of_extremes_is_stretched_as_by_pillow():
    """All 32,640 pairs: Pillow's double precision falls short of a whole number for some, the brightest value too."""
    low, high = np.triu_indices(256, 1)
    images = np.stack([low, high], axis=1).astype(np.uint8)[:, None, :, None]
    ours = np.asarray(jax.jit(tables.autocontrast)(images))[:, 0]
    scale = 255.0 / (high - low)[:, None]
    # The table of ImageOps.autocontrast, in Python's double precision.
    expected = np.clip((np.arange(256) * scale + -low[:, None] * scale).astype(np.int64), 0, 255)
    np.testing.assert_array_equal(ours, expected)
    assert (ours[np.arange(len(high)), high] == 254).any()
    for index in np.random.default_rng(0).choice(len(low), 50):
        pillow = ImageOps.autocontrast(Image.fromarray(np.array([[low[index], high[index]]], np.uint8)))
        np.testing.assert_array_equal(ours[index][images[index, 0, :, 0]], np.asarray(pillow)[0])


def test_images_of_a_batch_have_tables_of_their_own():
    images = np.stack([PICTURES['china'][:20, :20], PICTURES['flower'][:20, :20], PICTURES['dim'][:20, :20]])
    factors = jnp.array([0.2, 1.4, 0.8])
    for make in (
        lambda images, factors: tables.contrast(images, factors),
        lambda images, factors: tables.equalize(images),
        lambda images, factors: tables.autocontrast(images),
    ):
        together = tables.apply_tables(jnp.asarray(images), make(jnp.asarray(images), factors))
        for index, result in enumerate(together):
            alone = jnp.asarray(images[index : index + 1])
            np.testing.assert_array_equal(
                result, tables.apply_tables(alone, make(alone, factors[index : index + 1]))[0]
            )


@names
def test_histograms_count_every_channel(name):
    image = PICTURES[name]
    counts = np.asarray(jax.jit(tables.histograms)(image[None]))
    assert counts.dtype == np.int32
    np.testing.assert_array_equal(counts[0].ravel(), Image.fromarray(image).histogram())


def test_identity_changes_nothing():
    images = jnp.asarray(np.stack([PICTURES['china'], PICTURES['china'][::-1]]))
    np.testing.assert_array_equal(tables.apply_tables(images, tables.identity(2)), images)


def test_sums_of_large_pictures_do_not_overflow():
    """The grey values of 4000 x 4000 pixels add up to more than 31 bits hold."""
    image = np.full((1, 4000, 4000, 1), 254, np.uint8)
    image[0, :2000] = 253
    # The mean, 253.5, is rounded up.
    np.testing.assert_array_equal(jax.jit(tables.contrast)(image, np.zeros(1, np.float32)), np.full((1, 1, 256), 254))


def test_tables_of_other_channels_are_refused():
    images = jnp.asarray(PICTURES['row'][None, ..., :1])
    with pytest.raises(ValueError, match='3 channels must have 1 or 1'):
        tables.apply_tables(images, tables.autocontrast(jnp.asarray(PICTURES['row'])[None]))


def test_one_compilation_serves_all_parameters():
    images = jnp.asarray(PICTURES['flower'])[None]

    @jax.jit
    @chex.assert_max_traces(n=1)
    def lookup(factor, bits, amount):
        made = [
            tables.brightness(factor),
            tables.contrast(images, factor),
            tables.posterize(bits),
            tables.solarize(256 * factor),
            tables.solarize_add(amount),
        ]
        return jnp.stack([tables.apply_tables(images, table) for table in made])

    outs = [lookup(jnp.array([0.1 * k]), jnp.array([k]), jnp.array([10 * k])) for k in range(1, 4)]
    assert len({np.asarray(out).tobytes() for out in outs}) == 3
