"""AlexNet's stages, sizes and mistakes; its numbers are in tests/pretrained/names/alexnet_test.py."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.models.alexnet.network import AlexNet
from jtransfer.models.network import Network

TINY = AlexNet(widths=(6, 8, 10, 8, 7), hidden=12)


def tiny(dropout=0.0):
    """A network, random variables and images."""
    network = Network(TINY.clone(dropout=dropout), {'': 5})
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 71, 65, 3)).astype('f4')
    shapes = jax.eval_shape(network.init, jax.random.key(0), images)
    return network, jax.tree.map(lambda x: rng.normal(0, 0.1, x.shape).astype('f4'), shapes), images


def test_the_published_size():
    network = models.create('alexnet', num_classes=1000)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    assert set(variables) == {'params'}
    assert sum(x.size for x in jax.tree.leaves(variables)) == 61_100_840


def test_stage_outputs():
    network = models.create('alexnet', num_classes=0)
    images = jnp.zeros((1, 224, 224, 3))
    shapes = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), images, method='features')[0])
    pictures = [(27, 64), (13, 192), (13, 384), (13, 256), (6, 256)]
    assert [shapes[f'stage{i + 1}'].shape for i in range(5)] == [(1, side, side, width) for side, width in pictures]
    assert [shapes[stage].shape for stage in ('fc1', 'fc2', 'pooled')] == [(1, 4096)] * 3


def test_parts_compose_to_the_whole():
    network, variables, images = tiny()
    features = functools.partial(network.apply, method='features')
    whole = jax.jit(features)(variables, images)
    assert set(whole) == {*network.stages, 'pooled'}
    for stop, start in itertools.pairwise(network.stages):
        first = jax.eval_shape(functools.partial(features, stop=stop), variables, images)
        assert set(first) == set(network.stages[: network.stages.index(start)])
    for stop, start in (('stage5', 'fc1'), ('fc1', 'fc2')):
        rest = jax.jit(functools.partial(features, start=start))(variables, whole[stop])
        np.testing.assert_allclose(rest['pooled'], whole['pooled'], rtol=1e-5)
    np.testing.assert_array_equal(whole['pooled'], whole['fc2'])


def test_every_stage_is_a_layer():
    network, variables, _ = tiny()
    paths = traverse_util.flatten_dict(variables['params'], sep='/')
    depths = {path.split('/')[1]: network.depth(path) for path in paths if path.startswith('backbone/')}
    assert depths == {stage: index for index, stage in enumerate(network.stages)}
    assert network.depth('head/kernel') == 7
    assert f'backbone/{network.backbone.input_kernel}' in paths
    with pytest.raises(UserError, match="'stem/conv/kernel' is in none of the stages stage1, stage2"):
        network.depth('backbone/stem/conv/kernel')


@pytest.mark.parametrize(
    ('frozen', 'dropping'), [((), ['fc1', 'fc2']), (('backbone/fc1',), ['fc2']), (('backbone',), [])]
)
def test_dropout_is_before_both_hidden_layers(frozen, dropping):
    network, variables, images = tiny(dropout=0.5)
    evaluated = jax.jit(functools.partial(network.apply, method='features'))(variables, images)
    for stage, before in (('fc1', 'stage5'), ('fc2', 'fc1')):
        part = functools.partial(network.apply, method='features', train=True, frozen=frozen, start=stage, stop=stage)
        trained = jax.jit(part)(variables, evaluated[before], rngs={'dropout': jax.random.key(1)})[stage]
        assert np.allclose(trained, evaluated[stage]) == (stage not in dropping), stage
    first = functools.partial(network.apply, method='features', train=True, stop='stage5')
    np.testing.assert_array_equal(jax.jit(first)(variables, images)['stage5'], evaluated['stage5'])


@pytest.mark.parametrize('size', [(63, 63), (63, 100)])
def test_the_smallest_images_go_through(size):
    network, variables, _ = tiny()
    assert jax.eval_shape(network.apply, variables, jnp.zeros((1, *size, 3)))[''].shape == (1, 5)


def test_smaller_images_are_refused():
    network, variables, _ = tiny()
    with pytest.raises(UserError, match=r'images of 62×100 pixels are too small .* at least 63'):
        network.apply(variables, jnp.zeros((1, 62, 100, 3)))


def test_dropout_is_where_torchvision_has_it():
    network = models.create('alexnet', num_classes=3, dropout=0.5)
    assert network.backbone.dropout == 0.5
    assert network.dropout == 0
