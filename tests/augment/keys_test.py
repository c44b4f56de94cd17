"""Keys are a function of (seed, epoch, example id) for each image by itself."""

import jax
import jax.numpy as jnp
import numpy as np

from jtransfer.augment.keys import example_keys

IDS = jnp.arange(6, dtype=jnp.int32)
EPOCHS = jnp.array([0, 0, 1, 1, 2, 2], jnp.int32)


def _data(seed, epochs, ids):
    return np.asarray(jax.random.key_data(example_keys(seed, epochs, ids)))


def test_the_place_in_the_batch_does_not_matter():
    order = jnp.array([4, 0, 5, 2, 1, 3])
    np.testing.assert_array_equal(_data(7, EPOCHS[order], IDS[order]), _data(7, EPOCHS, IDS)[np.asarray(order)])
    np.testing.assert_array_equal(_data(7, EPOCHS[2:3], IDS[2:3])[0], _data(7, EPOCHS, IDS)[2])


def test_seed_epoch_and_id_each_change_the_key():
    epochs, ids = (grid.ravel() for grid in jnp.meshgrid(jnp.arange(8), jnp.arange(8)))
    keys = np.concatenate([_data(seed, epochs, ids) for seed in range(4)])
    assert len(np.unique(keys, axis=0)) == 4 * 8 * 8


def test_the_stream_is_not_the_seed_folded_alone():
    plain = jax.random.fold_in(jax.random.fold_in(jax.random.key(7), 0), 0)
    assert not np.array_equal(_data(7, EPOCHS, IDS)[0], jax.random.key_data(plain))


def test_a_traced_seed_gives_the_same_keys():
    traced = jax.jit(lambda seed: jax.random.key_data(example_keys(seed, EPOCHS, IDS)))(jnp.uint32(7))
    np.testing.assert_array_equal(traced, _data(7, EPOCHS, IDS))
