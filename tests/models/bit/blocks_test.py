"""The parts of a BiT: standardised weights, the zeros around the pool, group statistics."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.models.bit.blocks import Block, NormReLU, StandardisedConv, Stem, standardised
from jtransfer.models.mode import Mode


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype('f4')


def test_standardised_weights_have_mean_0_and_variance_1_for_every_output():
    kernel = 1 + 0.01 * normal(3, 3, 4, 5)
    standardise = jax.jit(standardised, static_argnums=1)
    ours = np.asarray(standardise(kernel, 1e-10))
    np.testing.assert_allclose(ours.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(ours.var((0, 1, 2)), 1, rtol=1e-5)
    # Within the root: half of the weight for a variance a third of it.
    eps = 3 * float(kernel.var((0, 1, 2))[0])
    np.testing.assert_allclose(np.asarray(standardise(kernel, eps))[..., 0], ours[..., 0] / 2, rtol=1e-3)


@pytest.mark.parametrize('kernel', [1, 3])
@pytest.mark.parametrize('stride', [1, 2])
def test_a_convolution_does_not_depend_on_the_scale_of_its_weights(kernel, stride):
    layer = StandardisedConv(5, kernel, stride, 1e-12, jnp.float32)
    x = normal(2, 7, 6, 4)
    outputs, variables = jax.jit(layer.init_with_output)(jax.random.key(0), x)
    assert outputs.shape == (2, (7 + stride - 1) // stride, 6 // stride, 5)
    moved = jax.tree.map(lambda weights: 3 * weights + 1, variables)
    np.testing.assert_allclose(jax.jit(layer.apply)(moved, x), outputs, rtol=1e-3, atol=1e-3)


def test_the_stem_pools_with_zeros_around():
    stem = Stem(8, 1e-8, jnp.float32)
    # Of a ramp, each channel's weights of mean 0 make one number, often a negative one.
    ramp = np.broadcast_to(np.linspace(0, 1, 32, dtype='f4')[:, None, None], (1, 32, 29, 3))
    outputs, _ = jax.jit(stem.init_with_output)(jax.random.key(0), ramp)
    assert outputs.shape == (1, 8, 8, 8)
    assert outputs[:, 2:-2, 2:-2].min() < -1e-2
    assert outputs[:, 0].min() >= 0
    assert outputs[:, :, 0].min() >= 0


def test_statistics_are_those_of_a_group_of_channels_and_keep_their_digits():
    norm = NormReLU(2, jnp.float32)
    x = 1e4 + normal(2, 5, 4, 6)
    outputs, variables = jax.jit(norm.init_with_output)(jax.random.key(0), x)
    assert {name: leaf.shape for name, leaf in variables['params'].items()} == {'scale': (6,), 'bias': (6,)}
    grouped = x.astype('f8').reshape(2, 20, 2, 3)
    centred = grouped - grouped.mean((1, 3), keepdims=True)
    expected = centred / np.sqrt(centred.var((1, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(outputs, np.maximum(expected.reshape(x.shape), 0), atol=5e-3)


def test_groups_that_do_not_divide_are_named():
    with pytest.raises(UserError, match='norm_groups=4 does not divide the 6 channels'):
        NormReLU(4, jnp.float32).init(jax.random.key(0), jnp.zeros((1, 2, 2, 6)))


@pytest.mark.parametrize(('projected', 'stride'), [(True, 1), (True, 2), (False, 1)])
def test_the_stride_of_a_block_is_in_its_3x3_convolution(projected, stride):
    block = Block(4, stride, projected, 2, 1e-8, 0.0, jnp.float32)
    init = functools.partial(block.init, mode=Mode(), capture_intermediates=True)
    state = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 8, 8, 16)))
    assert ('downsample' in state['params']) == projected
    sides = {name: out['__call__'][0].shape[1] for name, out in state['intermediates'].items() if 'conv' in name}
    assert sides == {'conv1': 8, 'conv2': 8 // stride, 'conv3': 8 // stride}
