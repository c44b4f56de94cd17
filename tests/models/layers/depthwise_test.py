"""Depthwise convolutions: the two ways to compute them agree, values and derivatives."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from jax.sharding import NamedSharding, PartitionSpec

from jtransfer.models.layers.depthwise import DepthwiseConv, by_convolution, by_shifts, depthwise_conv

# Kernel, stride, padding; sides, channels.
CASES = [
    (3, 1, ((1, 1), (1, 1)), (6, 5), 3),
    (3, 2, ((1, 1), (1, 1)), (7, 6), 2),
    (3, 2, ((0, 1), (0, 1)), (6, 8), 4),
    (3, 2, ((0, 1), (1, 1)), (6, 5), 1),
    (7, 1, ((3, 3), (3, 3)), (5, 9), 2),
    (7, 1, ((3, 3), (3, 3)), (2, 1), 3),
    # Rows and columns that the stride leaves over.
    (3, 3, ((0, 0), (2, 0)), (8, 9), 2),
    (1, 2, ((0, 0), (0, 0)), (4, 5), 2),
]


def arrays(size, sides, channels, batch=3):
    """Images and a kernel."""
    random = np.random.default_rng(0)
    return (
        jnp.asarray(random.normal(size=(batch, *sides, channels)), jnp.float32),
        jnp.asarray(random.normal(size=(size, size, 1, channels)), jnp.float32),
    )


def both_ways(stride, padding):
    """The two functions of images and kernel."""
    return [jax.jit(functools.partial(way, stride=stride, padding=padding)) for way in (by_shifts, by_convolution)]


def assert_close(ours, theirs):
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-6 * np.abs(theirs).max()


@pytest.mark.parametrize(('size', 'stride', 'padding', 'sides', 'channels'), CASES)
def test_shifts_and_lax_agree(size, stride, padding, sides, channels):
    images, kernel = arrays(size, sides, channels)
    shifts, convolution = both_ways(stride, padding)
    expected, pull = jax.vjp(convolution, images, kernel)
    value, pull_shifts = jax.vjp(shifts, images, kernel)
    assert_close(value, expected)
    upstream = np.random.default_rng(1).normal(size=value.shape).astype('f4')
    for ours, theirs in zip(jax.jit(pull_shifts)(upstream), jax.jit(pull)(upstream), strict=True):
        assert_close(ours, theirs)


def test_second_derivatives_agree():
    images, kernel = arrays(3, (5, 4), 2)

    def penalty(way):
        def loss(images, kernel):
            return jnp.sum(way(images, kernel) ** 3)

        def of_gradients(images, kernel):
            return sum(jnp.sum(g**2) for g in jax.grad(loss, argnums=(0, 1))(images, kernel))

        return jax.jit(jax.grad(of_gradients, argnums=(0, 1)))

    ours, theirs = (penalty(way)(images, kernel) for way in both_ways(2, ((0, 1), (1, 1))))
    for ours_, theirs_ in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(ours_, theirs_, rtol=1e-4, atol=1e-5 * np.abs(theirs_).max())


@pytest.mark.parametrize('batched', ['images', 'kernel'])
def test_it_can_be_mapped(batched):
    images, kernel = arrays(3, (5, 4), 2)
    axes = (0, None) if batched == 'images' else (None, 0)
    given = (images[:, None], kernel) if batched == 'images' else (images, jnp.stack([kernel, 2 * kernel]))

    def gradients(way):
        def loss(images, kernel):
            return jnp.sum(way(images, kernel) ** 2)

        return jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1)), axes))

    shifts, convolution = both_ways(1, ((1, 1), (1, 1)))
    for ours, theirs in zip(gradients(shifts)(*given), gradients(convolution)(*given), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_half_precision_is_added_up_in_float32():
    images, kernel = (jnp.asarray(x, jnp.bfloat16) for x in arrays(7, (9, 9), 4))
    padding = ((3, 3), (3, 3))
    ours = by_shifts(images, kernel, 1, padding)
    exact = by_convolution(images.astype(jnp.float32), kernel.astype(jnp.float32), 1, padding)
    assert ours.dtype == jnp.bfloat16
    # One rounding to 8 bits, where adding up in bfloat16 would make 49.
    np.testing.assert_allclose(ours.astype(jnp.float32), exact, rtol=2**-8)
    gradients = jax.grad(lambda x, k: jnp.sum(by_shifts(x, k, 1, padding).astype(jnp.float32)), (0, 1))(images, kernel)
    assert [g.dtype for g in gradients] == [jnp.bfloat16, jnp.bfloat16]


def test_cpu_programs_hold_no_convolution_and_others_do():
    images, kernel = arrays(3, (6, 6), 2)

    def loss(images, kernel):
        return jnp.sum(depthwise_conv(images, kernel, stride=1, padding=((1, 1), (1, 1))) ** 2)

    traced = jax.jit(jax.grad(loss, argnums=(0, 1))).trace(images, kernel)
    for platform, convolutions in (('cpu', False), ('tpu', True), ('cuda', True)):
        program = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ('stablehlo.convolution' in program) == convolutions


@pytest.mark.parametrize('size', [3, 7])
def test_a_batch_spread_over_devices_gives_the_same(size):
    images, kernel = arrays(size, (6, 5), 2, batch=8)

    def gradients(images, kernel):
        def loss(images, kernel):
            return jnp.sum(depthwise_conv(images, kernel, stride=2, padding=((1, 1), (1, 1))) ** 2)

        return jax.grad(loss, argnums=(0, 1))(images, kernel)

    mesh = jax.make_mesh((8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.device_put(images, NamedSharding(mesh, PartitionSpec('data')))
    program = jax.jit(gradients).lower(spread, kernel).compile()
    for ours, theirs in zip(program(spread, kernel), jax.jit(gradients)(images, kernel), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    # No device needs another's images, and the kernel's gradient is added up once.
    text = program.as_text()
    assert 'all-gather' not in text
    assert len(re.findall(r'= .* all-reduce\(', text)) == 1


@pytest.mark.parametrize('use_bias', [False, True])
def test_the_module(use_bias):
    images, kernel = arrays(7, (9, 8), 3)
    module = DepthwiseConv(7, use_bias=use_bias)
    variables = jax.eval_shape(module.init, jax.random.key(0), images)
    shapes = {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variables['params'], sep='/').items()}
    assert shapes == {'kernel': (7, 7, 1, 3)} | ({'bias': (3,)} if use_bias else {})
    bias = np.asarray([1.0, -2.0, 0.5], 'f4')
    params = {'kernel': kernel} | ({'bias': bias} if use_bias else {})
    expected = by_convolution(images, kernel, 1, ((3, 3), (3, 3))) + use_bias * bias
    np.testing.assert_allclose(jax.jit(module.apply)({'params': params}, images), expected, rtol=1e-4, atol=1e-5)
