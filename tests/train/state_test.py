"""The state of a run: copied from its source, whole when it is evaluated."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jtransfer.config import Optim, Transfer


def test_the_state_starts_at_the_source_and_shares_nothing_with_it(toy):
    parts, variables = toy.make(transfer=Transfer('linear_probe'), optim=Optim(ema_decay=0.9))
    source = jax.tree.map(jnp.array, variables)
    state = toy.start(parts, source)
    assert int(state.step) == 0
    assert set(state.trainable) == {'head'}
    assert set(state.frozen) == {'backbone'}
    chex.assert_trees_all_equal(state.ema, state.trainable)
    chex.assert_trees_all_equal(state.variables(), source)
    # What a training step does to its state, when it takes over the buffers.
    jax.tree.map(lambda leaf: leaf.delete(), state)
    chex.assert_trees_all_equal(source, variables)


def test_the_average_and_the_trainable_parameters_share_no_buffer(toy):
    parts, variables = toy.make(optim=Optim(ema_decay=0.9))
    state = toy.start(parts, variables)
    jax.tree.map(lambda leaf: leaf.delete(), state.trainable)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.ema))


def test_the_average_is_evaluated_where_there_is_one(toy):
    for decay, factor in ((0.0, 1.0), (0.9, 2.0)):
        parts, variables = toy.make(transfer=Transfer('linear_probe'), optim=Optim(ema_decay=decay))
        state = toy.start(parts, variables)
        assert (state.ema is None) == (decay == 0)
        state = state.replace(ema=jax.tree.map(lambda leaf: 2 * leaf, state.ema))
        whole = state.variables()
        assert whole.keys() == {'params', 'batch_stats'}
        chex.assert_trees_all_equal(whole['params']['backbone'], variables['params']['backbone'])
        chex.assert_trees_all_close(
            whole['params']['head'], jax.tree.map(lambda leaf, f=factor: f * leaf, variables['params']['head'])
        )


def test_a_network_without_statistics_has_none(toy):
    parts, variables = toy.make('vit_tiny_test')
    state = toy.start(parts, variables)
    assert state.model_state == {}
    assert state.variables().keys() == {'params'}
