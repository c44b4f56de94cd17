"""An adapted network is used like any other."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import rules
from jtransfer.adapters import AdaptedNetwork
from jtransfer.config.transfer import ADAPTATIONS
from jtransfer.errors import UserError

PAIRS = [(name, kind) for name in ('resnet', 'bit', 'vit') for kind in ADAPTATIONS if name == 'vit' or kind != 'prompt']


@pytest.mark.parametrize(('name', 'kind'), PAIRS)
def test_gradients_reach_every_adapter_in_a_frozen_network_whose_statistics_stay(bench, name, kind):
    net, variables = bench.adapted(name, kind)
    params = dict(variables.pop('params'))
    trainable = {'adapters': params.pop('adapters')}
    images = bench.images()

    @jax.jit
    @jax.grad
    def gradient(trainable):
        (logits, *_), updated = net.apply(
            {'params': {**params, **trainable}, **variables},
            images,
            frozen=('backbone',),
            mutable=['batch_stats'],
            method='training_logits',
        )
        statistics = sum(jnp.abs(x).sum() for x in jax.tree.leaves(updated)) if updated else 0.0
        return jnp.square(logits['']).mean() + 0 * statistics

    gradients = rules.flatten(gradient(trainable))
    assert gradients
    assert all(np.abs(leaf).max() > 0 for leaf in gradients.values())

    _, updated = net.apply(
        {'params': {**params, **trainable}, **variables},
        images,
        train=True,
        frozen=('backbone',),
        mutable=['batch_stats'],
    )
    jax.tree.map(np.testing.assert_array_equal, updated, variables)


@pytest.mark.parametrize('kind', ADAPTATIONS)
def test_the_methods_of_the_network(bench, kind):
    net, variables = bench.adapted('vit', kind)
    images = bench.images()
    logits = bench.run(net, variables, images)
    features = bench.run(net, variables, images, method='features')
    np.testing.assert_allclose(
        bench.run(net, variables, features['pooled'], method='classify'), logits, rtol=1e-5, atol=1e-6
    )
    trained = bench.run(net, variables, images, method='training_logits')
    np.testing.assert_allclose(trained.outputs[''], logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('kind', ADAPTATIONS)
def test_vmap_scan_and_bfloat16(bench, kind):
    network = bench.network('vit', dtype=jnp.bfloat16)
    net, variables = bench.adapted('vit', kind, network=network)
    images = bench.images()
    alone = bench.run(net, variables, images)
    assert alone.dtype == jnp.float32
    params = variables['params']
    two = jax.tree.map(lambda x: jnp.stack([x, 0 * x]), params['adapters'])
    lanes = jax.jit(jax.vmap(lambda low: net.apply({'params': {**params, 'adapters': low}}, images)['']))(two)
    np.testing.assert_allclose(lanes[0], alone, rtol=0.05, atol=0.05)
    assert np.abs(lanes[1] - alone).max() > 1e-2
    _, scanned = jax.lax.scan(lambda carry, x: (carry, net.apply(variables, x[None])[''][0]), 0, images)
    np.testing.assert_allclose(scanned, alone, rtol=0.05, atol=0.05)


def test_pmap_takes_the_statistics_of_all_devices(bench):
    net, variables = bench.adapted('resnet', 'lora')
    images = bench.images(batch=8)
    whole, expected = bench.train(net, variables, images)
    parallel = net.with_norm_axis('devices')
    assert parallel.network.norm_axis == 'devices'
    call = jax.pmap(
        lambda v, x: parallel.apply(v, x, train=True, mutable=['batch_stats']),
        axis_name='devices',
        in_axes=(None, 0),
        devices=jax.devices()[:2],
    )
    logits, updated = call(variables, images.reshape(2, 4, 32, 32, 3))
    np.testing.assert_allclose(logits[''].reshape(8, 3), whole, rtol=1e-4, atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-4, atol=1e-5), updated, expected)


@pytest.mark.parametrize('kind', ADAPTATIONS)
def test_the_depth_of_an_adapter_is_that_of_its_module(bench, kind):
    net, variables = bench.adapted('vit', kind)
    paths = [path for path in rules.flatten(variables['params']) if path.startswith('adapters/')]
    assert paths
    for path in paths:
        assert net.depth(path) == net.network.depth(path.removeprefix('adapters/'))
    assert net.depth('backbone/block1/mlp/fc1/kernel') == 2
    assert net.depth(next(path for path in paths if 'block1' in path)) == 2


def test_it_states_what_the_network_states_and_is_static(bench):
    net, variables = bench.adapted('vit', 'lora')
    inner = net.network
    for name in ('backbone', 'heads', 'dropout', 'head_init', 'stages', 'dtype', 'prefix_tokens'):
        assert getattr(net, name) == getattr(inner, name)
    again, _ = bench.adapted('vit', 'lora')
    assert (net, hash(net)) == (again, hash(again))
    other = dataclasses.replace(net, adaptation=dataclasses.replace(net.adaptation, alpha=1.0))
    assert other != net
    call = jax.jit(AdaptedNetwork.apply, static_argnums=0)
    assert call(net, variables, bench.images())[''].shape == (4, 3)


def test_init_makes_all_variables(bench):
    net, variables = bench.adapted('resnet', 'lora')
    made = jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3))))
    assert jax.tree.map(jnp.shape, made) == jax.tree.map(jnp.shape, variables)


def test_parameters_without_adapters_are_refused(bench):
    net, variables = bench.adapted('vit', 'lora')
    del variables['params']['adapters']
    with pytest.raises(UserError, match=r'no child adapters \(only backbone, head\)'):
        net.apply(variables, bench.images())['']
