"""Pooling, tokens, grids, and attention written out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.models.vit import Attention, Patches, ViT

TINY = {'patch': 4, 'dim': 12, 'blocks': 2, 'heads': 3}


def arrays(module, *inputs, **kwargs):
    """Random variables for a module, drawn by NumPy: compiling the initialisers takes far longer."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(functools.partial(module.init, **kwargs), jax.random.key(0), *inputs)
    return jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype('f4'), shapes)


@pytest.mark.parametrize('class_token', [True, False])
def test_average_pooling_leaves_the_class_token_out(class_token):
    backbone = ViT(**TINY, class_token=class_token, pool='avg')
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype('f4')
    variables = arrays(backbone, images)
    assert ('cls_token' in variables['params']['embed']) is class_token
    assert backbone.prefix_tokens == int(class_token)
    features = jax.jit(backbone.apply)(variables, images)
    assert features['norm'].shape == (2, 4 + class_token, 12)
    expected = np.asarray(features['norm'])[:, -4:].mean(1)
    np.testing.assert_allclose(features['pooled'], expected, rtol=1e-5, atol=1e-6)


def test_token_pooling_takes_the_class_token():
    backbone = ViT(**TINY)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype('f4')
    variables = arrays(backbone, images)
    features = jax.jit(backbone.apply)(variables, images)
    np.testing.assert_array_equal(features['pooled'], features['norm'][:, 0])


def test_patches_are_a_strided_convolution():
    images = np.random.default_rng(0).normal(size=(2, 8, 12, 3)).astype('f4')
    module = Patches(4, 7, jnp.float32)
    variables = arrays(module, images)
    kernel = variables['params']['kernel']
    assert kernel.shape == (4, 4, 3, 7)
    expected = variables['params']['bias'] + jax.lax.conv_general_dilated(
        images, kernel, (4, 4), 'VALID', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    np.testing.assert_allclose(
        jax.jit(module.apply)(variables, images), expected.reshape(2, 6, 7), rtol=1e-4, atol=1e-5
    )


def test_attention_is_the_formula():
    tokens = np.random.default_rng(0).normal(size=(2, 5, 12)).astype('f4')
    module = Attention(3, 0.0, jnp.float32)
    variables = arrays(module, tokens, train=False, frozen=())
    p = jax.tree.map(np.asarray, variables['params'])
    q, k, v = (
        np.einsum('btd,dhe->bhte', tokens, p[name]['kernel']) + p[name]['bias'][:, None]
        for name in ('query', 'key', 'value')
    )
    scores = np.exp(np.einsum('bhte,bhse->bhts', q, k) / np.sqrt(4))
    mixed = np.einsum('bhts,bhse->bthe', scores / scores.sum(-1, keepdims=True), v)
    expected = np.einsum('bthe,hed->btd', mixed, p['out']['kernel']) + p['out']['bias']
    ours = module.apply(variables, jnp.asarray(tokens), train=False, frozen=())
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_a_rectangular_grid_has_positions_of_its_own():
    network = models.create('vit_tiny_test', num_classes=2)
    images = jnp.ones((1, 16, 40, 3))
    variables = arrays(network, images)
    assert variables['params']['backbone']['embed']['pos_embed'].shape == (1, 1 + 2 * 5, 16)
    assert jax.eval_shape(network.apply, variables, images).shape == (1, 2)


def test_images_that_do_not_fit_are_refused():
    network = models.create('vit_tiny_test', num_classes=2)
    variables = arrays(network, jnp.ones((1, 16, 16, 3)))
    with pytest.raises(UserError, match='patches of 8×8'):
        network.apply(variables, jnp.ones((1, 16, 17, 3)))
    with pytest.raises(UserError, match='gives 17 tokens, but the network has position embeddings for 5'):
        network.apply(variables, jnp.ones((1, 32, 32, 3)))


def test_a_frozen_branch_of_a_block_drops_nothing():
    backbone = ViT(**TINY, drop_path=0.9)
    images = np.random.default_rng(0).normal(size=(64, 8, 8, 3)).astype('f4')
    variables = arrays(backbone, images)
    key = {'dropout': jax.random.key(2)}

    def norm(frozen):
        apply = functools.partial(backbone.apply, train=True, frozen=frozen, rngs=key)
        return jax.jit(apply)(variables, images)['norm']

    evaluated = jax.jit(backbone.apply)(variables, images)['norm']
    np.testing.assert_array_equal(norm(('block1/attn', 'block1/mlp')), evaluated)
    assert not np.allclose(norm(('block1/attn',)), evaluated)
