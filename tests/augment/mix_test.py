"""Mixing: labels follow the pixels, pairs follow the keys, shares and boxes follow the papers and timm."""

import functools

import chex
import hypothesis
import hypothesis.extra.numpy as arrays
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies
from scipy import stats

from jtransfer.augment import mix
from jtransfer.errors import UserError

SHAPE = (9, 13)
BOTH = {'mixup_alpha': 0.8, 'cutmix_alpha': 1.0}
MIXUP = {'mixup_alpha': 1.0, 'cutmix_alpha': 0.0}
CUTMIX = {'mixup_alpha': 0.0, 'cutmix_alpha': 1.0}


def _keys(seed, *shape):
    return jax.random.split(jax.random.key(seed), shape)


def _batch(count, seed=0):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, *SHAPE, 3)).astype(np.float32)
    return jnp.asarray(images), jnp.asarray(random.dirichlet(np.ones(5), count), jnp.float32)


@functools.partial(jax.jit, static_argnames=('mode', 'mixup_alpha', 'cutmix_alpha'))
def _apply(keys, images, labels, valid=None, **settings):
    mixing = mix.draw_mixing(keys, SHAPE, valid=valid, **settings)
    mixed = mix.mix_images(images, images[mixing.partner], mixing)
    return mixing, mixed, mix.mix_labels(labels, labels[mixing.partner], mixing.share)


def _many(seed, batches, size, shape=SHAPE, **settings):
    """Draws for many batches, as NumPy arrays [batches, size, …]."""
    draw = jax.jit(jax.vmap(lambda keys: mix.draw_mixing(keys, shape, **settings)))
    return mix.Mixing(*map(np.asarray, draw(_keys(seed, batches, size))))


@pytest.mark.parametrize('mode', mix.MODES)
def test_label_shares_are_the_pasted_area(mode):
    count = 32
    images = jnp.broadcast_to(jnp.arange(count, dtype=jnp.float32)[:, None, None, None], (count, *SHAPE, 3))
    mixing, mixed, labels = _apply(_keys(0, count), images, jnp.eye(count), mode=mode, **CUTMIX)
    # Both are fractions of the same number of pixels; nothing but whole pixels of one image or the other is there.
    shares = np.stack([np.mean(np.asarray(mixed)[..., 0] == number, axis=(1, 2)) for number in range(count)], axis=1)
    np.testing.assert_allclose(labels, shares, atol=1e-7)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    pasted = 1 - np.asarray(mixing.boxes)[:, 2:].prod(axis=1) / np.prod(SHAPE)
    np.testing.assert_allclose(mixing.share, pasted, atol=1e-7)
    assert (np.asarray(mixing.share) < 1).any()


def test_cutmix_pastes_the_box_exactly():
    images, labels = _batch(16)
    mixing, mixed, _ = _apply(_keys(1, 16), images, labels, mode='element', **CUTMIX)
    for own, partner, (top, left, height, width), out in zip(
        images, np.asarray(mixing.partner), np.asarray(mixing.boxes), mixed, strict=True
    ):
        expected = np.array(own)
        box = np.s_[top : top + height, left : left + width]
        expected[box] = np.asarray(images[partner])[box]
        np.testing.assert_array_equal(out, expected)


