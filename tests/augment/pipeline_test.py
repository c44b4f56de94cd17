"""The whole augmentation: what is off costs nothing, and a picture's draw is its own."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import config
from jtransfer.augment.keys import example_keys
from jtransfer.augment.pipeline import make_augment

FULL = config.Augment(
    crop_scale=(0.3, 1.0),
    crop_ratio=(0.75, 1.333),
    horizontal_flip=0.5,
    vertical_flip=0.5,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
)
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 20, 20, 3), np.uint8)
ASPECTS = np.linspace(0.5, 2, 8, dtype=np.float32)


def _keys(ids, epoch=0, seed=0):
    ids = jnp.asarray(ids, jnp.int32)
    return example_keys(seed, jnp.full(ids.shape, epoch, jnp.int32), ids)


def test_nothing_enabled_is_a_cast_and_no_more():
    augment = make_augment(config.Augment(), (20, 20))
    out = augment(_keys(range(8)), IMAGES, ASPECTS)
    assert out.dtype == jnp.float32
    np.testing.assert_array_equal(out, IMAGES)
    cost = augment.lower(_keys(range(8)), IMAGES, ASPECTS).compile().cost_analysis()
    assert cost['flops'] <= IMAGES.size


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
def test_full_augmentation_has_the_size_type_and_range(interpolation):
    out = make_augment(FULL, (16, 16), interpolation)(_keys(range(8)), IMAGES, ASPECTS)
    chex.assert_shape(out, (8, 16, 16, 3))
    assert out.dtype == jnp.float32
    assert 0 <= float(out.min()) < float(out.max()) <= 255


def test_a_picture_is_augmented_alike_in_any_batch():
    augment = make_augment(FULL, (16, 16))
    order = np.array([5, 2, 7, 0, 1, 6, 3, 4])
    whole = np.asarray(augment(_keys(range(8), epoch=3), IMAGES, ASPECTS))
    shuffled = augment(_keys(order, epoch=3), IMAGES[order], ASPECTS[order])
    alone = augment(_keys([6], epoch=3), IMAGES[6:7], ASPECTS[6:7])
    np.testing.assert_allclose(shuffled, whole[order], atol=1e-3)
    np.testing.assert_allclose(alone[0], whole[6], atol=1e-3)


def test_same_picture_differs_by_id_epoch_and_seed():
    augment = make_augment(FULL, (16, 16))
    images, aspects = np.tile(IMAGES[:1], (8, 1, 1, 1)), np.ones(8, np.float32)
    outs = [augment(_keys(range(8), epoch, seed), images, aspects) for epoch, seed in ((0, 0), (1, 0), (0, 1))]
    assert len(np.unique(np.concatenate(outs).reshape(24, -1), axis=0)) == 24


def test_one_compilation_serves_all_epochs_and_seeds():
    augment = make_augment(FULL, (16, 16))

    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(seed, epochs, ids, images, aspects):
        return augment(example_keys(seed, epochs, ids), images, aspects)

    ids = jnp.arange(8, dtype=jnp.int32)
    outs = [step(jnp.uint32(seed), jnp.full(8, epoch), ids, IMAGES, ASPECTS) for seed in (0, 1) for epoch in (0, 1)]
    assert len({np.asarray(out).tobytes() for out in outs}) == 4


def test_without_crops_another_size_is_refused():
    with pytest.raises(ValueError, match='must be 16×16 pixels'):
        make_augment(config.Augment(horizontal_flip=0.5), (16, 16))(_keys(range(8)), IMAGES, ASPECTS)


def test_flips_alone_give_the_image_or_its_mirror():
    out = np.asarray(make_augment(config.Augment(horizontal_flip=0.5), (20, 20))(_keys(range(8)), IMAGES, ASPECTS))
    kept = [np.array_equal(a, b) for a, b in zip(out, IMAGES, strict=True)]
    mirrored = [np.array_equal(a, b[:, ::-1]) for a, b in zip(out, IMAGES, strict=True)]
    assert all(a != b for a, b in zip(kept, mirrored, strict=True))
    assert 0 < sum(kept) < 8
