"""For tests of what is said of weights, and not of what they are."""

import jax
import jax.numpy as jnp
import pytest

from jtransfer.pretrained import model


@pytest.fixture(scope='module')
def undrawn():
    """New weights are zeros: compiling their random draws would take most of the time."""

    def zeros(init):
        return lambda key: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(init, key))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, '_compile_quickly', zeros)
        yield
