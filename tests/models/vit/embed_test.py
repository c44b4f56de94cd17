"""Patches, prefix tokens, positions and grids."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.models.vit.embed import Embed, Patches

PLAIN = {
    'patch': 4,
    'dim': 6,
    'class_token': True,
    'distilled': False,
    'reg_tokens': 0,
    'embed_class': True,
    'pre_norm': False,
    'patch_bias': True,
    'truncate': False,
    'eps': 1e-6,
    'dtype': jnp.float32,
}


def arrays(module, images):
    """Random variables for a module, drawn by NumPy: compiling the initialisers takes far longer."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(module.init, jax.random.key(0), images)
    return jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype('f4'), shapes)


def pictures(height, width):
    return jnp.asarray(np.random.default_rng(1).normal(size=(2, height, width, 3)), jnp.float32)


@pytest.mark.parametrize('bias', [True, False])
def test_patches_are_a_strided_convolution(bias):
    images = pictures(8, 12)
    module = Patches(4, 7, jnp.float32, bias)
    variables = arrays(module, images)
    kernel = variables['params']['kernel']
    assert kernel.shape == (4, 4, 3, 7)
    assert ('bias' in variables['params']) is bias
    expected = variables['params'].get('bias', 0) + jax.lax.conv_general_dilated(
        images, kernel, (4, 4), 'VALID', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    ours = jax.jit(module.apply)(variables, images)
    np.testing.assert_allclose(ours, expected.reshape(2, 6, 7), rtol=1e-4, atol=1e-5)


def test_truncated_patches_are_those_of_the_picture_without_its_rest():
    images = pictures(11, 14)
    module = Patches(4, 7, jnp.float32, truncate=True)
    variables = arrays(module, images)
    apply = jax.jit(module.apply)
    np.testing.assert_array_equal(apply(variables, images), apply(variables, images[:, :8, :12]))


@pytest.mark.parametrize('truncate', [True, False])
def test_a_picture_smaller_than_a_patch_is_refused(truncate):
    module = Patches(4, 7, jnp.float32, truncate=truncate)
    with pytest.raises(UserError, match='images of 3×8 pixels cannot be cut into patches of 4×4'):
        jax.eval_shape(module.init, jax.random.key(0), pictures(3, 8))


@pytest.mark.parametrize('embed_class', [True, False])
def test_the_order_of_the_tokens_and_who_has_a_position(embed_class):
    images = pictures(8, 12)
    module = Embed(**{**PLAIN, 'distilled': True, 'reg_tokens': 2, 'embed_class': embed_class})
    variables = arrays(module, images)
    p = variables['params']
    ours = np.asarray(jax.jit(module.apply)(variables, images))
    positions = p['pos_embed'][0]
    assert len(positions) == 6 + 2 * embed_class
    patches = Patches(4, 6, jnp.float32).apply({'params': p['patch']}, images)
    np.testing.assert_allclose(ours[:, 4:], patches + positions[-6:], rtol=1e-4, atol=1e-5)
    before = np.stack([p['cls_token'][0, 0], p['dist_token'][0, 0], *p['reg_tokens'][0]])
    before[:2] += positions[:2] if embed_class else 0
    np.testing.assert_allclose(ours[:, :4], np.stack([before, before]), rtol=1e-5, atol=1e-6)


def test_the_layer_normalisation_of_clip_comes_last():
    images = pictures(8, 8)
    module = Embed(**{**PLAIN, 'pre_norm': True, 'eps': 1e-5})
    variables = arrays(module, images)
    norm = variables['params'].pop('norm_pre')
    x = np.asarray(Embed(**PLAIN).apply(variables, images))
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    ours = module.apply({'params': {**variables['params'], 'norm_pre': norm}}, images)
    np.testing.assert_allclose(ours, expected * norm['scale'] + norm['bias'], rtol=1e-4, atol=1e-5)


def test_a_rectangular_grid_has_positions_of_its_own():
    network = models.create('vit_tiny_test', num_classes=2)
    images = jnp.ones((1, 16, 40, 3))
    variables = arrays(network, images)
    assert variables['params']['backbone']['embed']['pos_embed'].shape == (1, 1 + 2 * 5, 16)
    assert jax.eval_shape(network.apply, variables, images)[''].shape == (1, 2)


def test_images_that_do_not_fit_are_refused():
    network = models.create('vit_tiny_test', num_classes=2)
    variables = arrays(network, jnp.ones((1, 16, 16, 3)))
    with pytest.raises(UserError, match='patches of 8×8'):
        network.apply(variables, jnp.ones((1, 16, 17, 3)))
    with pytest.raises(UserError, match='gives 17 tokens, but the network has position embeddings for 5'):
        network.apply(variables, jnp.ones((1, 32, 32, 3)))
