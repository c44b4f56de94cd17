"""ConvNeXt's stages, sizes and mistakes; its numbers are in tests/pretrained/names/convnext_test.py."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.models.convnext.network import Block, ConvNeXt, ResponseNorm
from jtransfer.models.network import Network
from tests.tiers import slow

# timm's own counts, with 1000 classes.
PUBLISHED = {
    'convnext_atto': 3_695_520,
    'convnext_femto': 5_217_784,
    'convnext_pico': 9_045_672,
    'convnext_nano': 15_593_560,
    'convnext_tiny': 28_589_128,
    'convnext_small': 50_223_688,
    'convnext_base': 88_591_464,
    'convnext_large': 197_767_336,
    'convnext_xlarge': 350_196_968,
    'convnext_xxlarge': 846_471_016,
    'convnextv2_atto': 3_708_400,
    'convnextv2_femto': 5_233_240,
    'convnextv2_pico': 9_066_280,
    'convnextv2_nano': 15_623_800,
    'convnextv2_tiny': 28_635_496,
    'convnextv2_small': 50_318_440,
    'convnextv2_base': 88_717_800,
    'convnextv2_large': 197_956_840,
    'convnextv2_huge': 660_289_640,
}
TINY = ConvNeXt((1, 2, 1), (4, 6, 8))


def tiny(**fields):
    """A network, random variables and images."""
    network = Network(TINY.clone(**fields), {'': 5})
    random = np.random.default_rng(0)
    images = jnp.asarray(random.normal(size=(2, 37, 22, 3)), jnp.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), images)
    return network, jax.tree.map(lambda x: random.normal(0, 0.3, x.shape).astype('f4'), shapes), images


def test_the_table_is_complete():
    assert {name for name in models.variant_names() if models.describe(name).family == 'convnext'} == set(PUBLISHED)


@pytest.mark.parametrize(('name', 'count'), [*PUBLISHED.items()][:3] + slow(*[*PUBLISHED.items()][3:]))
def test_the_published_sizes(name, count):
    network = models.create(name, num_classes=1000)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert sum(x.size for x in jax.tree.leaves(variables)) == count
    paths = traverse_util.flatten_dict(variables['params'], sep='/')
    assert any(path.endswith('/gamma') for path in paths) != any('/grn/' in path for path in paths)


def test_stage_outputs():
    network = models.create('convnext_tiny', num_classes=0)
    images = jnp.zeros((1, 230, 224, 3))
    shapes = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), images, method='features')[0])
    pictures = [(57, 56, 96), (57, 56, 96), (28, 28, 192), (14, 14, 384), (7, 7, 768)]
    assert [shapes[stage].shape for stage in network.stages[:-1]] == [(1, *picture) for picture in pictures]
    assert [shapes[stage].shape for stage in ('norm', 'pooled')] == [(1, 768)] * 2


def test_parts_compose_to_the_whole():
    network, variables, images = tiny()
    features = functools.partial(network.apply, method='features')
    whole = jax.jit(features)(variables, images)
    assert network.stages == ('stem', 'stage1', 'stage2', 'stage3', 'norm')
    assert set(whole) == {*network.stages, 'pooled'}
    for stop, start in itertools.pairwise(network.stages):
        first = jax.jit(functools.partial(features, stop=stop))(variables, images)
        second = jax.jit(functools.partial(features, start=start))(variables, first[stop])
        assert set(first).isdisjoint(second)
        assert set(first | second) == set(whole)
        np.testing.assert_allclose(second['pooled'], whole['pooled'], rtol=1e-4, atol=1e-5)


def test_depth_of_every_parameter():
    network, variables, _ = tiny()
    paths = traverse_util.flatten_dict(variables['params'], sep='/')
    depths = {'/'.join(path.split('/')[:3]): network.depth(path) for path in paths}
    assert depths == {
        'backbone/stem/conv': 0,
        'backbone/stem/norm': 0,
        'backbone/stage1/block0': 1,
        'backbone/stage2/downsample': 2,
        'backbone/stage2/block0': 2,
        'backbone/stage2/block1': 3,
        'backbone/stage3/downsample': 4,
        'backbone/stage3/block0': 4,
        'backbone/norm/scale': 5,
        'backbone/norm/bias': 5,
        'head/kernel': 5,
        'head/bias': 5,
    }
    assert f'backbone/{network.backbone.input_kernel}' in paths


@pytest.mark.parametrize('path', ['stage1/downsample/conv/kernel', 'stage2/block2/gamma', 'stage4/block0/gamma', 'fc'])
def test_depth_of_an_unknown_path_is_refused(path):
    with pytest.raises(UserError, match=f"'{path}' is in none of the stages stem, stage1, .*norm"):
        TINY.depth(path)


def test_small_images_are_refused():
    network = models.create('convnext_tiny', num_classes=2)
    with pytest.raises(UserError, match=r'picture of 1×4 is too small .* at least 32×32 pixels'):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 31, 64, 3)))


def test_an_unknown_stage_is_refused():
    network, variables, images = tiny()
    with pytest.raises(UserError, match="no stage 'stage9'"):
        network.apply(variables, images, method='features', stop='stage9')


def test_stochastic_depth_rises_to_the_last_block_and_stands_still_where_frozen():
    network, variables, images = tiny(drop_path=0.9)
    features = jax.jit(functools.partial(network.apply, method='features'), static_argnames=('train', 'frozen'))
    still = features(variables, images)
    key = {'dropout': jax.random.key(3)}
    dropped = features(variables, images, train=True, rngs=key)
    # The first block is never left out, and the evaluation mode has no part in it.
    np.testing.assert_array_equal(dropped['stage1'], still['stage1'])
    assert np.abs(dropped['stage2'] - still['stage2']).max() > 0.01
    frozen = features(variables, images, train=True, frozen=('backbone/stage2', 'backbone/stage3'), rngs=key)
    np.testing.assert_allclose(frozen['pooled'], still['pooled'], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('grn', [False, True])
def test_a_new_block_is_almost_the_identity_in_version_one(grn):
    block = Block(grn, 1e-6, 0.0, jnp.float32)
    images = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype('f4')
    call = functools.partial(block.init_with_output, train=False, frozen=())
    output, _ = jax.jit(call)(jax.random.key(0), images)
    change = np.abs(output - images).max()
    assert (change < 1e-5) != grn
    assert change > 0


def test_response_normalisation_by_hand():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 5, 4)), jnp.float32).at[1, :, :, 2].set(0)
    scale, bias = np.asarray([0.5, -1, 2, 3], 'f4'), np.asarray([1, 0, -1, 0.25], 'f4')
    module = ResponseNorm(jnp.float32)
    variables = {'params': {'scale': scale, 'bias': bias}}
    response = jnp.sqrt((x**2).sum((1, 2), keepdims=True))
    expected = x + scale * x * response / (response.mean(-1, keepdims=True) + 1e-6) + bias
    np.testing.assert_allclose(module.apply(variables, x), expected, rtol=1e-5, atol=1e-6)
    # A channel without any response is no trouble for the gradient either.
    gradient = jax.grad(lambda x: jnp.sum(module.apply(variables, x) ** 2))(x)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(module.init_with_output(jax.random.key(0), x)[0], x)


def test_half_precision():
    network, variables, images = tiny(dtype=jnp.bfloat16)
    whole, _, _ = tiny()
    features = jax.jit(functools.partial(network.apply, method='features'))(variables, images)
    exact = jax.jit(functools.partial(whole.apply, method='features'))(variables, images)
    assert features['stage3'].dtype == jnp.bfloat16
    assert features['pooled'].dtype == jnp.float32
    np.testing.assert_allclose(features['pooled'], exact['pooled'], atol=0.05)
