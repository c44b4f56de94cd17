"""Layers against the same operations by Pillow, one by one and in sequence."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from sklearn.datasets import load_sample_images

from jtransfer.augment import layers

BILINEAR = Image.Resampling.BILINEAR
GREY = (128, 128, 128)
ALL = frozenset(layers.OPS)
LEVELS = {
    'identity': (0.0,),
    'shear_x': (0.3, -0.21, 0.0),
    'shear_y': (0.27, -0.3),
    'translate_x': (5.0, -9.3),
    'translate_y': (-4.0, 7.25),
    'rotate': (30.0, -17.0, 90.0, 180.0),
    'brightness': (0.1, 0.81, 1.0, 1.9),
    'color': (0.0, 0.19, 1.0, 1.81),
    'contrast': (0.0, 0.3, 1.0, 1.7),
    'sharpness': (0.0, 0.1, 1.0, 1.9),
    'posterize': (0.0, 1.0, 4.0, 8.0),
    'solarize': (0.0, 26.0, 113.33333, 255.0, 256.0),
    'solarize_add': (0.0, 33.0, 110.0),
    'autocontrast': (0.0,),
    'equalize': (0.0,),
    'invert': (0.0,),
}
EXACT = ALL - layers.GEOMETRIC

run = jax.jit(layers.apply_layers, static_argnames=('used', 'interpolation', 'fill'))


def pictures(height=37, width=53):
    """Crops of photographs, noise, a gradient and a constant, [batch, height, width, 3]."""
    china, flower = load_sample_images().images
    y, x = np.mgrid[:height, :width]
    gradient = np.stack([3 * x + y, 255 - 4 * y, 2 * x], axis=-1).clip(0, 255)
    return np.stack(
        [
            china[160 : 160 + height, 300 : 300 + width],
            flower[200 : 200 + height, 250 : 250 + width],
            np.random.default_rng(0).integers(0, 256, (height, width, 3)),
            gradient,
            np.full((height, width, 3), (90, 17, 201)),
        ]
    ).astype(np.uint8)


def matrix_of(name, level, size):
    """What Pillow's `transform` takes for a geometric operation, 3 × 3; None for the others."""
    width, height = size
    turn = np.deg2rad(level)
    # Rounded as in Image.rotate, so that quarter turns are exact.
    cosine, sine = np.round([np.cos(turn), np.sin(turn)], 15)
    back = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1]])
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    return {
        'shear_x': np.array([[1, level, 0], [0, 1, 0], [0, 0, 1]]),
        'shear_y': np.array([[1, 0, 0], [level, 1, 0], [0, 0, 1]]),
        'translate_x': np.array([[1, 0, -level], [0, 1, 0], [0, 0, 1]]),
        'translate_y': np.array([[1, 0, 0], [0, 1, -level], [0, 0, 1]]),
        'rotate': back @ rotation @ np.linalg.inv(back),
    }.get(name)


def transform(image, matrix):
    return image.transform(image.size, Image.Transform.AFFINE, matrix[:2].ravel(), BILINEAR, fillcolor=GREY)


def recolour(image, name, level):
    """Pillow's operation on a picture, for all but the geometric ones."""
    return {
        'identity': lambda: image,
        'brightness': lambda: ImageEnhance.Brightness(image).enhance(level),
        'color': lambda: ImageEnhance.Color(image).enhance(level),
        'contrast': lambda: ImageEnhance.Contrast(image).enhance(level),
        'sharpness': lambda: ImageEnhance.Sharpness(image).enhance(level),
        # Pillow refuses to keep 0 bits.
        'posterize': lambda: ImageOps.posterize(image, int(level)) if level else Image.new('RGB', image.size),
        'solarize': lambda: ImageOps.solarize(image, level),
        'solarize_add': lambda: image.point([min(255, i + int(level)) if i < 128 else i for i in range(256)] * 3),
        'autocontrast': lambda: ImageOps.autocontrast(image),
        'equalize': lambda: ImageOps.equalize(image),
        'invert': lambda: ImageOps.invert(image),
    }[name]()