def test_mixup_is_the_weighted_mean_in_range():
    images, labels = _batch(16)
    images = images.at[3].set(255)
    mixing, mixed, soft = _apply(_keys(2, 16), images, labels, mode='pair', **MIXUP)
    partner, share = np.asarray(mixing.partner), np.asarray(mixing.share, np.float64)
    assert not np.asarray(mixing.cut).any()
    assert not np.asarray(mixing.boxes).any()
    for ours, own, atol in ((mixed, np.asarray(images), 1e-4), (soft, np.asarray(labels), 1e-6)):
        weight = share.reshape(-1, *[1] * (own.ndim - 1))
        np.testing.assert_allclose(ours, weight * own + (1 - weight) * own[partner], atol=atol)
    white = jnp.full_like(images, 255)
    assert mix.mix_images(white, white, mixing).max() == 255
    given = images.astype(jnp.uint8)
    # Another program may contract a product and a sum.
    np.testing.assert_array_max_ulp(
        np.asarray(mix.mix_images(given, given[mixing.partner], mixing)), np.asarray(mixed), 1
    )


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('mode', mix.MODES)
def test_the_order_of_the_batch_does_not_matter(mode, masked):
    images, labels = _batch(9)
    keys = _keys(3, 9)
    valid = jnp.asarray(np.arange(9) % 4 != 1) if masked else jnp.ones(9, bool)
    order = np.random.default_rng(0).permutation(9)
    _, mixed, soft = _apply(keys, images, labels, valid, mode=mode, **BOTH)
    _, mixed2, soft2 = _apply(keys[order], images[order], labels[order], valid[order], mode=mode, **BOTH)
    np.testing.assert_array_equal(mixed2, mixed[order])
    np.testing.assert_array_equal(soft2, soft[order])


@pytest.mark.parametrize('mode', mix.MODES)
def test_a_batch_over_devices_is_mixed_as_a_whole(mode):
    images, labels = _batch(16)
    alone = _apply(_keys(4, 16), images, labels, mode=mode, **BOTH)
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ('data',))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('data'))
    spread = _apply(*jax.device_put((_keys(4, 16), images, labels), sharding), mode=mode, **BOTH)
    chex.assert_trees_all_close(spread, alone, rtol=1e-6)


@pytest.mark.parametrize('mode', mix.MODES)
def test_pairs_are_mutual_and_share_by_mode(mode):
    mixing = _many(5, 50, 6, mode=mode, **MIXUP)
    for partner, share in zip(mixing.partner, mixing.share, strict=True):
        np.testing.assert_array_equal(partner[partner], np.arange(6))
        assert (partner != np.arange(6)).all()
        assert len(np.unique(share)) == {'batch': 1, 'pair': 3, 'element': 6}[mode]
        if mode == 'pair':
            np.testing.assert_array_equal(share[partner], share)
    cutmix = _many(5, 50, 6, shape=(224, 224), mode=mode, **CUTMIX)
    distinct = np.mean([len(np.unique(boxes, axis=0)) for boxes in cutmix.boxes])
    assert {'batch': (1, 1), 'pair': (2.8, 3), 'element': (5.8, 6)}[mode][0] <= distinct
    assert distinct <= {'batch': 1, 'pair': 3, 'element': 6}[mode]


def test_partners_are_uniform():
    partner = _many(6, 3000, 4, mode='batch', **MIXUP).partner[:, 0]
    assert stats.chisquare(np.bincount(partner, minlength=4)[1:]).pvalue > 1e-3
    assert (partner != 0).all()


@pytest.mark.parametrize('mode', mix.MODES)
def test_those_that_are_not_valid_take_no_part(mode):
    images, labels = _batch(8)
    valid = np.array([True, False, True, True, False, True, False, True])
    keys = _keys(7, 8)
    labels = jnp.where(valid[:, None], labels, jnp.nan)
    mixing, mixed, soft = _apply(keys, images, labels, jnp.asarray(valid), mode=mode, **MIXUP)
    partner, share = np.asarray(mixing.partner), np.asarray(mixing.share)
    np.testing.assert_array_equal(partner[~valid], np.flatnonzero(~valid))
    assert (share[~valid] == 1).all()
    np.testing.assert_array_equal(mixed[~valid], images[~valid])
    np.testing.assert_array_equal(soft[~valid], labels[~valid])
    # Five are valid: two pairs, and the middle one.
    assert np.isin(partner[valid], np.flatnonzero(valid)).all()
    assert (share[valid] < 1).sum() == 4
    np.testing.assert_array_equal(np.isnan(soft).any(axis=1), ~valid)
    others = jnp.where(valid, keys, _keys(8, 8))
    _, mixed2, _ = _apply(others, images, labels, jnp.asarray(valid), mode=mode, **MIXUP)
    np.testing.assert_array_equal(mixed2, mixed)
    _, smaller, _ = _apply(keys[valid], images[valid], labels[valid], mode=mode, **MIXUP)
    np.testing.assert_array_max_ulp(np.asarray(smaller), np.asarray(mixed[valid]), 1)


