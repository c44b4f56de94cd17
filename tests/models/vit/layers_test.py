"""Attention, MLPs and attention pooling, each written out."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.models.mode import Mode
from jtransfer.models.vit.layers import Attention, AttentionPool, Block, Mlp, gelu

STILL = {'mode': Mode()}


def arrays(module, *inputs, **kwargs):
    """Random variables for a module, drawn by NumPy: compiling the initialisers takes far longer."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(functools.partial(module.init, **kwargs), jax.random.key(0), *inputs)
    return jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype('f4'), shapes)


def tokens():
    return np.random.default_rng(1).normal(size=(2, 5, 12)).astype('f4')


def attended(p, queries, x):
    """Three heads of four channels."""
    q, k, v = (
        np.einsum('btd,dhe->bhte', source, p[name]['kernel']) + p[name]['bias'][:, None]
        for name, source in (('query', queries), ('key', x), ('value', x))
    )
    scores = np.exp(np.einsum('bhte,bhse->bhts', q, k) / np.sqrt(4))
    mixed = np.einsum('bhts,bhse->bthe', scores / scores.sum(-1, keepdims=True), v)
    return np.einsum('bthe,hed->btd', mixed, p['out']['kernel']) + p['out']['bias']


def test_gelus_are_their_formulas():
    x = np.linspace(-4, 4, 33)
    exact = [value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x]
    tanh = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    quick = x / (1 + np.exp(-1.702 * x))
    for kind, expected in (('erf', exact), ('tanh', tanh), ('quick', quick)):
        np.testing.assert_allclose(gelu(jnp.asarray(x, jnp.float32), kind), expected, rtol=1e-5, atol=2e-6)


def test_attention_is_the_formula():
    module = Attention(3, 0.0, jnp.float32)
    variables = arrays(module, tokens(), **STILL)
    ours = module.apply(variables, jnp.asarray(tokens()), **STILL)
    np.testing.assert_allclose(ours, attended(variables['params'], tokens(), tokens()), rtol=1e-4, atol=1e-5)


def test_attention_without_biases_has_that_of_the_output_only():
    variables = arrays(Attention(3, 0.0, jnp.float32, qkv_bias=False), tokens(), **STILL)
    with_bias = {name for name, leaves in variables['params'].items() if 'bias' in leaves}
    assert with_bias == {'out'}


def test_the_gated_mlp_is_the_formula():
    module = Mlp(7, 'erf', 0.0, jnp.float32, swiglu=True)
    variables = arrays(module, tokens(), **STILL)
    p = variables['params']
    assert p['fc1']['kernel'].shape == (12, 14)
    gate, value = np.split(tokens() @ p['fc1']['kernel'] + p['fc1']['bias'], 2, axis=-1)
    expected = (gate / (1 + np.exp(-gate)) * value) @ p['fc2']['kernel'] + p['fc2']['bias']
    np.testing.assert_allclose(module.apply(variables, jnp.asarray(tokens()), **STILL), expected, rtol=1e-4, atol=1e-5)


def test_a_scaled_branch_is_the_branch_times_the_factors():
    make = functools.partial(Block, 3, 8, 'erf', 1e-6, 0.0, jnp.float32, True, False)
    variables = arrays(make(layer_scale=0.5), tokens(), **STILL)
    variables['params']['ls2']['gamma'][:] = 0
    variables['params']['ls1']['gamma'][:] = np.where(np.arange(12) < 6, 2.0, 0.0)
    ours = np.asarray(make(layer_scale=0.5).apply(variables, jnp.asarray(tokens()), **STILL))
    p = variables['params']
    x = tokens()
    norm = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    branch = attended(p['attn'], *[norm * p['norm1']['scale'] + p['norm1']['bias']] * 2)
    np.testing.assert_allclose(ours, x + branch * p['ls1']['gamma'], rtol=1e-4, atol=1e-5)


def test_layer_scale_starts_at_its_value():
    module = Block(3, 8, 'erf', 1e-6, 0.0, jnp.float32, True, False, layer_scale=1e-5)
    initial = jax.jit(lambda key, x: module.init(key, x, **STILL)['params']['ls1'])(jax.random.key(0), tokens())
    np.testing.assert_array_equal(initial['gamma'], np.full(12, 1e-5, np.float32))


def test_attention_pooling_is_the_formula():
    module = AttentionPool(3, 8, 'tanh', 1e-6, jnp.float32)
    variables = arrays(module, tokens(), **STILL)
    p = variables['params']
    x = attended(p['attn'], np.broadcast_to(p['probe'], (2, 1, 12)), tokens())
    norm = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    hidden = (norm * p['norm']['scale'] + p['norm']['bias']) @ p['mlp']['fc1']['kernel'] + p['mlp']['fc1']['bias']
    expected = x + np.asarray(gelu(jnp.asarray(hidden), 'tanh')) @ p['mlp']['fc2']['kernel'] + p['mlp']['fc2']['bias']
    ours = module.apply(variables, jnp.asarray(tokens()), **STILL)
    np.testing.assert_allclose(ours, expected[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('width', [12, 24])
def test_heads_divide_the_channels(width):
    x = np.zeros((1, 2, width), np.float32)
    kernel = arrays(Attention(3, 0.0, jnp.float32), x, **STILL)['params']['key']['kernel']
    assert kernel.shape == (width, 3, width // 3)
