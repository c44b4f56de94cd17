"""What holds for every policy: a draw per image, from its key alone; 8 bits or floats; one program."""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from jtransfer.augment.policies import (
    augmix,
    auto_augment,
    rand_augment,
    simple_augment,
    three_augment,
    trivial_augment,
)

POLICIES = {
    'augmix': augmix.apply,
    'auto_augment': auto_augment.apply,
    'rand_augment': rand_augment.apply,
    'simple_augment': simple_augment.apply,
    'three_augment': three_augment.apply,
    'trivial_augment': trivial_augment.apply,
}
BATCH = 32
IMAGE = load_sample_image('china.jpg')[160:180, 300:324]
IMAGES = np.random.default_rng(0).integers(0, 256, (BATCH, 20, 24, 3)).astype(np.uint8)
KEYS = jax.random.split(jax.random.key(0), BATCH)

pytestmark = pytest.mark.usefixtures('compile_once')


@pytest.mark.parametrize('name', POLICIES)
def test_every_image_has_its_own_draw_whatever_the_order_of_the_batch(name):
    traced = jax.jit(chex.assert_max_traces(POLICIES[name], n=1))
    out = np.asarray(traced(KEYS, IMAGES))
    order = np.random.default_rng(1).permutation(BATCH)
    np.testing.assert_array_equal(traced(KEYS[order], IMAGES[order]), out[order])

    same = np.asarray(traced(KEYS, np.tile(IMAGE, (BATCH, 1, 1, 1))))
    # Some draws leave a picture alone, or do the same.
    assert len(np.unique(same.reshape(BATCH, -1), axis=0)) > BATCH / 4
    other = np.asarray(traced(jax.random.split(jax.random.key(1), BATCH), IMAGES))
    assert not np.array_equal(other, out)


@pytest.mark.parametrize('name', POLICIES)
def test_floats_give_the_picture_of_bytes_and_stay_in_range(name):
    apply = jax.jit(POLICIES[name])
    from_bytes, from_floats = apply(KEYS, IMAGES), apply(KEYS, IMAGES.astype(np.float32))
    assert from_floats.dtype == jnp.float32
    assert from_bytes.dtype == (jnp.float32 if name == 'simple_augment' else jnp.uint8)
    np.testing.assert_array_equal(from_floats, from_bytes)
    assert from_floats.shape == IMAGES.shape
    assert from_floats.min() >= 0
    assert from_floats.max() <= 255


@pytest.mark.parametrize('name', POLICIES)
def test_no_callback(name):
    assert 'callback' not in str(jax.make_jaxpr(POLICIES[name])(KEYS, IMAGES))


@pytest.mark.parametrize('name', ['augmix', 'rand_augment'])
def test_eight_devices_draw_the_same_and_exchange_nothing(name):
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ('data',))
    placement = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('data'))
    keys, images = jax.device_put((KEYS, IMAGES), placement)
    program = jax.jit(POLICIES[name], out_shardings=placement).lower(keys, images).compile()
    np.testing.assert_array_equal(program(keys, images), jax.jit(POLICIES[name])(KEYS, IMAGES))
    assert not re.search('all-gather|all-reduce|all-to-all|collective-permute', program.as_text())
