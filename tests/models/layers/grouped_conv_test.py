"""Grouped convolutions: the same numbers in both forms, forward and backward."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.models.layers import grouped_conv as module
from jtransfer.models.layers.grouped_conv import GroupedConv, grouped_conv


def arrays(side, groups, part, features, height=7, width=6):
    random = np.random.default_rng(0)
    inputs = random.normal(size=(2, height, width, groups * part)).astype('f4')
    return inputs, random.normal(size=(side, side, part, features)).astype('f4')


@pytest.mark.parametrize('stride', [1, 2, 3])
@pytest.mark.parametrize(('side', 'groups', 'part', 'features'), [(3, 4, 2, 12), (5, 2, 3, 4), (1, 3, 2, 3)])
def test_matrices_give_what_lax_conv_gives(side, groups, part, features, stride):
    inputs, kernel = arrays(side, groups, part, features)

    def loss(function, inputs, kernel):
        outputs = function(inputs, kernel)
        return jnp.sum(jnp.sin(outputs)), outputs

    def both(function):
        return jax.jit(jax.value_and_grad(functools.partial(loss, function), argnums=(0, 1), has_aux=True))

    with jax.default_matmul_precision('highest'):
        ours = both(functools.partial(grouped_conv, groups=groups, stride=stride))(inputs, kernel)
        lax = both(functools.partial(module._with_lax, groups=groups, stride=stride))(inputs, kernel)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), ours, lax)


@pytest.mark.parametrize(('platform', 'expected'), [('cpu', False), ('cuda', True), ('tpu', True)])
def test_accelerators_get_a_convolution_and_cpus_do_not(platform, expected):
    inputs, kernel = arrays(3, 4, 2, 8)
    lowered = jax.jit(functools.partial(grouped_conv, groups=4)).trace(inputs, kernel)
    text = lowered.lower(lowering_platforms=(platform,)).as_text()
    assert ('stablehlo.convolution' in text) == expected


def test_a_group_reads_its_own_channels_alone():
    inputs, kernel = arrays(3, 2, 2, 4)
    changed = inputs.copy()
    changed[..., :2] += 1
    before, after = (jax.jit(grouped_conv, static_argnums=2)(x, kernel, 2) for x in (inputs, changed))
    np.testing.assert_array_equal(before[..., 2:], after[..., 2:])
    assert (np.abs(before - after)[..., :2] > 0).all()


def test_the_layer_keeps_float32_kernels():
    layer = GroupedConv(6, 3, groups=2, dtype=jnp.bfloat16)
    inputs = jnp.ones((1, 4, 4, 8), jnp.bfloat16)
    outputs, variables = jax.jit(layer.init_with_output)(jax.random.key(0), inputs)
    assert variables['params']['kernel'].shape == (3, 3, 4, 6)
    assert variables['params']['kernel'].dtype == jnp.float32
    assert outputs.dtype == jnp.bfloat16


@pytest.mark.parametrize('features', [6, 8])
def test_groups_that_do_not_divide_are_named(features):
    with pytest.raises(UserError, match=f'4 groups do not divide 6 channels in and {features} out'):
        GroupedConv(features, 3, groups=4).init(jax.random.key(0), jnp.ones((1, 4, 4, 6)))
