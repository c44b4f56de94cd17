"""Pooling, stages, depth, sizes, and options that contradict each other."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.models.mode import Mode
from jtransfer.models.vit.network import ViT

TINY = {'patch': 4, 'dim': 12, 'blocks': 2, 'heads': 3}
# timm 1.0.31 with 1000 classes.
PUBLISHED = {
    'vit_ti16': 5_717_416,
    'vit_s16': 22_050_664,
    'vit_s32': 22_878_952,
    'vit_b8': 86_576_872,
    'vit_b16': 86_567_656,
    'vit_b32': 88_224_232,
    'vit_l16': 304_326_632,
    'vit_l32': 306_535_400,
    'vit_h14': 632_045_800,
    'deit_ti16': 5_717_416,
    'deit_s16': 22_050_664,
    'deit_b16': 86_567_656,
    'deit_ti16_distilled': 5_910_800,
    'deit_s16_distilled': 22_436_432,
    'deit_b16_distilled': 87_338_192,
    'deit3_s16': 22_059_496,
    'deit3_m16': 38_849_512,
    'deit3_b16': 86_585_320,
    'deit3_l16': 304_374_760,
    'deit3_h14': 632_126_440,
    'mae_b16': 86_567_656,
    'mae_l16': 304_326_632,
    'mae_h14': 632_045_800,
    'dinov2_s14': 22_441_192,
    'dinov2_s14_reg4': 22_442_344,
    'dinov2_b14': 87_348_712,
    'dinov2_b14_reg4': 87_351_016,
    'dinov2_l14': 305_392_616,
    'dinov2_l14_reg4': 305_395_688,
    'dinov2_g14': 1_138_016_232,
    'dinov2_g14_reg4': 1_138_020_840,
    'clip_b32': 88_225_000,
    'clip_b16': 86_568_424,
    'clip_l14': 304_204_776,
    'clip_h14': 632_047_080,
    'clip_g14': 1_012_612_840,
    'clip_bigg14': 1_844_442_344,
    'siglip_b32': 95_321_320,
    'siglip_b16': 93_653_224,
    'siglip_l16': 316_981_224,
    'siglip_so400m14': 429_378_600,
    'siglip_so400m16': 429_041_064,
    'siglip_gopt16': 1_164_705_256,
}
OURS = {'vit_mini', 'vit_tiny_test'}


def arrays(module, *inputs, **kwargs):
    """Random variables for a module, drawn by NumPy: compiling the initialisers takes far longer."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(functools.partial(module.init, **kwargs), jax.random.key(0), *inputs)
    return jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype('f4'), shapes)


def pictures(side=8, batch=2):
    return jnp.asarray(np.random.default_rng(0).normal(size=(batch, side, side, 3)), jnp.float32)


def run(backbone):
    """Features of random pictures under random variables, and those variables."""
    variables = arrays(backbone, pictures())
    return jax.jit(backbone.apply)(variables, pictures()), variables


@pytest.mark.parametrize('class_token', [True, False])
def test_average_pooling_leaves_the_class_token_out(class_token):
    backbone = ViT(**TINY, class_token=class_token, pool='avg')
    features, variables = run(backbone)
    assert ('cls_token' in variables['params']['embed']) is class_token
    assert backbone.prefix_tokens == int(class_token)
    assert features['norm'].shape == (2, 4 + class_token, 12)
    expected = np.asarray(features['norm'])[:, -4:].mean(1)
    np.testing.assert_allclose(features['pooled'], expected, rtol=1e-5, atol=1e-6)


def test_token_pooling_takes_the_class_token():
    features, _ = run(ViT(**TINY))
    np.testing.assert_array_equal(features['pooled'], features['norm'][:, 0])


