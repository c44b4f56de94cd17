"""BiT's sizes, stages and depths; its numbers are in tests/pretrained/names/bit_test.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.models.bit.network import BiT
from tests.models.published import count

# With 1000 classes: timm's own counts, resnetv2_50x1_bit, ….
PUBLISHED = {
    'bit_r50x1': 25_549_352,
    'bit_r50x3': 217_319_080,
    'bit_r101x1': 44_541_480,
    'bit_r101x3': 387_934_888,
    'bit_r152x2': 236_335_208,
    'bit_r152x4': 936_533_224,
}
TINY = BiT((2, 1), widths=(4, 8), stem_width=8, norm_groups=4)


def shapes(network, side):
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variables, sep='/').items()}


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_networks_have_their_published_size(name):
    found = count(name, 1000, 64)
    assert found.keys() == {'params/backbone', 'params/head'}
    assert sum(found.values()) == PUBLISHED[name]


def test_pictures_are_squashed_as_google_does():
    preprocessing = models.describe('bit_r50x1').preprocessing
    assert (preprocessing.mean, preprocessing.std) == ((0.5,) * 3, (0.5,) * 3)
    assert (preprocessing.squash, preprocessing.interpolation) == (True, 'bilinear')


def test_stage_outputs():
    network = models.create('bit_r50x1', num_classes=0)
    images = jnp.zeros((1, 64, 64, 3))
    found = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), images, method='features')[0])
    expected = [(16, 64), (16, 256), (8, 512), (4, 1024), (2, 2048), (2, 2048)]
    assert [found[stage].shape for stage in network.stages] == [(1, side, side, width) for side, width in expected]
    assert found['pooled'].shape == (1, 2048)


def test_stages_compose():
    images = np.random.default_rng(0).normal(size=(2, 27, 22, 3)).astype('f4')
    variables = jax.jit(TINY.init)(jax.random.key(0), images)

    @jax.jit
    def run(variables, images):
        whole = TINY.apply(variables, images)
        middle = TINY.apply(variables, images, stop='stage1')
        return whole, middle, TINY.apply(variables, middle['stage1'], start='stage2')

    whole, middle, rest = run(variables, images)
    assert set(middle) == {'stem', 'stage1'}
    assert set(rest) == {'stage2', 'norm', 'pooled'}
    for stage, value in (middle | rest).items():
        np.testing.assert_allclose(value, whole[stage], rtol=1e-5, atol=1e-6)
    # A stage alone needs the parameters of that stage alone.
    alone = {'params': {'norm': variables['params']['norm']}}
    jax.eval_shape(lambda: TINY.apply(alone, rest['stage2'], start='norm'))


def test_every_parameter_has_a_depth_and_the_last_normalisation_that_of_the_last_block():
    network = models.Network(TINY, {'': 2})
    expected = {'stem': 0, 'stage1/block0': 1, 'stage1/block1': 2, 'stage2/block0': 3, 'norm': 3}
    found = {}
    for path in shapes(network, 32):
        if path.startswith('params/backbone/'):
            below = path.removeprefix('params/backbone/')
            unit = next(unit for unit in expected if below.startswith(f'{unit}/'))
            found.setdefault(unit, set()).add(network.depth(f'backbone/{below}'))
    assert found == {unit: {depth} for unit, depth in expected.items()}
    assert network.depth('head/kernel') == TINY.head_depth == 4


@pytest.mark.parametrize('path', ['stage3/block0/conv1/kernel', 'stage1/block2/conv1/kernel', 'conv/kernel'])
def test_a_path_that_is_not_its_own_is_named(path):
    with pytest.raises(UserError, match='is in none of the stages stem, stage1, stage2, norm'):
        TINY.depth(path)


def test_bfloat16_keeps_parameters_and_pooled_features_in_float32():
    backbone = BiT((1,), widths=(4,), stem_width=8, norm_groups=4, dtype=jnp.bfloat16)
    init = backbone.init_with_output
    features, variables = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    assert {stage: value.dtype for stage, value in features.items() if value.dtype != jnp.bfloat16} == {
        'pooled': jnp.float32
    }


def test_stochastic_depth_leaves_branches_out_in_training_alone():
    backbone = BiT((1, 1), widths=(4, 4), stem_width=8, norm_groups=4, drop_path=0.5)
    images = np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype('f4')
    variables = jax.jit(backbone.init)(jax.random.key(0), images)

    @jax.jit
    def run(variables, images, key):
        rngs = {'dropout': key}
        frozen = [f'stage{index}' for index in (1, 2)]
        return (
            backbone.apply(variables, images, rngs=rngs)['pooled'],
            backbone.apply(variables, images, train=True, rngs=rngs)['pooled'],
            backbone.apply(variables, images, train=True, frozen=frozen, rngs=rngs)['pooled'],
        )

    still, moved, frozen = run(variables, images, jax.random.key(1))
    assert np.abs(moved - still).max() > 1e-3
    np.testing.assert_allclose(frozen, still, rtol=1e-6)
