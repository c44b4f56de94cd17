"""ResNet's shapes, sizes and depths; its numbers are in tests/pretrained/names/resnet_test.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.models.resnet.network import ResNet
from tests.models.published import count

# With 1000 classes: torchvision's and timm's own counts.
PUBLISHED = {
    'resnet18': 11_689_512,
    'resnet26': 15_995_176,
    'resnet34': 21_797_672,
    'resnet50': 25_557_032,
    'resnet101': 44_549_160,
    'resnet152': 60_192_808,
    'wide_resnet50_2': 68_883_240,
    'wide_resnet101_2': 126_886_696,
    'resnext50_32x4d': 25_028_904,
    'resnext101_32x8d': 88_791_336,
    'resnext101_64x4d': 83_455_272,
    'resnet18d': 11_708_744,
    'resnet26d': 16_014_408,
    'resnet34d': 21_816_904,
    'resnet50d': 25_576_264,
    'resnet101d': 44_568_392,
    'resnet152d': 60_212_040,
}
# With ten classes: 0.27, 0.46, 0.66, 0.85 and 1.7 million in table 6 of He et al., 2016.
CIFAR = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962}
SMALL = {
    'basic': {'depths': (1, 2), 'widths': (4, 6), 'stem_width': 4},
    'bottleneck': {'depths': (2, 1), 'widths': (4, 6), 'stem_width': 4, 'groups': 2, 'inner_width': 2},
}


def shapes(network, side):
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variables, sep='/').items()}


def parameters(name, classes):
    return sum(number for top, number in count(name, classes, 64).items() if top.startswith('params/'))


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_networks_have_their_published_size(name):
    assert parameters(name, 1000) == PUBLISHED[name]


@pytest.mark.parametrize('layers', CIFAR)
def test_the_networks_for_cifar_have_their_size(layers):
    assert parameters(f'cifar_resnet{layers}', 10) == CIFAR[layers]
    variant = models.describe(f'cifar_resnet{layers}')
    network = models.create(variant.name, num_classes=10)
    kernels = [path for path in shapes(network, 32) if path.endswith('kernel')]
    assert len(kernels) == layers  # the convolutions and the head
    assert (variant.preprocessing.image_size, variant.preprocessing.crop_fraction) == (32, 1.0)
    assert variant.preprocessing.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ('name', 'size', 'expected'),
    [
        ('resnet18', 64, [(16, 64), (16, 64), (8, 128), (4, 256), (2, 512)]),
        ('resnet50', 64, [(16, 64), (16, 256), (8, 512), (4, 1024), (2, 2048)]),
        ('resnext50_32x4d', 64, [(16, 64), (16, 256), (8, 512), (4, 1024), (2, 2048)]),
        ('resnet18d', 64, [(16, 64), (16, 64), (8, 128), (4, 256), (2, 512)]),
        ('cifar_resnet20', 32, [(32, 16), (32, 16), (16, 32), (8, 64)]),
        ('resnet_small', 16, [(16, 16), (16, 16), (8, 32), (4, 64), (2, 128)]),
    ],
)
def test_stage_outputs(name, size, expected):
    network = models.create(name, num_classes=0)
    images = jnp.zeros((1, size, size, 3))
    shapes = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), images, method='features')[0])
    assert [shapes[stage].shape for stage in network.stages] == [(1, side, side, width) for side, width in expected]
    assert shapes['pooled'].shape == (1, expected[-1][1])


@pytest.mark.parametrize(
    'fields',
    [
        {'block': 'basic', 'shortcut': 'pad', 'stem': 'cifar'},
        {'block': 'bottleneck', 'shortcut': 'pool', 'stem': 'deep'},
    ],
)
def test_stages_compose(fields):
    backbone = ResNet(**SMALL[fields['block']], **fields)
    images = np.random.default_rng(0).normal(size=(2, 19, 17, 3)).astype('f4')
    variables = jax.jit(backbone.init)(jax.random.key(0), images)

    @jax.jit
    def run(variables, images):
        whole = backbone.apply(variables, images)
        middle = backbone.apply(variables, images, stop='stage1')
        return whole, middle, backbone.apply(variables, middle['stage1'], start='stage2')

    whole, middle, rest = run(variables, images)
    assert set(middle) == {'stem', 'stage1'}
    assert set(rest) == {'stage2', 'pooled'}
    for stage, value in (middle | rest).items():
        np.testing.assert_allclose(value, whole[stage], rtol=1e-5, atol=1e-6)
    # A stage alone needs the parameters of that stage alone.
    alone = {collection: {'stage2': tree['stage2']} for collection, tree in variables.items()}
    jax.eval_shape(lambda: backbone.apply(alone, middle['stage1'], start='stage2', stop='stage2'))


def test_every_parameter_has_a_depth_that_rises_with_the_blocks():
    backbone = ResNet('bottleneck', **SMALL['bottleneck'], shortcut='pool', stem='deep')
    assert backbone.head_depth == 4
    network = models.Network(backbone, {'': 2})
    expected = {'stem': 0, 'stage1/block0': 1, 'stage1/block1': 2, 'stage2/block0': 3}
    found = {}
    for path in shapes(network, 16):
        if path.startswith('params/backbone/'):
            below = path.removeprefix('params/backbone/')
            unit = next(unit for unit in expected if below.startswith(f'{unit}/'))
            found.setdefault(unit, set()).add(network.depth(f'backbone/{below}'))
    assert found == {unit: {depth} for unit, depth in expected.items()}


def test_the_first_kernel_is_the_one_that_reads_the_channels():
    for stem in ('imagenet', 'deep', 'cifar'):
        network = models.Network(ResNet('basic', **SMALL['basic'], stem=stem), {})
        assert shapes(network, 16)[f'params/backbone/{ResNet.input_kernel}'][2] == 3


def test_any_image_size_will_do():
    network = models.create('resnet_tiny', num_classes=2)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    assert jax.eval_shape(network.apply, variables, jnp.zeros((2, 21, 18, 3)))[''].shape == (2, 2)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'stem': 'deeper'}, r"stem='deeper' is not one of imagenet, deep, cifar\. Did you mean 'deep'\?"),
        ({'shortcut': 'pads'}, r"shortcut='pads' is not one of conv, pool, pad\. Did you mean 'pad'\?"),
        ({'block': 'basics'}, r"block='basics' is not one of basic, bottleneck\. Did you mean 'basic'\?"),
        ({'groups': 2}, 'a basic block has no inner channels'),
        ({'block': 'bottleneck', 'groups': 3}, '3 groups do not divide 8 channels'),
        ({'shortcut': 'pad', 'widths': (8, 4)}, 'widths must not shrink'),
    ],
)
def test_fields_that_cannot_be_are_named(options, message):
    with pytest.raises(UserError, match=message):
        shapes(models.create('resnet_tiny', num_classes=2, options=options), 16)
