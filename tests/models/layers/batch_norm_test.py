"""Batch normalisation against its formula written out, and over an axis against the whole batch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.models.layers.batch_norm import BatchNorm
from jtransfer.models.mode import Mode


def example(shape=(4, 3, 5, 6), seed=0):
    rng = np.random.default_rng(seed)
    channels = shape[-1]
    inputs = rng.normal(3.0, 2.0, shape).astype(np.float32)
    variables = {
        'params': {'scale': rng.normal(1, 0.3, channels), 'bias': rng.normal(0, 1, channels)},
        'batch_stats': {'mean': rng.normal(0, 1, channels), 'var': rng.uniform(0.5, 2, channels)},
    }
    return jnp.asarray(inputs), jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), variables)


def train_step(module, variables, inputs, axis=None):
    """One training-mode call, compiled: outputs and updated statistics."""
    return jax.jit(functools.partial(module.apply, mode=Mode(True, norm_axis=axis), mutable=['batch_stats']))(
        variables, inputs
    )


def test_training_is_the_formula_with_unbiased_running_variance():
    inputs, variables = example()
    module = BatchNorm(eps=1e-3, momentum=0.8)
    outputs, updated = train_step(module, variables, inputs)

    x = np.asarray(inputs, np.float64).reshape(-1, 6)
    mean, biased, unbiased = x.mean(0), x.var(0), x.var(0, ddof=1)
    params, old = variables['params'], variables['batch_stats']
    expected = (inputs - mean) / np.sqrt(biased + 1e-3) * params['scale'] + params['bias']
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(updated['batch_stats']['mean'], 0.8 * old['mean'] + 0.2 * mean, rtol=1e-5)
    np.testing.assert_allclose(updated['batch_stats']['var'], 0.8 * old['var'] + 0.2 * unbiased, rtol=1e-5)


def test_defaults_are_torchs():
    module = BatchNorm()
    assert module.eps == 1e-5
    assert module.momentum == pytest.approx(1 - 0.1)


@pytest.mark.parametrize(('train', 'frozen'), [(False, ()), (True, ('',))])
def test_evaluation_and_frozen_use_running_statistics_and_keep_them(train, frozen):
    inputs, variables = example()
    outputs, updated = BatchNorm().apply(variables, inputs, Mode(train, frozen), mutable=['batch_stats'])
    params, old = variables['params'], variables['batch_stats']
    expected = (inputs - old['mean']) / jnp.sqrt(old['var'] + 1e-5) * params['scale'] + params['bias']
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, updated['batch_stats'], old)


def test_variance_survives_a_large_mean():
    inputs, variables = example()
    module = BatchNorm()
    near, _ = train_step(module, variables, inputs)
    far, _ = train_step(module, variables, inputs + 4096.0)
    np.testing.assert_allclose(near, far, atol=2e-2)


def test_parts_of_a_batch_with_an_axis_equal_the_whole():
    inputs, variables = example((8, 2, 2, 6))
    whole, whole_updated = train_step(BatchNorm(), variables, inputs)

    module = BatchNorm()
    parts, parts_updated = jax.vmap(lambda x: train_step(module, variables, x, 'replica'), axis_name='replica')(
        inputs.reshape(4, 2, 2, 2, 6)
    )
    np.testing.assert_allclose(parts.reshape(whole.shape), whole, rtol=1e-5, atol=1e-5)
    for name in ('mean', 'var'):
        for replica in parts_updated['batch_stats'][name]:
            np.testing.assert_allclose(replica, whole_updated['batch_stats'][name], rtol=1e-5)


def test_gradients_over_an_axis_equal_those_of_the_whole():
    inputs, variables = example((8, 2, 2, 6))
    weights = np.random.default_rng(1).normal(size=inputs.shape).astype('f4')

    def loss(x, w, axis_name):
        y, _ = train_step(BatchNorm(), variables, x, axis_name)
        return (y * w).sum()

    whole = jax.grad(loss)(inputs, weights, None)
    split = [x.reshape(4, 2, 2, 2, 6) for x in (inputs, weights)]

    def total(x):
        return jax.vmap(lambda x, w: loss(x, w, 'replica'), axis_name='replica')(x, split[1]).sum()

    np.testing.assert_allclose(jax.grad(total)(split[0]).reshape(whole.shape), whole, rtol=1e-4, atol=1e-5)


def test_half_precision_inputs_have_float32_statistics():
    inputs, variables = example((64, 8, 8, 6))
    module = BatchNorm(dtype=jnp.bfloat16)
    outputs, updated = train_step(module, variables, inputs.astype(jnp.bfloat16))
    assert outputs.dtype == jnp.bfloat16
    exact = np.asarray(inputs.astype(jnp.bfloat16), np.float64).reshape(-1, 6).mean(0)
    old = variables['batch_stats']['mean']
    assert updated['batch_stats']['mean'].dtype == jnp.float32
    np.testing.assert_allclose(updated['batch_stats']['mean'], 0.9 * old + 0.1 * exact, rtol=1e-5)


def test_a_single_value_a_channel_is_refused():
    inputs, variables = example((1, 1, 1, 6))
    with pytest.raises(UserError, match='single value'):
        train_step(BatchNorm(), variables, inputs)
    assert BatchNorm().apply(variables, inputs, Mode()).shape == inputs.shape