def test_a_distillation_token_is_pooled_beside_the_class_token_and_has_a_head_of_its_own():
    both, only_class = ViT(**TINY, distilled=True), ViT(**TINY, distilled=True, pool='class')
    features, _ = run(both)
    np.testing.assert_array_equal(features['pooled'], features['norm'][:, :2].reshape(2, -1))
    assert (both.pooled_parts, only_class.pooled_parts) == (2, 1)
    assert (both.prefix_tokens, both.prefix_positions) == (2, 2)
    features, _ = run(only_class)
    np.testing.assert_array_equal(features['pooled'], features['norm'][:, 0])


def test_the_norm_of_the_mean():
    features, variables = run(ViT(**TINY, reg_tokens=3, pool='avg_norm'))
    mean = np.asarray(features['block1'])[:, 4:].mean(1)
    norm = (mean - mean.mean(-1, keepdims=True)) / np.sqrt(mean.var(-1, keepdims=True) + 1e-6)
    expected = norm * variables['params']['norm']['scale'] + variables['params']['norm']['bias']
    np.testing.assert_allclose(features['pooled'], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(features['norm'], features['pooled'])


def test_class_token_and_mean():
    backbone = ViT(**TINY, reg_tokens=3, pool='token_avg')
    features, _ = run(backbone)
    tokens = np.asarray(features['norm'])
    assert tokens.shape == (2, 1 + 3 + 4, 12)
    expected = np.concatenate([tokens[:, 0], tokens[:, 4:].mean(1)], axis=-1)
    np.testing.assert_allclose(features['pooled'], expected, rtol=1e-5, atol=1e-6)
    assert backbone.pooled_parts == 1


def test_a_dense_layer_before_the_head():
    features, variables = run(ViT(**TINY, pre_logits=True))
    p = variables['params']['pre_logits']
    expected = np.tanh(np.asarray(features['norm'])[:, 0] @ p['kernel'] + p['bias'])
    np.testing.assert_allclose(features['pooled'], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'options', [{}, {'pool': 'avg_norm'}, {'pool': 'map', 'pre_logits': True}, {'distilled': True, 'reg_tokens': 2}]
)
def test_stages_compose_and_have_their_depth(options):
    backbone = ViT(**TINY, **options)
    whole, variables = run(backbone)
    assert set(whole) == {*backbone.stages, 'pooled'}
    for stop, start in itertools.pairwise(backbone.stages):
        first = backbone.apply(variables, pictures(), stop=stop)
        assert set(first) == set(backbone.stages[: backbone.stages.index(start)])
        second = backbone.apply(variables, first[stop], start=start)
        np.testing.assert_allclose(second['pooled'], whole['pooled'], rtol=1e-4, atol=1e-5)
    # As in timm, whose fc_norm of what is pooled belongs to the head.
    norm = 3 if options.get('pool') == 'avg_norm' else 2
    expected = {'embed': 0, 'block0': 1, 'block1': 2, 'norm': norm}
    for path in traverse_util.flatten_dict(variables['params'], sep='/'):
        assert backbone.depth(path) == expected.get(path.split('/')[0], 3)
    assert backbone.head_depth == 3
    with pytest.raises(UserError, match="'blocks/norm1' is in none of the stages embed, block0"):
        backbone.depth('blocks/norm1')


def test_half_precision_gives_float32_features():
    backbone = ViT(**TINY, pool='map', pre_logits=True, pre_norm=True, layer_scale=1.0, dtype=jnp.bfloat16)
    features, variables = run(backbone)
    assert all(features[stage].dtype == jnp.bfloat16 for stage in backbone.stages)
    assert features['pooled'].dtype == jnp.float32
    exact = backbone.clone(dtype=jnp.float32).apply(variables, pictures())
    np.testing.assert_allclose(features['pooled'], exact['pooled'], atol=0.1)


@pytest.mark.parametrize(
    ('options', 'tokens', 'positions'),
    [
        ({}, 1, 1),
        ({'class_token': False, 'pool': 'avg'}, 0, 0),
        ({'distilled': True, 'reg_tokens': 4}, 6, 2),
        ({'reg_tokens': 4, 'embed_class': False}, 5, 0),
    ],
)
def test_prefixes(options, tokens, positions):
    backbone = ViT(**TINY, **options)
    features, variables = run(backbone)
    assert (backbone.prefix_tokens, backbone.prefix_positions) == (tokens, positions)
    assert features['embed'].shape[1] == tokens + 4
    assert variables['params']['embed']['pos_embed'].shape[1] == positions + 4


def test_a_frozen_branch_of_a_block_drops_nothing():
    backbone = ViT(**TINY, drop_path=0.9, layer_scale=1.0)
    images = pictures(batch=64)
    variables = arrays(backbone, images)
    key = {'dropout': jax.random.key(2)}

    def norm(frozen):
        apply = functools.partial(backbone.apply, mode=Mode(True, frozen), rngs=key)
        return jax.jit(apply)(variables, images)['norm']

    evaluated = jax.jit(backbone.apply)(variables, images)['norm']
    np.testing.assert_array_equal(norm(('block1/attn', 'block1/mlp')), evaluated)
    assert not np.allclose(norm(('block1/attn',)), evaluated)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'pool': 'tokens'}, "Did you mean 'token'"),
        ({'gelu': 'fast'}, "gelu='fast' is not one of erf, tanh, quick"),
        ({'class_token': False}, "pool='token' needs a class token"),
        ({'class_token': False, 'pool': 'token_avg'}, "pool='token_avg' needs a class token"),
        ({'class_token': False, 'pool': 'avg', 'distilled': True}, 'stands behind a class token'),
        ({'distilled': True, 'pre_logits': True}, 'pre_logits takes one pooled token'),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(UserError, match=message):
        ViT(**TINY, **options)


