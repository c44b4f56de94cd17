"""The hidden dense layer: flattening, dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.models.layers.hidden_dense import HiddenDense
from jtransfer.models.mode import Mode


def run(layer, inputs, kernel, *, train=False, frozen=()):
    params = {'params': {'dense': {'kernel': kernel, 'bias': np.zeros(kernel.shape[1], 'f4')}}}
    return layer.apply(params, jnp.asarray(inputs), Mode(train, frozen), rngs={'dropout': jax.random.key(0)})


def test_pictures_are_averaged_and_flattened_row_by_row():
    x = np.random.default_rng(0).uniform(1, 2, (2, 4, 6, 3)).astype('f4')
    layer = HiddenDense(width=12, grid=2, dropout=0.0, dtype=jnp.float32)
    means = x.reshape(2, 2, 2, 2, 3, 3).mean((2, 4))
    np.testing.assert_allclose(run(layer, x, np.eye(12, dtype='f4')), means.reshape(2, 12), rtol=1e-6)


def test_negative_sums_become_zero():
    layer = HiddenDense(width=3, grid=0, dropout=0.0, dtype=jnp.float32)
    x = np.asarray([[-1.0, 0.5, 2.0]], 'f4')
    np.testing.assert_array_equal(run(layer, x, np.eye(3, dtype='f4')), [[0, 0.5, 2]])


@pytest.mark.parametrize(('train', 'frozen', 'drops'), [(True, (), True), (True, ('',), False), (False, (), False)])
def test_inputs_are_dropped_in_training_alone(train, frozen, drops):
    layer = HiddenDense(width=1000, grid=0, dropout=0.25, dtype=jnp.float32)
    x = np.ones((1, 1000), 'f4')
    kept = np.asarray(run(layer, x, np.eye(1000, dtype='f4'), train=train, frozen=frozen))
    if not drops:
        np.testing.assert_array_equal(kept, x)
        return
    assert set(np.unique(kept)) == {0, np.float32(1 / 0.75)}
    assert 0.2 < (kept == 0).mean() < 0.3
