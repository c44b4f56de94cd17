"""MobileNetV2's stages, sizes and mistakes; its numbers are in tests/pretrained/names/mobilenet_v2_test.py."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.models.mobilenet_v2.network import MobileNetV2, conv_padding
from jtransfer.models.mobilenet_v2.variants import rounded_width
from jtransfer.models.network import Network
from tests.tiers import slow

# timm's own counts, with 1000 classes; of width 1.3 torchvision's.
PUBLISHED = {
    'mobilenetv2_035': 1_677_128,
    'mobilenetv2_050': 1_968_680,
    'mobilenetv2_075': 2_636_424,
    'mobilenetv2_100': 3_504_872,
    'mobilenetv2_130': 5_386_792,
    'mobilenetv2_140': 6_108_776,
    'mobilenetv2_110d': 4_516_520,
    'mobilenetv2_120d': 5_831_144,
}
TINY = MobileNetV2((4, 6, 6), (1, 2, 1), (1, 6, 6), (1, 2, 1), stem_width=8, top_width=12)


def tiny(**fields):
    """A network, random variables and images."""
    network = Network(TINY.clone(**fields), {'': 5})
    random = np.random.default_rng(0)
    images = jnp.asarray(random.normal(size=(3, 19, 14, 3)), jnp.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), images)
    return network, jax.tree.map(lambda x: random.uniform(0.1, 1, x.shape).astype('f4'), shapes), images


def test_the_table_is_complete():
    names = {name for name in models.variant_names() if models.describe(name).family == 'mobilenet_v2'}
    assert names == set(PUBLISHED)


@pytest.mark.parametrize(('name', 'count'), [*PUBLISHED.items()][:3] + slow(*[*PUBLISHED.items()][3:]))
def test_the_published_sizes(name, count):
    network = models.create(name, num_classes=1000)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert sum(x.size for x in jax.tree.leaves(variables['params'])) == count


@pytest.mark.parametrize(
    ('width', 'expected'),
    # 11.2 is nearest to 8, which is too little; halves go up.
    [(5.6, 8), (11.2, 16), (12.0, 16), (8.4, 8), (20.8, 24), (1792.0, 1792), (33.6, 32), (56.0, 56)],
)
def test_rounding(width, expected):
    assert rounded_width(width) == expected


def test_stage_outputs():
    network = models.create('mobilenetv2_035', num_classes=0)
    images = jnp.zeros((1, 224, 224, 3))
    shapes = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), images, method='features')[0])
    sides = (112, 112, 56, 28, 14, 14, 7, 7, 7)
    widths = (16, 8, 8, 16, 24, 32, 56, 112, 1280)
    expected = [(1, side, side, width) for side, width in zip(sides, widths, strict=True)]
    assert [shapes[stage].shape for stage in network.stages] == expected
    assert shapes['pooled'].shape == (1, 1280)


def test_padding_is_that_of_tensorflow_or_of_torch():
    for height, width, stride in itertools.product((5, 6), (5, 6), (1, 2)):
        assert conv_padding('torch', stride, height, width) == ((1, 1), (1, 1))
        same = jax.lax.padtype_to_pads((height, width), (3, 3), (stride, stride), 'SAME')
        assert conv_padding('tensorflow', stride, height, width) == tuple(same)


def test_parts_compose_to_the_whole():
    network, variables, images = tiny()
    features = functools.partial(network.apply, method='features')
    whole = jax.jit(features)(variables, images)
    assert network.stages == ('stem', 'stage1', 'stage2', 'stage3', 'top')
    assert set(whole) == {*network.stages, 'pooled'}
    for stop, start in itertools.pairwise(network.stages):
        first = jax.jit(functools.partial(features, stop=stop))(variables, images)
        second = jax.jit(functools.partial(features, start=start))(variables, first[stop])
        assert set(first).isdisjoint(second)
        assert set(first | second) == set(whole)
        np.testing.assert_allclose(second['pooled'], whole['pooled'], rtol=1e-5)


def test_depth_of_every_parameter():
    network, variables, _ = tiny()
    paths = traverse_util.flatten_dict(variables['params'], sep='/')
    depths = {'/'.join(path.split('/')[:3]): network.depth(path) for path in paths}
    assert depths == {
        'backbone/stem/conv': 0,
        'backbone/stem/bn': 0,
        'backbone/stage1/block0': 1,
        'backbone/stage2/block0': 2,
        'backbone/stage2/block1': 3,
        'backbone/stage3/block0': 4,
        'backbone/top/conv': 4,
        'backbone/top/bn': 4,
        'head/kernel': 5,
        'head/bias': 5,
    }
    assert f'backbone/{network.backbone.input_kernel}' in paths
    assert 'backbone/stage1/block0/expand/conv/kernel' not in paths


@pytest.mark.parametrize('path', ['stage2/block2/project/bn/scale', 'stage4/block0/expand/bn/scale', 'conv/kernel'])
def test_depth_of_an_unknown_path_is_refused(path):
    with pytest.raises(UserError, match=f"'{path}' is in none of the stages stem, stage1, .*top"):
        TINY.depth(path)


def test_an_unknown_padding_is_refused():
    with pytest.raises(UserError, match=r"padding='tensorflwo' is not one of torch, tensorflow. Did you mean"):
        models.create('mobilenetv2_035', num_classes=2, options={'padding': 'tensorflwo'})


def test_a_frozen_stage_keeps_its_statistics():
    network, variables, images = tiny()
    frozen = ('backbone/stem', 'backbone/stage2/block1')
    train = functools.partial(network.apply, train=True, frozen=frozen, mutable=['batch_stats'])
    _, updated = jax.jit(train)(variables, images)
    before = traverse_util.flatten_dict(variables['batch_stats'], sep='/')
    for path, value in traverse_util.flatten_dict(updated['batch_stats'], sep='/').items():
        assert np.array_equal(value, before[path]) == path.startswith(frozen), path


def test_only_blocks_with_a_shortcut_are_left_out():
    network, variables, images = tiny(drop_path=0.9)
    everything = ('backbone/stem', 'backbone/stage1', 'backbone/stage2/block0', 'backbone/top')
    norms = tuple(f'backbone/stage{s}/block{b}/{part}' for s, b in ((2, 1), (3, 0)) for part in _parts())
    features = functools.partial(network.apply, variables, images, method='features')
    still = features()
    dropped = features(train=True, frozen=(*everything, *norms), rngs={'dropout': jax.random.key(0)})
    rows = [np.abs(dropped[stage] - still[stage]).max((1, 2, 3)) > 1e-3 for stage in ('stage1', 'stage2', 'stage3')]
    assert [row.any() for row in rows] == [False, True, True]


def _parts():
    return ('expand', 'depthwise', 'project')


def test_half_precision():
    network, variables, images = tiny(dtype=jnp.bfloat16)
    exact = jax.jit(functools.partial(tiny()[0].apply, method='features'))(variables, images)
    features = jax.jit(functools.partial(network.apply, method='features'))(variables, images)
    assert features['stage2'].dtype == jnp.bfloat16
    assert features['pooled'].dtype == jnp.float32
    np.testing.assert_allclose(features['pooled'], exact['pooled'], rtol=0.05, atol=0.05)