@pytest.mark.parametrize('mode', mix.MODES)
def test_odd_batches_single_images_and_no_valid_one(mode):
    images, labels = _batch(5)
    mixing, mixed, soft = _apply(_keys(9, 5), images, labels, jnp.ones(5, bool), mode=mode, **BOTH)
    alone = np.flatnonzero(np.asarray(mixing.partner) == np.arange(5))
    assert len(alone) == 1
    assert mixing.share[alone] == 1
    assert not mixing.cut[alone]
    np.testing.assert_array_equal(mixed[alone], images[alone])
    np.testing.assert_array_equal(soft[alone], labels[alone])
    for count, valid in ((1, True), (5, False)):
        mask = jnp.full(count, valid)
        _, mixed, soft = _apply(_keys(9, count), images[:count], labels[:count], mask, mode=mode, **BOTH)
        np.testing.assert_array_equal(mixed, images[:count])
        np.testing.assert_array_equal(soft, labels[:count])


@pytest.mark.parametrize(
    ('mode', 'alpha'), [('batch', 0.5), ('pair', 0.5), *(('element', alpha) for alpha in (0.1, 0.5, 1.0, 4.0))]
)
def test_shares_are_beta_distributed(mode, alpha):
    share = _many(10, 2000, 2, mixup_alpha=alpha, cutmix_alpha=0.0, mode=mode).share[:, 0]
    assert share.min() >= 0
    assert share.max() <= 1
    # In single precision many of Beta(0.1, 0.1) are exactly 1.
    reference = stats.beta(alpha, alpha).rvs(20_000, random_state=1).astype(np.float32)
    assert stats.ks_2samp(share, reference).pvalue > 1e-3
    if alpha >= 0.5:
        assert stats.kstest(share, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


@pytest.mark.parametrize('alpha', [0.1, 0.2, 0.8, 1.0, 3.0, 32.0])
def test_the_quantiles_are_the_distributions(alpha):
    uniform = np.linspace(0, 1, 10_007, endpoint=False, dtype=np.float32)
    share = np.asarray(mix._beta(jnp.asarray(uniform), alpha), np.float64)
    # As far as single precision can tell: in Beta(0.1, 0.1) much lies within one rounding of 1.
    below, above = (stats.beta(alpha, alpha).cdf(share + side * 2**-24) for side in (-1, 1))
    assert (uniform > below - 1e-4).all()
    assert (uniform < above + 1e-4).all()


def test_each_method_has_its_own_alpha():
    mixing = _many(11, 4000, 2, shape=(1000, 1000), mixup_alpha=0.3, cutmix_alpha=3.0, mode='batch')
    share, cut = mixing.share[:, 0], mixing.cut[:, 0]
    assert (
        stats.ks_2samp(share[~cut], stats.beta(0.3, 0.3).rvs(20_000, random_state=1).astype(np.float32)).pvalue > 1e-3
    )
    reference = _boxes_by_timms_rule((1000, 1000), 3.0, 4000)
    assert stats.ks_2samp(share[cut], 1 - reference[:, 2:].prod(axis=1) / 1e6).pvalue > 1e-3


@pytest.mark.parametrize('mode', mix.MODES)
def test_probabilities_of_mixing_and_of_switching(mode):
    count = 3000
    settings = {'probability': 0.6, 'switch_probability': 0.3, 'mode': mode}
    mixing = _many(12, count, 2, shape=(64, 64), mixup_alpha=4.0, cutmix_alpha=4.0, **settings)
    cut, mixed = mixing.cut[:, 0], mixing.share[:, 0] < 1
    assert (mixed | ~cut).all()
    for observed, expected in ((mixed, 0.6), (cut, 0.6 * 0.3)):
        assert abs(observed.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / count)


def test_probability_0_mixes_nothing():
    mixing = _many(12, 50, 2, probability=0.0, **BOTH)
    assert not mixing.cut.any()
    assert not mixing.boxes.any()
    assert (mixing.share == 1).all()


def _boxes_by_timms_rule(shape, alpha, count):
    random = np.random.default_rng(2)
    sides = (np.sqrt(1 - random.beta(alpha, alpha, (count, 1))) * shape).astype(int)
    centres = random.integers(0, shape, (count, 2))
    start = np.clip(centres - sides // 2, 0, shape)
    return np.concatenate([start, np.clip(centres + (sides + 1) // 2, 0, shape) - start], axis=1)


def _assert_boxes_alike(boxes, reference):
    for ours, theirs in zip(boxes.T, reference.T, strict=True):
        assert stats.ks_2samp(ours, theirs).pvalue > 1e-3
    assert stats.ks_2samp(boxes[:, 2] * boxes[:, 3], reference[:, 2] * reference[:, 3]).pvalue > 1e-3


@pytest.mark.parametrize(
    ('mode', 'shape', 'alpha'),
    [('batch', (37, 53), 1.0), ('pair', (37, 53), 1.0), ('element', (37, 53), 1.0), ('element', (224, 224), 0.5)],
)
def test_boxes_follow_timms_rule(mode, shape, alpha):
    mixing = _many(13, 2000, 2, shape=shape, mixup_alpha=0.0, cutmix_alpha=alpha, mode=mode)
    boxes = mixing.boxes[:, 0]
    assert (boxes >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= shape).all()
    _assert_boxes_alike(boxes, _boxes_by_timms_rule(shape, alpha, 2000))


@pytest.mark.parity
@pytest.mark.parametrize('mode', mix.MODES)
def test_boxes_and_shares_are_distributed_as_timms(mode):
    torch = pytest.importorskip('torch')
    pytest.importorskip('tests.golden.reference').import_timm()
    from timm.data.mixup import Mixup, cutmix_bbox_and_lam

    np.random.seed(0)
    shape, count = (24, 31), 2000
    theirs = []
    for _ in range(count):
        (top, bottom, left, right), _ = cutmix_bbox_and_lam((3, *shape), np.random.beta(1, 1))
        theirs.append((top, left, bottom - top, right - left))
    mixing = _many(14, count, 2, shape=shape, mode=mode, **CUTMIX)
    _assert_boxes_alike(mixing.boxes[:, 0], np.array(theirs))

    settings = {'mixup_alpha': 0.2, 'cutmix_alpha': 1.0}
    mixup = Mixup(
        **settings,
        prob=0.7,
        switch_prob=0.3,
        mode={'element': 'elem'}.get(mode, mode),
        label_smoothing=0,
        num_classes=2,
    )
    theirs = [mixup(torch.zeros(2, 1, *shape), torch.tensor([0, 1]))[1][0, 0].item() for _ in range(count)]
    mixing = _many(15, count, 2, shape=shape, probability=0.7, switch_probability=0.3, mode=mode, **settings)
    assert stats.ks_2samp(mixing.share[:, 0], np.float32(theirs)).pvalue > 1e-3


@pytest.mark.parity
@pytest.mark.parametrize('cut', [False, True])
def test_mixed_images_and_labels_are_timms(cut):
    """Timm's own batch, with the share and box it drew."""
    torch = pytest.importorskip('torch')
    pytest.importorskip('tests.golden.reference').import_timm()
    from timm.data.mixup import Mixup, cutmix_bbox_and_lam

    images, _ = _batch(4)
    alphas = {'mixup_alpha': 0.0 if cut else 1.0, 'cutmix_alpha': 1.0 if cut else 0.0}
    numbers = np.array([2, 0, 1, 1])
    np.random.seed(3)
    theirs, target = Mixup(**alphas, label_smoothing=0, num_classes=3)(
        torch.tensor(np.asarray(images)).permute(0, 3, 1, 2), torch.tensor(numbers)
    )
    np.random.seed(3)
    np.random.rand()
    share, box = np.random.beta(1, 1), (0, 0, 0, 0)
    if cut:
        (top, bottom, left, right), share = cutmix_bbox_and_lam((3, *SHAPE), share)
        box = (top, left, bottom - top, right - left)
    mixing = mix.Mixing(
        partner=jnp.arange(4, dtype=jnp.int32)[::-1],
        share=jnp.full(4, share, jnp.float32),
        boxes=jnp.tile(jnp.array(box, jnp.int32), (4, 1)),
        cut=jnp.full(4, cut),
    )
    ours = mix.mix_images(images, images[::-1], mixing)
    np.testing.assert_allclose(ours, theirs.permute(0, 2, 3, 1).numpy(), atol=0 if cut else 1e-4)
    labels = mix.soft_labels(jnp.asarray(numbers, jnp.int32), 3)
    np.testing.assert_allclose(mix.mix_labels(labels, labels[::-1], mixing.share), target.numpy(), atol=1e-6)


_UNIT = strategies.floats(0, 1, width=32)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(arrays.arrays(np.float32, (2, 3, 4), elements=_UNIT), arrays.arrays(np.float32, 3, elements=_UNIT))
def test_rows_sum_to_one_when_both_do(weights, share):
    weights = weights + np.float32(1e-3)
    labels, others = weights / weights.sum(axis=-1, keepdims=True)
    mixed = np.asarray(mix.mix_labels(jnp.asarray(labels), jnp.asarray(others), jnp.asarray(share)))
    np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-6)
    assert (mixed >= np.minimum(labels, others) - 1e-6).all()
    assert (mixed <= np.maximum(labels, others) + 1e-6).all()


def test_an_unknown_label_makes_the_mixture_unknown():
    nan = np.nan
    labels = jnp.array([[nan, nan], [1.0, 0.0], [nan, nan], [1.0, 0.0], [nan, nan], [0.25, 0.75]])
    others = jnp.array([[1.0, 0.0], [nan, nan], [0.0, 1.0], [nan, nan], [0.0, 1.0], [1.0, 0.0]])
    share = jnp.array([0.5, 0.5, 1.0, 1.0, 0.0, 0.0])
    expected = [[nan, nan], [nan, nan], [nan, nan], [1, 0], [0, 1], [1, 0]]
    np.testing.assert_array_equal(mix.mix_labels(labels, others, share), expected)


def test_soft_labels():
    nan = np.nan
    soft = mix.soft_labels(jnp.array([2, -1, 0], jnp.int32), 3)
    np.testing.assert_array_equal(soft, np.array([[0, 0, 1], [nan, nan, nan], [1, 0, 0]]))
    assert soft.dtype == jnp.float32
    given = jnp.array([[0.2, 0.8], [nan, nan]])
    np.testing.assert_array_equal(mix.soft_labels(given, 2), given)


def test_one_compilation_and_single_precision():
    images, labels = _batch(6)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def apply(keys, valid):
        mixing = mix.draw_mixing(keys, SHAPE, valid=valid, mode='element', **BOTH)
        mixed = mix.mix_images(images, images[mixing.partner], mixing)
        return mixing, mixed, mix.mix_labels(labels, labels[mixing.partner], mixing.share)

    for seed in range(3):
        mixing, mixed, soft = apply(_keys(seed, 6), jnp.arange(6) > seed)
    types = [leaf.dtype for leaf in (*mixing, mixed, soft)]
    assert types == [jnp.int32, jnp.float32, jnp.int32, bool, jnp.float32, jnp.float32]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'mixup_alpha': 0.0, 'cutmix_alpha': 0.0}, 'greater than 0'),
        ({'mixup_alpha': -0.2, 'cutmix_alpha': 1.0}, 'mixup_alpha=-0.2'),
        ({**BOTH, 'mode': 'elem'}, "'elem' must be one of batch, pair, element"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        mix.draw_mixing(_keys(0, 2), SHAPE, **settings)