def by_pillow(picture, sequence):
    """The operations one after the other, geometric ones in a row by one matrix."""
    image = Image.fromarray(picture)
    waiting = None
    for name, level in sequence:
        matrix = matrix_of(name, level, image.size)
        if matrix is not None:
            waiting = matrix if waiting is None else waiting @ matrix
        elif name != 'identity':
            if waiting is not None:
                image, waiting = transform(image, waiting), None
            image = recolour(image, name, level)
    return np.asarray(image if waiting is None else transform(image, waiting))


def make_layers(sequences):
    """Layers of sequences of (name, level), one sequence per image, all of the same length."""
    return [
        layers.Layer(
            jnp.array([layers.NUMBERS[name] for name, _ in step], jnp.int32),
            jnp.array([level for _, level in step], jnp.float32),
        )
        for step in zip(*sequences, strict=True)
    ]


def single_cases():
    """Every operation at every level on every picture."""
    cases = [(name, level) for name in layers.OPS for level in LEVELS[name]]
    return [(picture, case) for picture in range(len(pictures())) for case in cases]


@pytest.mark.parametrize(('height', 'width'), [(37, 53), (32, 32)])
def test_every_operation_is_pillows(height, width):
    images = pictures(height, width)
    cases = single_cases()
    batch = images[[picture for picture, _ in cases]]
    ours = np.asarray(run(batch, make_layers([[case] for _, case in cases]), used=ALL))
    assert ours.dtype == np.uint8
    for image, (picture, case), result in zip(batch, cases, ours, strict=True):
        expected = by_pillow(image, [case])
        if case[0] in EXACT:
            np.testing.assert_array_equal(result, expected, err_msg=f'{case} on picture {picture}')
        else:
            difference = np.abs(result.astype(int) - expected)
            # A centre on the very edge of the frame may fall on either side of it, in a pixel here and there.
            assert difference.mean() <= 0.3, case
            assert np.quantile(difference, 0.99) <= 1, case


@pytest.mark.parametrize('rotation', [30.0, -17.0, 90.0, 180.0, 270.0])
def test_rotate_turns_as_pillows_rotate(rotation):
    images = pictures(32, 32)
    ours = np.asarray(run(images, make_layers([[('rotate', rotation)]] * len(images)), used=frozenset({'rotate'})))
    for image, result in zip(images, ours, strict=True):
        expected = Image.fromarray(image).rotate(rotation, BILINEAR, fillcolor=GREY)
        assert np.abs(result.astype(int) - np.asarray(expected)).mean() <= 0.3


@pytest.mark.parametrize('shape', [(1, 1), (1, 7), (2, 3)])
def test_tiny_pictures(shape):
    images = pictures(*shape)[:3]
    names = sorted(EXACT)
    cases = [(picture, (name, LEVELS[name][-1])) for picture in range(3) for name in names]
    batch = images[[picture for picture, _ in cases]]
    ours = np.asarray(run(batch, make_layers([[case] for _, case in cases]), used=ALL))
    for image, (_, case), result in zip(batch, cases, ours, strict=True):
        np.testing.assert_array_equal(result, by_pillow(image, [case]), err_msg=str(case))


def random_sequences(count, length, names, seed):
    """Sequences of the operations at random levels of `LEVELS`, without those that erase the picture."""
    random = np.random.default_rng(seed)
    dull = {('posterize', 0.0), ('contrast', 0.0), ('rotate', 90.0)}

    def step():
        while True:
            name = names[random.integers(len(names))]
            level = LEVELS[name][random.integers(len(LEVELS[name]))]
            if (name, level) not in dull:
                return name, level

    return [[step() for _ in range(length)] for _ in range(count)]


def difference_to_pillow(images, sequences):
    batch = images[np.arange(len(sequences)) % len(images)]
    ours = np.asarray(run(batch, make_layers(sequences), used=ALL)).astype(int)
    pillow = np.stack([by_pillow(image, sequence) for image, sequence in zip(batch, sequences, strict=True)])
    return np.abs(ours - pillow).mean(axis=(1, 2, 3))


@pytest.mark.parametrize('length', [2, 3, 4])
def test_sequences_in_any_order_are_pillows(length):
    images = pictures(32, 32)[:3]
    sequences = random_sequences(120, length, sorted(ALL), seed=length)
    # An operation that amplifies (equalize, posterize) may follow a resampling that is off by one in places.
    assert difference_to_pillow(images, sequences).max() <= 1


