"""Freezing by prefix, stochastic depth, and convolutions against lax.conv."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.models.layers.common import DropPath, PointwiseConv, conv, drop_path_rates, layer_norm
from jtransfer.models.mode import Mode


class Branches(nn.Module):
    """Two branches, so that one of them can be frozen."""

    @nn.compact
    def __call__(self, x, mode):
        return tuple(DropPath(0.25, name=name)(x, mode) for name in ('a', 'b'))


def test_drop_path_drops_whole_examples_and_keeps_the_mean():
    x = jnp.ones((4000, 2, 3))
    a, b = Branches().apply({}, x, Mode(train=True), rngs={'dropout': jax.random.key(0)})
    for branch in (a, b):
        assert set(np.unique(branch)) == {np.float32(0), np.float32(1 / 0.75)}
        np.testing.assert_array_equal(branch, np.broadcast_to(branch[:, :1, :1], branch.shape))
        assert branch.mean() == pytest.approx(1, abs=0.03)
    assert (a != b).any()


def test_drop_path_stands_still_in_evaluation_and_where_frozen():
    x = jnp.ones((64, 2))
    for branch in Branches().apply({}, x, Mode()):
        np.testing.assert_array_equal(branch, x)
    a, b = Branches().apply({}, x, Mode(True, ('a',)), rngs={'dropout': jax.random.key(0)})
    np.testing.assert_array_equal(a, x)
    assert (b != x).any()


def test_drop_path_rises_linearly_to_the_last_block():
    assert drop_path_rates(0.3, 4) == pytest.approx((0.0, 0.1, 0.2, 0.3))
    assert drop_path_rates(0.3, 1) == (0.0,)


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [(6, 8), (7, 5)])
def test_pointwise_convolution_is_lax_conv(stride, size):
    x = np.random.default_rng(0).normal(size=(2, *size, 5)).astype('f4')
    module = PointwiseConv(7, stride)
    kernel = jax.eval_shape(module.init, jax.random.key(0), x)['params']['kernel']
    assert kernel.shape == (1, 1, 5, 7)
    kernel = np.random.default_rng(1).normal(size=kernel.shape).astype('f4')

    def reference(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), 'VALID', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
        )

    def ours(x, kernel):
        return module.apply({'params': {'kernel': kernel}}, x)

    @functools.partial(jax.jit, static_argnums=0)
    def both(f, x, kernel):
        return f(x, kernel), jax.grad(lambda *a: jnp.sin(f(*a)).sum(), (0, 1))(x, kernel)

    (value, gradients), (expected, expected_gradients) = both(ours, x, kernel), both(reference, x, kernel)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-4)


class Strided(nn.Module):
    """A convolution with a side of 3 or 7."""

    kernel: int

    @nn.compact
    def __call__(self, x):
        return conv(4, self.kernel, stride=2, dtype=jnp.float32, name='conv')(x)


@pytest.mark.parametrize('kernel', [3, 7])
def test_strided_convolution_pads_both_sides_alike(kernel):
    x = np.random.default_rng(0).normal(size=(1, 8, 10, 3)).astype('f4')
    weights = np.random.default_rng(1).normal(size=(kernel, kernel, 3, 4)).astype('f4')
    half = kernel // 2
    padded = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
    expected = np.zeros((1, 4, 5, 4))
    for row in range(4):
        for column in range(5):
            window = padded[:, 2 * row : 2 * row + kernel, 2 * column : 2 * column + kernel]
            expected[:, row, column] = np.einsum('bhwc,hwcf->bf', window, weights)
    outputs = jax.jit(Strided(kernel).apply)({'params': {'conv': {'kernel': weights}}}, x)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


def test_convolutions_start_he_normal_by_fan_out():
    variables = Strided(7).init(jax.random.key(0), jnp.zeros((1, 8, 8, 64)))
    kernel = variables['params']['conv']['kernel']
    assert kernel.std() == pytest.approx(np.sqrt(2 / (7 * 7 * 4)), rel=0.03)


class Normed(nn.Module):
    """A layer normalisation alone."""

    eps: float

    @nn.compact
    def __call__(self, x):
        return layer_norm(eps=self.eps, dtype=jnp.float32, name='norm')(x)


def test_layer_norm_takes_its_epsilon_and_survives_a_large_mean():
    x = 100 + 0.1 * np.random.default_rng(0).normal(size=(3, 32)).astype('f4')
    exact = np.asarray(x, np.float64)
    centred = exact - exact.mean(-1, keepdims=True)
    variables = {'params': {'norm': {'scale': np.ones(32, 'f4'), 'bias': np.zeros(32, 'f4')}}}
    for eps in (1e-6, 1e-3):
        expected = centred / np.sqrt(exact.var(-1, keepdims=True) + eps)
        np.testing.assert_allclose(Normed(eps).apply(variables, x), expected, atol=1e-2)
