"""TrivialAugment: one operation, uniform in everything, from torchvision's wide tables."""

import jax
import numpy as np
import pytest
from scipy import stats

from jtransfer.augment.layers import NUMBERS
from jtransfer.augment.policies import trivial_augment

SPACE = trivial_augment.SPACE


@pytest.fixture(scope='module')
def drawn():
    (layer,) = jax.jit(lambda keys: trivial_augment.draw(keys, (20, 36)))(jax.random.split(jax.random.key(0), 8000))
    return np.asarray(layer.op), np.asarray(layer.level)


def test_operations_are_drawn_evenly(drawn):
    counts = np.bincount(drawn[0], minlength=len(NUMBERS))[[NUMBERS[name] for name in SPACE]]
    assert counts.sum() == len(drawn[0])
    assert stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize('name', ['rotate', 'shear_x', 'color', 'solarize'])
def test_bins_are_drawn_evenly(drawn, name):
    level = drawn[1][drawn[0] == NUMBERS[name]]
    magnitude = np.abs(level - (name == 'color')) if name != 'solarize' else level
    bins = np.argmin(np.abs(magnitude[:, None] - SPACE[name]), axis=1)
    np.testing.assert_allclose(magnitude, SPACE[name][bins], atol=1e-4)
    assert stats.chisquare(np.bincount(bins, minlength=31)).pvalue > 0.01


def test_signs_are_even_where_there_are_any(drawn):
    op, level = drawn
    for name in ('rotate', 'shear_y', 'translate_x', 'sharpness'):
        deviation = level[op == NUMBERS[name]] - (name == 'sharpness')
        deviation = deviation[np.abs(deviation) > 1e-6]
        assert stats.binomtest(int((deviation > 0).sum()), deviation.size).pvalue > 0.01
    assert level[np.isin(op, [NUMBERS['posterize'], NUMBERS['solarize']])].min() >= 0


def test_ranges_are_wide(drawn):
    op, level = drawn
    ranges = {
        'identity': (0, 0),
        'shear_x': (-0.99, 0.99),
        'translate_y': (-32, 32),
        'rotate': (-135, 135),
        'brightness': (0.01, 1.99),
        'posterize': (2, 8),
        'solarize': (0, 255),
        'equalize': (0, 0),
    }
    for name, expected in ranges.items():
        values = level[op == NUMBERS[name]]
        np.testing.assert_allclose((values.min(), values.max()), expected, atol=1e-6)


@pytest.mark.parity
def test_tables_are_torchvisions():
    from tests.golden.reference import import_torchvision

    import_torchvision()
    from torchvision.transforms import TrivialAugmentWide

    theirs = TrivialAugmentWide()._augmentation_space(trivial_augment.BINS)
    assert [name.lower() for name in theirs] == [name.replace('_', '') for name in SPACE]
    for (name, ours), (magnitudes, _) in zip(SPACE.items(), theirs.values(), strict=True):
        expected = np.atleast_1d(magnitudes.numpy())
        if name.startswith('translate'):
            # They cut to whole pixels (and lose one where single precision puts 16 just below it; we do not).
            expected = np.trunc(expected + 1e-4)
        np.testing.assert_allclose(ours, expected, rtol=1e-6, err_msg=name)
