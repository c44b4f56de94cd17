"""What the kinds of adaptation share: the path of a call, and the spread of the first values."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.adapters.adaptation import Adaptation, called_path, uniform_fan_in


class Outer(nn.Module):
    """A module in a module, with another method."""

    def setup(self):
        self.inner = nn.Dense(2)

    def __call__(self, inputs):
        return self.other(self.inner(inputs))

    def other(self, inputs):
        return 2 * inputs


def test_a_call_has_the_path_of_its_module_and_other_methods_have_none():
    found = []

    def note(next_fun, args, kwargs, context):
        found.append((context.method_name, called_path(context)))
        return next_fun(*args, **kwargs)

    with nn.intercept_methods(note):
        Outer().init(jax.random.key(0), jnp.ones((1, 3)))
    assert ('__call__', 'inner') in found
    assert ('__call__', '') in found
    assert ('other', '') in found


@pytest.mark.parametrize('shape', [(400, 8), (5, 5, 16, 8)])
def test_first_values_fill_the_bound_that_the_inputs_give(shape):
    values = np.asarray(uniform_fan_in(jax.random.key(0), shape))
    bound = 1 / np.sqrt(np.prod(shape[:-1]))
    assert values.dtype == np.float32
    assert 0.98 * bound < np.abs(values).max() <= bound
    assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)


def test_a_kind_states_its_first_values():
    with pytest.raises(TypeError, match='abstract method'):
        Adaptation()