def shapes(name, side=0, blocks=2, **kwargs):
    """Of the parameters of a variant with fewer blocks, for the sake of time."""
    side = side or models.describe(name).image_size
    network = models.create(name, num_classes=1000, image_size=side, **kwargs)
    network = network.clone(backbone=network.backbone.clone(blocks=blocks))
    return jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))['params']


def count(name):
    """Parameters of a variant: all blocks are alike."""
    one, two = (sum(leaf.size for leaf in jax.tree.leaves(shapes(name, blocks=blocks))) for blocks in (1, 2))
    return one + (two - one) * (models.describe(name).kwargs['blocks'] - 1)


def test_every_variant_has_its_published_size():
    ours = {name for name in models.variant_names() if models.describe(name).family == 'vit'} - OURS
    assert ours == set(PUBLISHED)
    assert {name: count(name) for name in PUBLISHED} == PUBLISHED


def test_the_384_pixels_of_siglip_are_27_patches_and_a_rest():
    assert shapes('siglip_so400m14')['backbone']['embed']['pos_embed'].shape == (1, 27 * 27, 1152)
    assert shapes('siglip_so400m14', 378)['backbone']['embed']['pos_embed'].shape == (1, 27 * 27, 1152)
    with pytest.raises(UserError, match='image_size=384 is no multiple of the 14-pixel patches'):
        models.create('siglip_so400m14', num_classes=2, options={'truncate': False})


def test_options_of_a_variant():
    registers = shapes('dinov2_s14_reg4', options={'embed_class': True})['backbone']['embed']
    assert registers['pos_embed'].shape == (1, 1 + 37 * 37, 384)
    backbone = models.create('vit_b16', num_classes=2, options={'eps': 1e-12, 'gelu': 'tanh'}).backbone
    assert (backbone.eps, backbone.gelu) == (1e-12, 'tanh')


def test_preprocessing_is_that_of_the_usual_weights():
    preprocessing = {name: models.describe(name).preprocessing for name in PUBLISHED}
    assert preprocessing['deit3_b16'].mean == preprocessing['mae_b16'].mean == (0.485, 0.456, 0.406)
    assert preprocessing['clip_b32'].mean == (0.48145466, 0.4578275, 0.40821073)
    assert preprocessing['dinov2_b14'].image_size == 518
    assert {name for name, p in preprocessing.items() if p.squash} == {n for n in PUBLISHED if n.startswith('siglip')}
