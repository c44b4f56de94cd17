"""VGG's stages, sizes and mistakes; its numbers are in tests/pretrained/names/vgg_test.py."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.models.network import Network
from jtransfer.models.vgg.network import VGG

# torchvision's own counts, with 1000 classes.
PUBLISHED = {
    'vgg11': 132_863_336,
    'vgg13': 133_047_848,
    'vgg16': 138_357_544,
    'vgg19': 143_667_240,
    'vgg11_bn': 132_868_840,
    'vgg13_bn': 133_053_736,
    'vgg16_bn': 138_365_992,
    'vgg19_bn': 143_678_248,
}
TINY = VGG((1, 2), (4, 6), hidden=9, batch_norm=True)


def tiny(dropout=0.0):
    """A network, random variables and images."""
    network = Network(TINY.clone(dropout=dropout), {'': 5})
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 17, 14, 3)).astype('f4')
    shapes = jax.eval_shape(network.init, jax.random.key(0), images)
    return network, jax.tree.map(lambda x: rng.uniform(0, 0.3, x.shape).astype('f4'), shapes), images


@pytest.mark.parametrize(('name', 'count'), PUBLISHED.items())
def test_the_published_sizes(name, count):
    network = models.create(name, num_classes=1000)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert ('batch_stats' in variables) == name.endswith('_bn')
    assert sum(x.size for x in jax.tree.leaves(variables['params'])) == count


def test_stage_outputs():
    network = models.create('vgg11', num_classes=0)
    images = jnp.zeros((1, 224, 224, 3))
    shapes = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), images, method='features')[0])
    pictures = [(112, 64), (56, 128), (28, 256), (14, 512), (7, 512)]
    assert [shapes[f'stage{i + 1}'].shape for i in range(5)] == [(1, side, side, width) for side, width in pictures]
    assert [shapes[stage].shape for stage in ('fc1', 'fc2', 'pooled')] == [(1, 4096)] * 3


def test_parts_compose_to_the_whole():
    network, variables, images = tiny()
    features = functools.partial(network.apply, method='features')
    whole = jax.jit(features)(variables, images)
    assert set(whole) == {*network.stages, 'pooled'}
    for stop, start in itertools.pairwise(network.stages):
        first = jax.jit(functools.partial(features, stop=stop))(variables, images)
        second = jax.jit(functools.partial(features, start=start))(variables, first[stop])
        assert set(first).isdisjoint(second)
        assert set(first | second) == set(whole)
        np.testing.assert_allclose(second['pooled'], whole['pooled'], rtol=1e-5)


def test_every_convolution_and_dense_layer_counts_one():
    network, variables, _ = tiny()
    paths = traverse_util.flatten_dict(variables['params'], sep='/')
    layers = ['stage1/{}1', 'stage2/{}1', 'stage2/{}2', 'fc1/dense', 'fc2/dense']
    for path in paths:
        if path.startswith('backbone/'):
            layer = path.removeprefix('backbone/').rpartition('/')[0]
            assert layer in (layers[network.depth(path)].format(kind) for kind in ('conv', 'bn')), path
    assert network.depth('head/bias') == 5
    assert models.create('vgg16', num_classes=2).depth('head/bias') == 15
    assert f'backbone/{network.backbone.input_kernel}' in paths


@pytest.mark.parametrize('path', ['stage3/conv1/kernel', 'stage2/conv3/kernel', 'stage1/dense/kernel', 'fc3/bias'])
def test_depth_of_an_unknown_path_is_refused(path):
    with pytest.raises(UserError, match=f"'{path}' is in none of the stages stage1, stage2, fc1, fc2"):
        TINY.depth(path)


@pytest.mark.parametrize(('frozen', 'drops'), [((), True), (('backbone/fc1',), True), (('backbone/fc2',), False)])
def test_dropout_is_before_the_second_hidden_layer_alone(frozen, drops):
    network, variables, images = tiny(dropout=0.5)
    evaluated = jax.jit(functools.partial(network.apply, method='features'))(variables, images)
    train = functools.partial(network.apply, method='features', train=True, frozen=frozen)
    key = {'dropout': jax.random.key(1)}
    first = train(variables, evaluated['stage2'], start='fc1', stop='fc1', rngs=key)
    np.testing.assert_allclose(first['fc1'], evaluated['fc1'], rtol=1e-5)
    second = train(variables, evaluated['fc1'], start='fc2', rngs=key)
    assert np.allclose(second['fc2'], evaluated['fc2']) != drops


def test_create_sets_the_dropout_of_both_places():
    network = models.create('vgg11', num_classes=3, dropout=0.5)
    assert (network.backbone.dropout, network.dropout) == (0.5, 0.5)


def test_a_frozen_stage_keeps_its_statistics():
    network, variables, images = tiny()
    train = functools.partial(network.apply, train=True, frozen=('backbone/stage1',), mutable=['batch_stats'])
    _, updated = jax.jit(train)(variables, images)
    before = traverse_util.flatten_dict(variables['batch_stats'], sep='/')
    for path, value in traverse_util.flatten_dict(updated['batch_stats'], sep='/').items():
        assert np.array_equal(value, before[path]) == path.startswith('backbone/stage1/'), path


def test_small_images_are_refused():
    network = models.create('vgg16', num_classes=2)
    with pytest.raises(UserError, match=r'images of 40×31 pixels are too small .* at least 32'):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 40, 31, 3)))
