"""GoogLeNet: stages, sizes, auxiliary heads; its numbers are in tests/pretrained/names/googlenet_test.py."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.models.googlenet.network import GoogLeNet
from jtransfer.models.network import Network

BLOCK = (2, 2, 3, 1, 2, 1)
TINY = GoogLeNet(stem_widths=(3, 3, 4), blocks=((BLOCK,), (BLOCK,) * 4, (BLOCK,)), aux_widths=(3, 5), aux=True)


def tiny(**fields):
    """A network, random variables and images."""
    network = Network(TINY.clone(**fields), {'': 5})
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 33, 47, 3)).astype('f4')
    shapes = jax.eval_shape(network.init, jax.random.key(0), images)
    return network, jax.tree.map(lambda x: rng.uniform(0.1, 0.5, x.shape).astype('f4'), shapes), images


def training(network, **kwargs):
    """Compiled: from variables, images and a key to logits, those of the auxiliary heads, and statistics."""
    run = functools.partial(network.apply, mutable=['batch_stats'], method='training_logits', **kwargs)
    return jax.jit(lambda variables, images, key: run(variables, images, rngs={'dropout': key}))


@pytest.mark.parametrize(('name', 'auxiliary'), [('googlenet', {}), ('googlenet_aux', {1: 3_188_968, 2: 3_191_016})])
def test_the_published_sizes(name, auxiliary):
    network = models.create(name, num_classes=1000)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    head = dict(variables['params']['head'])
    for index, count in auxiliary.items():
        assert sum(x.size for x in jax.tree.leaves(head.pop(f'aux{index}'))) == count
    assert set(head) == {'kernel', 'bias'}
    assert sum(x.size for x in jax.tree.leaves((head, variables['params']['backbone']))) == 6_624_904


def test_stage_outputs():
    network = models.create('googlenet', num_classes=0)
    images = jnp.zeros((1, 224, 224, 3))
    shapes = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), images, method='features')[0])
    expected = [(28, 192), (14, 480), (7, 832), (7, 1024)]
    assert [shapes[stage].shape for stage in network.stages] == [(1, side, side, width) for side, width in expected]
    assert shapes['pooled'].shape == (1, 1024)
    assert set(shapes) == {*network.stages, 'pooled'}


def test_parts_compose_to_the_whole():
    network, variables, images = tiny()
    features = functools.partial(network.apply, method='features')
    whole = jax.jit(features)(variables, images)
    assert set(whole) == {*network.stages, 'stage4/a', 'stage4/d', 'pooled'}
    for stop, start in itertools.pairwise(network.stages):
        first = jax.jit(functools.partial(features, stop=stop))(variables, images)
        second = jax.jit(functools.partial(features, start=start))(variables, first[stop])
        assert set(first | second) == set(whole)
        np.testing.assert_allclose(second['pooled'], whole['pooled'], rtol=1e-5)


def test_every_block_counts_one():
    network, variables, _ = tiny()
    blocks = ['stem', 'stage3/a', 'stage4/a', 'stage4/b', 'stage4/c', 'stage4/d', 'stage5/a']
    for path in traverse_util.flatten_dict(variables['params'], sep='/'):
        top, _, below = path.partition('/')
        if top == 'head':
            assert network.depth(path) == 7
        else:
            assert below.startswith(f'{blocks[network.depth(path)]}/'), path
    assert models.create('googlenet', num_classes=2).depth('head/bias') == 10
    stem = network.backbone.input_kernel
    assert stem in traverse_util.flatten_dict(variables['params']['backbone'], sep='/')


@pytest.mark.parametrize('path', ['stage6/a/branch1/conv/kernel', 'stage5/b/branch1/conv/kernel', 'stage3/kernel'])
def test_depth_of_an_unknown_path_is_refused(path):
    with pytest.raises(UserError, match=f"'{path}' is in none of the stages stem, stage3"):
        TINY.depth(path)


def test_auxiliary_heads_drop_out():
    network, variables, images = tiny()
    run = training(network)
    first, again, other = (run(variables, images, jax.random.key(seed))[0].auxiliaries for seed in (0, 0, 1))
    for (_, logits), (_, same), (_, others) in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(logits[''], same[''])
        assert not np.allclose(logits[''], others[''])


def test_auxiliary_heads_read_their_blocks():
    network, variables, images = tiny(aux_dropout=0.0)
    run = training(network)
    (_, [(_, first), (_, second)], _), _ = run(variables, images, jax.random.key(0))
    # The first head reads block a, the second block d.
    norm = variables['params']['backbone']['stage4']['c']['branch1']['bn']
    norm['scale'] = norm['scale'] * np.asarray([1, 5], 'f4')
    (_, [(_, same), (_, other)], _), _ = run(variables, images, jax.random.key(1))
    np.testing.assert_array_equal(same[''], first[''])
    assert not np.allclose(other[''], second[''])


def test_half_precision_keeps_float32_logits():
    network, variables, images = tiny(dtype=jnp.bfloat16)
    (logits, auxiliaries, _), updated = jax.eval_shape(training(network), variables, images, jax.random.key(0))
    outputs = jax.tree.leaves((logits, [other for _, other in auxiliaries], updated))
    assert {x.dtype for x in outputs} == {jnp.dtype('float32')}


def test_a_replica_axis_reaches_the_auxiliary_heads():
    network, variables, images = tiny(aux_dropout=0.0)
    images, key = np.concatenate([images, images[::-1] * 0.5]), jax.random.key(0)
    (_, expected, _), moved = training(network)(variables, images, key)
    split = jax.vmap(training(network.with_norm_axis('replica')), in_axes=(None, 0, None), axis_name='replica')
    (_, auxiliaries, _), updated = split(variables, images.reshape(2, 3, *images.shape[1:]), key)
    for (_, ours), (_, theirs) in zip(auxiliaries, expected, strict=True):
        np.testing.assert_allclose(ours[''].reshape(6, 5), theirs[''], rtol=1e-3, atol=1e-4)
    ours, theirs = (tree['batch_stats']['head']['aux2']['conv']['bn'] for tree in (updated, moved))
    for name, value in ours.items():
        np.testing.assert_allclose(value[0], theirs[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('size', [(15, 15), (15, 40)])
def test_the_smallest_images_go_through(size):
    network, variables, _ = tiny()
    assert jax.eval_shape(network.apply, variables, jnp.zeros((1, *size, 3)))[''].shape == (1, 5)


def test_smaller_images_are_refused():
    network, variables, _ = tiny()
    with pytest.raises(UserError, match=r'images of 14×40 pixels are too small .* at least 15'):
        network.apply(variables, jnp.zeros((1, 14, 40, 3)))
