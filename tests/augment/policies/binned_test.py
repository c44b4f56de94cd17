"""Tables of magnitudes, and the layers that are read from them."""

import jax.numpy as jnp
import numpy as np

from jtransfer.augment.layers import NUMBERS
from jtransfer.augment.policies import binned

SPACE = {
    'rotate': binned.ramp(30.0, 4),
    'color': binned.ramp(0.9, 4),
    'posterize': binned.bits(8, 4, 4),
    'solarize': binned.thresholds(4),
    'invert': np.zeros(1),
}


def test_tables_of_magnitudes():
    np.testing.assert_allclose(SPACE['rotate'], [0, 10, 20, 30])
    np.testing.assert_array_equal(SPACE['posterize'], [8, 7, 5, 4])
    np.testing.assert_array_equal(SPACE['solarize'], [255, 170, 85, 0])
    np.testing.assert_array_equal(binned.pixels(10.0, 4), [0, 3, 6, 10])


def test_a_layer_has_the_number_and_the_level_of_its_operation_and_signs_where_there_are_any():
    choice = jnp.tile(jnp.arange(5), 2)
    negative = jnp.repeat(jnp.array([False, True]), 5)
    layer = binned.make_layer(SPACE, choice, jnp.full(10, 2), negative)
    np.testing.assert_array_equal(layer.op, 2 * [NUMBERS[name] for name in SPACE])
    np.testing.assert_allclose(layer.level, [20, 1.6, 5, 85, 0, -20, 0.4, 5, 85, 0], rtol=1e-6)
