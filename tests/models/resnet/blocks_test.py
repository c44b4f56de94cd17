"""The parts of a ResNet: where strides are, what shortcuts do, how a block starts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.models.mode import Mode
from jtransfer.models.resnet.blocks import Block, Shortcut, Stem

EVALUATION = {'mode': Mode()}


@pytest.mark.parametrize(('kernels', 'widths'), [((3, 3), (6, 6)), ((1, 3, 1), (4, 4, 6))])
@pytest.mark.parametrize('groups', [1, 2])
def test_a_new_block_is_the_identity_after_its_relu(kernels, widths, groups):
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 6)).astype('f4')
    block = Block(kernels, widths, 1, 0.0, jnp.float32, groups=groups)
    outputs, variables = jax.jit(functools.partial(block.init_with_output, **EVALUATION))(jax.random.key(1), x)
    assert 'downsample' not in variables['params']
    np.testing.assert_array_equal(outputs, jax.nn.relu(x))


@pytest.mark.parametrize('groups', [1, 2])
def test_the_stride_of_a_bottleneck_is_in_its_3x3_convolution(groups):
    x = jnp.zeros((1, 8, 8, 6))
    block = Block((1, 3, 1), (4, 4, 8), 2, 0.0, jnp.float32, groups=groups)
    init = functools.partial(block.init, **EVALUATION, capture_intermediates=True)
    state = jax.eval_shape(init, jax.random.key(0), x)
    sides = {name: out['__call__'][0].shape[1] for name, out in state['intermediates'].items() if 'conv' in name}
    assert sides == {'conv1': 8, 'conv2': 4, 'conv3': 4}
    kernels = {name: state['params'][name]['kernel'].shape for name in sides}
    assert kernels == {'conv1': (1, 1, 6, 4), 'conv2': (3, 3, 4 // groups, 4), 'conv3': (1, 1, 4, 8)}


def shortcut(kind, x, width=5, stride=2):
    module = Shortcut(width, stride, kind, jnp.float32)
    return jax.jit(functools.partial(module.init_with_output, **EVALUATION))(jax.random.key(0), x)


def test_a_padded_shortcut_has_no_parameters_and_zeros_on_both_sides():
    x = np.random.default_rng(0).normal(size=(1, 5, 4, 2)).astype('f4')
    outputs, variables = shortcut('pad', x)
    assert not variables
    np.testing.assert_array_equal(outputs[..., 1:3], x[:, ::2, ::2])
    assert not np.asarray(outputs[..., [0, 3, 4]]).any()


def test_a_pooled_shortcut_averages_what_a_stride_would_leave_out():
    x = np.ones((1, 5, 4, 2), 'f4')
    strided, _ = shortcut('conv', x)
    pooled, variables = shortcut('pool', x)
    assert set(variables['params']) == {'conv', 'bn'}
    # A constant picture stays constant up to its odd edge: what is beyond does not count.
    np.testing.assert_allclose(pooled, strided, rtol=1e-6)
    x[:, 1::2] = 3
    assert np.abs(shortcut('conv', x)[0] - strided).max() < 1e-6
    np.testing.assert_allclose(shortcut('pool', x)[0][:, :2], 2 * strided[:, :2], rtol=1e-5)
    np.testing.assert_allclose(shortcut('pool', x)[0][:, 2], strided[:, 2], rtol=1e-5)


def test_a_padded_shortcut_cannot_lose_channels():
    with pytest.raises(UserError, match='from 6 to 5 channels: widths must not shrink'):
        shortcut('pad', jnp.zeros((1, 4, 4, 6)))


@pytest.mark.parametrize(
    ('kind', 'side', 'kernels'),
    [
        ('imagenet', 5, {'conv': (7, 7, 3, 6)}),
        ('cifar', 19, {'conv': (3, 3, 3, 6)}),
        ('deep', 5, {'conv': (3, 3, 3, 3), 'conv2': (3, 3, 3, 3), 'conv3': (3, 3, 3, 6)}),
    ],
)
def test_stems(kind, side, kernels):
    init = functools.partial(Stem(6, kind, jnp.float32).init_with_output, **EVALUATION)
    outputs, variables = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 19, 19, 3)))
    assert outputs.shape == (1, side, side, 6)
    found = {name: leaf['kernel'].shape for name, leaf in variables['params'].items() if 'kernel' in leaf}
    assert found == kernels
