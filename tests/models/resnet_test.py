"""ResNet's shapes and start; its numbers are in golden_test.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import models
from jtransfer.models.resnet import Block


@pytest.mark.parametrize(
    ('name', 'size', 'expected'),
    [
        ('resnet18', 64, [(16, 64), (16, 64), (8, 128), (4, 256), (2, 512)]),
        ('resnet50', 64, [(16, 64), (16, 256), (8, 512), (4, 1024), (2, 2048)]),
        ('resnet_small', 16, [(16, 16), (16, 16), (8, 32), (4, 64), (2, 128)]),
    ],
)
def test_stage_outputs(name, size, expected):
    network = models.create(name, num_classes=0)
    images = jnp.zeros((1, size, size, 3))
    shapes = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), images, method='features')[0])
    assert [shapes[stage].shape for stage in network.stages] == [(1, side, side, width) for side, width in expected]
    assert shapes['pooled'].shape == (1, expected[-1][1])


@pytest.mark.parametrize(('kernels', 'widths'), [((3, 3), (6, 6)), ((1, 3, 1), (4, 4, 6))])
def test_a_new_block_is_the_identity_after_its_relu(kernels, widths):
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 6)).astype('f4')
    block = Block(kernels, widths, stride=1, drop_path=0.0, dtype=jnp.float32, norm_axis_name=None)
    outputs, variables = jax.jit(functools.partial(block.init_with_output, train=False, frozen=()))(
        jax.random.key(1), x
    )
    assert 'downsample' not in variables['params']
    np.testing.assert_array_equal(outputs, jax.nn.relu(x))


def test_the_stride_of_a_bottleneck_is_in_its_3x3_convolution():
    x = jnp.zeros((1, 8, 8, 6))
    block = Block((1, 3, 1), (4, 4, 8), stride=2, drop_path=0.0, dtype=jnp.float32, norm_axis_name=None)
    init = functools.partial(block.init, train=False, frozen=(), capture_intermediates=True)
    state = jax.eval_shape(init, jax.random.key(0), x)
    sides = {name: out['__call__'][0].shape[1] for name, out in state['intermediates'].items() if 'conv' in name}
    assert sides == {'conv1': 8, 'conv2': 4, 'conv3': 4}


def test_any_image_size_will_do():
    network = models.create('resnet_tiny', num_classes=2)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    assert jax.eval_shape(network.apply, variables, jnp.zeros((2, 21, 18, 3))).shape == (2, 2)
