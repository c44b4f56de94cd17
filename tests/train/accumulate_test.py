"""A batch in pieces: which examples are together, in which order they are taken, and that the values are averaged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.train.accumulate import accumulate


@pytest.mark.parametrize('pieces', [1, 3])
def test_every_nth_example_is_in_a_piece_and_the_values_are_averaged(pieces):
    batch = {'id': jnp.arange(6), 'labels': {'kind': jnp.arange(6) * 10}, 'seed': jnp.array(7), 'step': jnp.array(3)}

    def gradients(state, batch, key):
        assert batch['id'].shape == (6 // pieces,)
        # The statistics say in which order the pieces came.
        state = state * 10 + batch['id'][0]
        values = {'id': batch['id'].astype(jnp.float32), 'scalars': (batch['seed'] + batch['step']) * 1.0}
        return state, {**values, 'kind': batch['labels']['kind'].sum() / 1.0, 'draw': jax.random.uniform(key)}

    keys = jax.random.split(jax.random.key(0), pieces)
    state, means = accumulate(gradients, jnp.array(0), batch, keys)
    assert int(state) == int('0' + ''.join(str(piece) for piece in range(pieces)))
    np.testing.assert_allclose(means['id'], np.arange(6).reshape(-1, pieces).mean(1))
    assert float(means['scalars']) == 10
    assert float(means['kind']) == pytest.approx(150 / pieces)
    assert float(means['draw']) == pytest.approx(float(jax.vmap(jax.random.uniform)(keys).mean()))
