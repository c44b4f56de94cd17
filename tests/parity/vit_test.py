"""Vision Transformers of true size against timm and transformers, live, with random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jtransfer import models
from jtransfer.pretrained.names import namings
from jtransfer.pretrained.names.vit_config import options_from_config
from tests.golden import check

pytestmark = pytest.mark.parity
torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')
reference = pytest.importorskip('tests.golden.reference')
timm = reference.import_timm()

# The first, a middle and the last block, and what stands around them.
BLOCKS = {0: 'block0', 5: 'block5', 11: 'block11'}
TIMM_STAGES = {'norm_pre': 'embed', 'norm': 'norm'} | {f'blocks.{index}': name for index, name in BLOCKS.items()}
TOWER_STAGES = {f'vision_model.encoder.layers.{index}': name for index, name in BLOCKS.items()}

TIMM_NAMES = {
    'vit_ti16': 'vit_tiny_patch16_224',
    'vit_s16': 'vit_small_patch16_224',
    'vit_s32': 'vit_small_patch32_224',
    'vit_b8': 'vit_base_patch8_224',
    'vit_b16': 'vit_base_patch16_224',
    'vit_b32': 'vit_base_patch32_224',
    'vit_l16': 'vit_large_patch16_224',
    'vit_l32': 'vit_large_patch32_224',
    'vit_h14': 'vit_huge_patch14_224',
    'deit_ti16': 'deit_tiny_patch16_224',
    'deit_s16': 'deit_small_patch16_224',
    'deit_b16': 'deit_base_patch16_224',
    'deit_ti16_distilled': 'deit_tiny_distilled_patch16_224',
    'deit_s16_distilled': 'deit_small_distilled_patch16_224',
    'deit_b16_distilled': 'deit_base_distilled_patch16_224',
    'deit3_s16': 'deit3_small_patch16_224',
    'deit3_m16': 'deit3_medium_patch16_224',
    'deit3_b16': 'deit3_base_patch16_224',
    'deit3_l16': 'deit3_large_patch16_224',
    'deit3_h14': 'deit3_huge_patch14_224',
    'mae_b16': 'vit_base_patch16_224',
    'mae_l16': 'vit_large_patch16_224',
    'mae_h14': 'vit_huge_patch14_224',
    'dinov2_s14': 'vit_small_patch14_dinov2',
    'dinov2_s14_reg4': 'vit_small_patch14_reg4_dinov2',
    'dinov2_b14': 'vit_base_patch14_dinov2',
    'dinov2_b14_reg4': 'vit_base_patch14_reg4_dinov2',
    'dinov2_l14': 'vit_large_patch14_dinov2',
    'dinov2_l14_reg4': 'vit_large_patch14_reg4_dinov2',
    'dinov2_g14': 'vit_giant_patch14_dinov2',
    'dinov2_g14_reg4': 'vit_giant_patch14_reg4_dinov2',
    'clip_b32': 'vit_base_patch32_clip_quickgelu_224',
    'clip_b16': 'vit_base_patch16_clip_quickgelu_224',
    'clip_l14': 'vit_large_patch14_clip_quickgelu_224',
    'clip_h14': 'vit_huge_patch14_clip_224',
    'clip_g14': 'vit_giant_patch14_clip_224',
    'clip_bigg14': 'vit_gigantic_patch14_clip_224',
    'siglip_b32': 'vit_base_patch32_siglip_256',
    'siglip_b16': 'vit_base_patch16_siglip_224',
    'siglip_l16': 'vit_large_patch16_siglip_256',
    'siglip_so400m14': 'vit_so400m_patch14_siglip_384',
    'siglip_so400m16': 'vit_so400m_patch16_siglip_256',
    'siglip_gopt16': 'vit_giantopt_patch16_siglip_256',
}


def named_vits():
    return {name for name in models.variant_names() if models.describe(name).family == 'vit'}


def test_all_variants_are_compared():
    assert named_vits() - set(TIMM_NAMES) == {'vit_mini', 'vit_tiny_test'}


@pytest.mark.parametrize(('name', 'published'), TIMM_NAMES.items())
def test_a_timm_file_fills_every_tensor(name, published):
    with torch.device('meta'):
        model = timm.create_model(published, num_classes=10)
    state = {n: np.broadcast_to(np.float32(0), tuple(value.shape)) for n, value in model.state_dict().items()}
    side = models.describe(name).image_size
    network = models.create(name, num_classes=10)
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))
    wanted = {path: leaf.shape for path, leaf in traverse_util.flatten_dict(variables, sep='/').items()}
    naming = namings('vit', network.backbone)[0]
    converted = naming.to_ours(state, wanted)
    assert not converted.unknown
    assert not converted.ignored
    assert {path: value.shape for path, value in converted.values.items()} == wanted


def compare(name, naming, model, stages, side, *, classes, forward=None, **options):
    """Our variant of the same weights gives the same logits and features, within 1e-4 of the largest magnitude."""
    model = reference.randomise(model).eval()
    arrays = reference.reference(model, reference.random_image(1, side, side), stages, forward=forward)
    network = models.create(name, num_classes=classes, image_size=side, options=options)
    shares = check.evaluation(network, check.naming_called(naming, 'vit', network), arrays, tolerance=1e-4)
    print(name, naming, {stage: f'{share:.0e}' for stage, share in shares.items()})
    assert set(BLOCKS.values()) < set(shares)


@pytest.mark.parametrize('name', ['vit_b16', 'deit_s16_distilled', 'deit3_s16', 'clip_b32'])
def test_timm(name):
    model = timm.create_model(TIMM_NAMES[name], num_classes=512)
    compare(name, 'timm', model, TIMM_STAGES, 224, classes=512)


@pytest.mark.parametrize('name', ['dinov2_s14', 'dinov2_s14_reg4'])
def test_timm_dinov2(name):
    model = timm.create_model(TIMM_NAMES[name], num_classes=0, img_size=224)
    compare(name, 'timm', model, TIMM_STAGES, 224, classes=0)


def test_timm_siglip():
    # timm has this network with the exact GELU.
    model = timm.create_model(TIMM_NAMES['siglip_b16'], num_classes=0)
    compare('siglip_b16', 'timm', model, TIMM_STAGES | {'attn_pool': 'pool'}, 224, classes=0, gelu='erf')


def encoder_stages(base):
    stages = {f'{base}.encoder.layer.{index}': name for index, name in BLOCKS.items()}
    return stages | {f'{base}.embeddings': 'embed', f'{base}.layernorm': 'norm'}


def logits(model, image):
    return model(image).logits


def pooler_output(model, image):
    return model(image).pooler_output


def test_transformers_vit():
    config = transformers.ViTConfig(num_labels=1000)
    name, options = options_from_config(config.to_dict())
    assert name == 'vit_b16'
    model = transformers.ViTForImageClassification(config)
    compare(name, 'huggingface', model, encoder_stages('vit'), 224, classes=1000, forward=logits, **options)


def test_transformers_dinov2():
    config = transformers.Dinov2Config(
        hidden_size=384,
        num_attention_heads=6,
        patch_size=14,
        num_labels=10,
        architectures=['Dinov2ForImageClassification'],
    )
    name, options = options_from_config(config.to_dict())
    assert (name, options) == ('dinov2_s14', {'pool': 'token_avg'})
    model = transformers.Dinov2ForImageClassification(config)
    compare(name, 'huggingface_dinov2', model, encoder_stages('dinov2'), 224, classes=10, forward=logits, **options)


def test_transformers_clip():
    config = transformers.CLIPVisionConfig()
    name, options = options_from_config(config.to_dict())
    assert (name, options) == ('clip_b32', {})
    stages = TOWER_STAGES | {'vision_model.pre_layrnorm': 'embed'}
    model = transformers.CLIPVisionModelWithProjection(config)
    compare(name, 'huggingface_clip', model, stages, 224, classes=512, forward=lambda model, x: model(x).image_embeds)


def test_transformers_siglip():
    config = transformers.SiglipVisionConfig()
    name, options = options_from_config(config.to_dict())
    assert (name, options) == ('siglip_b16', {})
    stages = TOWER_STAGES | {'vision_model.embeddings': 'embed', 'vision_model.post_layernorm': 'norm'}
    model = transformers.SiglipVisionModel(config)
    compare(name, 'huggingface_siglip', model, stages, 224, classes=0, forward=pooler_output)
