"""AugMix: chains, their depths and operations, and the distributions of the weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jtransfer.augment.layers import NUMBERS, apply_layers
from jtransfer.augment.policies import augmix

SHAPE = (20, 36)
COUNT = 3000


@functools.cache
def drawn(**settings):
    keys = jax.random.split(jax.random.key(0), COUNT)
    mixture = jax.jit(functools.partial(augmix.draw, shape=SHAPE, **settings))(keys)
    op, level = (np.stack([getattr(layer, field) for layer in mixture.layers]) for field in ('op', 'level'))
    return op, level, np.asarray(mixture.weights, np.float64)


@pytest.mark.parametrize('alpha', [1.0, 0.3])
def test_weights_are_beta_and_dirichlet(alpha):
    _, _, weights = drawn(alpha=alpha)
    assert weights.shape == (COUNT, 4)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert weights.min() >= 0
    chains = 1 - weights[:, 0]
    assert stats.kstest(chains, stats.beta(alpha, alpha).cdf).pvalue > 0.01
    # Shares of so little as to be rounding errors are left out; the rest is independent of them.
    certain = chains > 1e-3
    for chain in range(3):
        share = weights[certain, 1 + chain] / chains[certain]
        assert stats.kstest(share, stats.beta(alpha, 2 * alpha).cdf).pvalue > 0.01


def test_depths_are_even_between_1_and_3():
    op, _, _ = drawn()
    assert op.shape == (3, 3 * COUNT)
    happened = op != NUMBERS['identity']
    assert happened[0].all()
    assert not (happened[2] & ~happened[1]).any()
    assert stats.chisquare(np.bincount(happened.sum(axis=0))[1:]).pvalue > 0.01
    # Chains of one image have depths of their own.
    depths = happened.sum(axis=0).reshape(COUNT, 3)
    assert stats.chi2_contingency(np.histogram2d(depths[:, 0], depths[:, 1], bins=3)[0]).pvalue > 0.01


@pytest.mark.parametrize(('all_ops', 'count'), [(True, 13), (False, 9)])
def test_operations_are_drawn_evenly(all_ops, count):
    op, _, _ = drawn(all_ops=all_ops, depth=1, width=2)
    counts = np.bincount(op.ravel(), minlength=len(NUMBERS))
    assert op.shape == (1, 2 * COUNT)
    assert (counts > 0).sum() == count
    assert stats.chisquare(counts[counts > 0]).pvalue > 0.01


@pytest.mark.parametrize('severity', [1, 3, 10])
def test_severity_bounds_the_magnitudes(severity):
    op, level, _ = drawn(severity=severity)
    magnitudes, counts = np.unique(np.abs(level[op == NUMBERS['rotate']]), return_counts=True)
    np.testing.assert_allclose(magnitudes, 30 / 9 * np.arange(severity), atol=1e-5)
    assert severity == 1 or stats.chisquare(counts).pvalue > 0.01
    kept = np.unique(level[op == NUMBERS['posterize']])
    np.testing.assert_array_equal(kept, {1: [4], 3: [3, 4], 10: [0, 1, 2, 3, 4]}[severity])


def test_the_result_is_the_weighted_sum_of_the_image_and_its_chains():
    images = np.random.default_rng(0).integers(0, 256, (6, *SHAPE, 3)).astype(np.uint8)
    keys = jax.random.split(jax.random.key(0), 6)
    mixture = augmix.draw(keys, SHAPE, width=2)
    used = frozenset(augmix.space(SHAPE))
    chains = jax.jit(functools.partial(apply_layers, used=used))(jnp.repeat(images, 2, axis=0), mixture.layers)
    parts = np.concatenate([images[:, None], np.asarray(chains).reshape(6, 2, *SHAPE, 3)], axis=1)
    expected = np.einsum('bp,bphwc->bhwc', np.asarray(mixture.weights, np.float64), parts.astype(np.float64))
    out = jax.jit(functools.partial(augmix.apply, width=2))(keys, images)
    np.testing.assert_array_equal(out, np.floor(expected + 1e-3))


@pytest.mark.parity
@pytest.mark.parametrize('all_ops', [True, False])
def test_tables_are_torchvisions(all_ops):
    from tests.golden.reference import import_torchvision

    import_torchvision()
    from torchvision.transforms import AugMix

    theirs = AugMix(all_ops=all_ops)._augmentation_space(augmix.BINS, SHAPE)
    space = augmix.space(SHAPE, all_ops)
    assert [name.lower() for name in theirs] == [name.replace('_', '') for name in space]
    for (name, ours), (magnitudes, _) in zip(space.items(), theirs.values(), strict=True):
        expected = np.atleast_1d(magnitudes.numpy())
        if name.startswith('translate'):
            # They cut to whole pixels (and lose one where single precision puts 16 just below it; we do not).
            expected = np.trunc(expected + 1e-4)
        np.testing.assert_allclose(ours, expected, rtol=1e-6, err_msg=name)
