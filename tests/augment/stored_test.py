"""Storing changes no value, and what is stored is not computed again by what reads it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.augment.stored import stored


@pytest.mark.parametrize('shape', [(3, 5, 4, 3), (2, 1, 256), (1, 1, 1, 1)])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_the_values_stay(shape, dtype):
    values = jnp.asarray(np.random.default_rng(0).integers(0, 256, shape).astype(dtype))
    np.testing.assert_array_equal(stored(values), values)


def test_a_gather_reads_what_was_computed_once():
    index = jnp.asarray(np.random.default_rng(0).integers(0, 64, (2, 5000)))

    def read(values, keep):
        table = jnp.exp(jnp.sin(values))
        return jnp.take_along_axis(stored(table) if keep else table, index, axis=1)

    def together(keep):
        """Whether a loop of the compiled program holds both the sine and the gather."""
        text = jax.jit(lambda values: read(values, keep)).lower(jnp.ones((2, 64))).compile().as_text()
        loops = [loop for loop in text.split('\n\n') if ' gather(' in loop]
        assert loops
        return any(' sine(' in loop for loop in loops)

    assert together(keep=False)
    assert not together(keep=True)