def test_operations_of_grey_values_in_any_order_are_exact():
    images = pictures(32, 32)[:3]
    sequences = random_sequences(90, 3, sorted(EXACT), seed=9)
    assert difference_to_pillow(images, sequences).max() == 0


def test_every_pattern_of_moves_and_recolouring_keeps_its_order():
    """With two slots fewer than operations, an order could be lost: all patterns of four layers are tried."""
    images = pictures(32, 32)[:1]
    moves = [('rotate', 25.0), ('shear_x', 0.3), ('translate_x', 6.0), ('translate_y', -5.0)]
    recolouring = [('solarize', 100.0), ('solarize_add', 60.0), ('invert', 0.0), ('brightness', 1.4)]
    sequences = [
        [
            {'move': moves, 'colour': recolouring, 'none': [('identity', 0.0)] * 4}[kind][place]
            for place, kind in enumerate(kinds)
        ]
        for kinds in itertools.product(['move', 'colour', 'none'], repeat=4)
    ]
    assert difference_to_pillow(images, sequences).max() <= 1


def test_moves_in_a_row_resample_once_and_bring_back_what_left_the_frame():
    image = pictures(32, 32)[:1]
    there_and_back = [[('translate_x', 12.5), ('translate_x', -12.5), ('identity', 0.0)]]
    np.testing.assert_array_equal(run(image, make_layers(there_and_back), used=ALL), image)


def test_fill_and_interpolation_are_those_asked_for():
    image = pictures(32, 32)[:1]
    layer = make_layers([[('translate_x', 8.0)]])
    out = np.asarray(run(image, layer, used=ALL, fill=(1.0, 2.0, 3.0)))
    np.testing.assert_array_equal(out[0, :, :8], np.broadcast_to(np.array([1, 2, 3], np.uint8), (32, 8, 3)))
    np.testing.assert_array_equal(out[0, :, 8:], image[0, :, :-8])
    half = make_layers([[('translate_x', 0.5)]])
    assert not np.array_equal(run(image, half, used=ALL), run(image, half, used=ALL, interpolation='nearest'))


def test_floats_are_rounded_and_come_back_as_floats():
    images = pictures(32, 32)
    sequences = random_sequences(len(images), 2, sorted(ALL), seed=3)
    from_bytes = run(images, make_layers(sequences), used=ALL)
    from_floats = run(images.astype(np.float32) + 0.3 * (images < 255), make_layers(sequences), used=ALL)
    assert from_floats.dtype == jnp.float32
    np.testing.assert_array_equal(from_floats, from_bytes)


def test_operations_that_are_not_used_do_nothing_and_are_not_in_the_program():
    images = pictures(32, 32)
    sequences = [[('equalize', 0.0), ('rotate', 20.0)]] * len(images)
    used = frozenset({'invert', 'posterize'})
    np.testing.assert_array_equal(run(images, make_layers(sequences), used=used), images)
    lean = str(jax.make_jaxpr(lambda x, y: layers.apply_layers(x, y, used))(images, make_layers(sequences)))
    assert 'scatter' not in lean
    assert 'cumsum' not in lean


def test_skipped_operations_are_identity():
    layer = make_layers([[('invert', 0.0)], [('rotate', 30.0)]])[0]
    skipped = layers.skip(layer, jnp.array([True, False]))
    np.testing.assert_array_equal(skipped.op, [layers.NUMBERS['identity'], layers.NUMBERS['rotate']])
    np.testing.assert_array_equal(skipped.level, [0, 30])
    assert skipped.op.dtype == jnp.int32


def test_one_compilation_and_no_double_precision_or_callback():
    images = pictures(32, 32)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def once(images, drawn):
        return layers.apply_layers(images, drawn, ALL)

    for seed in range(3):
        drawn = make_layers(random_sequences(len(images), 2, sorted(ALL), seed))
        once(images, drawn)
    program = str(jax.make_jaxpr(lambda x, y: layers.apply_layers(x, y, ALL))(images, drawn))
    assert 'callback' not in program
