"""RandAugment: which operations, how many, how strong, in timm's definition."""

import functools

import jax
import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_sample_image

from jtransfer.augment.layers import NUMBERS, OPS
from jtransfer.augment.policies import rand_augment

SHAPE = (20, 36)
KEYS = jax.random.split(jax.random.key(0), 4000)
SIGNED = {'rotate', 'shear_x', 'shear_y', 'translate_x', 'translate_y'}
ENHANCERS = {'color', 'contrast', 'brightness', 'sharpness'}


def drawn(count=4000, **settings):
    """Numbers of the operations and levels, [layers, images]."""
    layers = jax.jit(functools.partial(rand_augment.draw, shape=SHAPE, **settings))(KEYS[:count])
    return np.stack([layer.op for layer in layers]), np.stack([layer.level for layer in layers])


def level_by_name(name, magnitude, increasing):
    """timm 1.0.31's functions from magnitudes to arguments retold, signs aside, in double precision."""
    share = magnitude / 10
    enhanced = max(0.1, 1 + 0.9 * share) if increasing else 0.1 + 1.8 * share
    kept, threshold = int(share * 4), min(256, int(share * 256))
    return {
        'rotate': 30 * share,
        'shear_x': 0.3 * share,
        'shear_y': 0.3 * share,
        'translate_x': 0.45 * share * SHAPE[1],
        'translate_y': 0.45 * share * SHAPE[0],
        'posterize': 4 - kept if increasing else kept,
        'solarize': 256 - threshold if increasing else threshold,
        'solarize_add': min(128, int(share * 110)),
        **dict.fromkeys(ENHANCERS, enhanced),
    }.get(name, 0)


def test_operations_are_drawn_evenly_and_independently():
    op, _ = drawn(op_probability=1.0, layers=2)
    counts = np.bincount(op.ravel(), minlength=len(OPS))[[NUMBERS[name] for name in rand_augment.OPERATIONS]]
    assert counts.sum() == op.size
    assert stats.chisquare(counts).pvalue > 0.01
    assert stats.chi2_contingency(np.histogram2d(op[0], op[1], bins=np.arange(1, 17) - 0.5)[0]).pvalue > 0.01


@pytest.mark.parametrize(('probability', 'layers'), [(0.5, 2), (0.3, 3)])
def test_number_of_operations_is_binomial(probability, layers):
    op, level = drawn(op_probability=probability, layers=layers)
    happened = (op != NUMBERS['identity']).sum(axis=0)
    expected = stats.binom(layers, probability).pmf(np.arange(layers + 1)) * op.shape[1]
    assert stats.chisquare(np.bincount(happened, minlength=layers + 1), expected).pvalue > 0.01
    assert not level[op == NUMBERS['identity']].any()


def test_magnitude_is_normal_and_clipped():
    op, level = drawn(op_probability=1.0, magnitude=5.0, std=1.0)
    magnitudes = np.abs(level[op == NUMBERS['rotate']]) / 3
    assert stats.kstest(magnitudes, stats.norm(5, 1).cdf).pvalue > 0.01
    op, level = drawn(op_probability=1.0, magnitude=10.0, std=0.5)
    turns = np.abs(level[op == NUMBERS['rotate']])
    assert turns.max() == 30
    assert stats.binomtest(int((turns == 30).sum()), len(turns), 0.5).pvalue > 0.01


@pytest.mark.parametrize('increasing', [True, False])
def test_signs_are_random_where_there_are_any(increasing):
    op, level = drawn(op_probability=1.0, std=0.0, increasing=increasing)
    for name in rand_augment.OPERATIONS:
        found = np.unique(level[op == NUMBERS[name]])
        signed = name in SIGNED or (name in ENHANCERS and increasing)
        assert len(found) == (2 if signed else 1), name
    above = level[np.isin(op, [NUMBERS[name] for name in SIGNED])] > 0
    assert stats.binomtest(int(above.sum()), above.size).pvalue > 0.01
    if increasing:
        above = level[np.isin(op, [NUMBERS[name] for name in ENHANCERS])] > 1
        assert stats.binomtest(int(above.sum()), above.size).pvalue > 0.01


@pytest.mark.parametrize('increasing', [True, False])
@pytest.mark.parametrize('magnitude', [0.0, 1.0, 3.0, 5.5, 7.0, 9.0, 10.0])
def test_levels_are_timms(magnitude, increasing):
    op, level = drawn(300, op_probability=1.0, magnitude=magnitude, std=0.0, increasing=increasing)
    assert set(np.unique(op)) == {NUMBERS[name] for name in rand_augment.OPERATIONS}
    for number, value in zip(op.ravel(), level.ravel(), strict=True):
        name = OPS[number]
        expected = level_by_name(name, magnitude, increasing)
        if name in SIGNED:
            value = abs(value)
        elif name in ENHANCERS and increasing:
            value = 1 + abs(value - 1)
        assert value == pytest.approx(expected, rel=1e-6), name


def test_magnitude_0_changes_nothing_but_where_there_is_no_magnitude_and_by_posterize():
    settings = {'magnitude': 0.0, 'std': 0.0, 'op_probability': 1.0, 'layers': 1}
    (layer,) = jax.jit(functools.partial(rand_augment.draw, shape=SHAPE, **settings))(KEYS[:200])
    image = load_sample_image('flower.jpg')[200:220, 250:286]
    out = np.asarray(
        jax.jit(functools.partial(rand_augment.apply, **settings))(KEYS[:200], np.tile(image, (200, 1, 1, 1)))
    )
    changed = {OPS[number] for number, result in zip(np.asarray(layer.op), out, strict=True) if (result != image).any()}
    assert changed == {'autocontrast', 'equalize', 'invert', 'posterize'}


@pytest.mark.parity
def test_operations_and_levels_are_timms_own(monkeypatch):
    from tests.golden.reference import import_timm

    import_timm()
    from timm.data import auto_augment as timm

    monkeypatch.setattr(timm, '_randomly_negate', lambda value: value)
    names = {
        'TranslateXRel': 'translate_x',
        'TranslateYRel': 'translate_y',
        'ShearX': 'shear_x',
        'ShearY': 'shear_y',
        'SolarizeAdd': 'solarize_add',
    }
    for increasing, transforms in ((True, timm._RAND_INCREASING_TRANSFORMS), (False, timm._RAND_TRANSFORMS)):
        ours = {}
        for transform in transforms:
            name = names.get(transform, transform.removesuffix('Increasing').lower())
            ours[name] = timm.LEVEL_TO_ARG[transform]
        assert tuple(ours) == rand_augment.OPERATIONS
        for name, function in ours.items():
            for magnitude in np.arange(0, 10.5, 0.5):
                theirs = function(magnitude, {})[0] if function else 0
                size = {'translate_x': SHAPE[1], 'translate_y': SHAPE[0]}.get(name, 1)
                assert theirs * size == pytest.approx(level_by_name(name, magnitude, increasing)), (name, magnitude)
