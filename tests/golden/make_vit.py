"""Writes the fixtures of Vision Transformers from timm and transformers: `python -m tests.golden.make_vit`.

Needs transformers 4.57 as well, the last with Flax networks. The state of a case is under its source's own names.
"""

import functools

import numpy as np
import scipy.ndimage
import torch
import torch.nn.functional as F
import transformers

from tests.golden import reference

timm = reference.import_timm()
vision_transformer = timm.models.vision_transformer

TIMM_STAGES = {'norm_pre': 'embed', 'blocks.0': 'block0', 'blocks.1': 'block1', 'norm': 'norm'}
# A grid of 3×2 patches.
TINY = {'img_size': (15, 10), 'patch_size': 5, 'embed_dim': 24, 'depth': 2, 'num_heads': 3, 'num_classes': 5}
SIZES = {'hidden_size': 24, 'num_hidden_layers': 2, 'num_attention_heads': 3, 'patch_size': 5}
SQUARE = {**SIZES, 'image_size': 15}
TANH = functools.partial(torch.nn.GELU, approximate='tanh')


def image(height=15, width=10):
    """Three normalised images."""
    return reference.random_image(3, height, width)


def randomised(model):
    """All parameters random, multiples of 1/64, which compress well."""
    for parameter in reference.randomise(model).parameters():
        parameter.data = (64 * parameter.data).round() / 64
    return model.eval()


def timm_vit(**kwargs):
    """A tiny one, of random weights."""
    arguments = {**TINY, 'mlp_ratio': 2, **kwargs}
    return randomised(vision_transformer.VisionTransformer(**arguments))


def write_timm():
    """timm's own names."""
    write = functools.partial(write_case, stages=TIMM_STAGES)
    write('vit_timm_token', timm_vit())
    write('vit_timm_avg', timm_vit(global_pool='avg'), stages={**TIMM_STAGES, 'fc_norm': 'norm'})
    distilled = timm.models.deit.VisionTransformerDistilled(**TINY, mlp_ratio=2)
    write('vit_timm_distilled', randomised(distilled))
    write('vit_timm_reg', timm_vit(reg_tokens=4, no_embed_class=True, init_values=1e-5))
    gated = {'mlp_layer': timm.layers.SwiGLUPacked, 'act_layer': torch.nn.SiLU, 'mlp_ratio': 3}
    write('vit_timm_swiglu', timm_vit(**gated, init_values=1e-5, qkv_bias=False))
    norm = functools.partial(timm.layers.LayerNorm, eps=1e-5)
    write('vit_timm_clip', timm_vit(pre_norm=True, norm_layer=norm, act_layer='quick_gelu'))
    pooled = timm_vit(class_token=False, global_pool='map', act_layer=TANH, img_size=(17, 14))
    write('vit_timm_siglip', pooled, stages={**TIMM_STAGES, 'attn_pool': 'pool'}, pixels=image(17, 14))


def write_huggingface():
    """torch networks of transformers."""
    vit = {**SIZES, 'image_size': (15, 10), 'intermediate_size': 40, 'num_labels': 5}
    config = transformers.ViTConfig(**vit)
    write_hf('vit_hf', transformers.ViTForImageClassification(config), 'vit.')
    write_hf('vit_hf_pooler', transformers.ViTModel(config), '', lambda model, x: model(x).pooler_output)
    config = transformers.DeiTConfig(**vit)
    write_hf('vit_hf_deit', transformers.DeiTForImageClassificationWithTeacher(config), 'deit.')
    write_hf('vit_hf_deit_class', transformers.DeiTForImageClassification(config), 'deit.')
    decoder = {'decoder_hidden_size': 8, 'decoder_num_hidden_layers': 1, 'decoder_num_attention_heads': 2}
    mae = transformers.ViTMAEConfig(
        **SQUARE, intermediate_size=40, mask_ratio=0.0, **decoder, decoder_intermediate_size=8
    )
    # In this order nothing is shuffled.
    noise = torch.arange(9.0)[None].repeat(3, 1)
    model = transformers.ViTMAEForPreTraining(mae)
    write_hf('vit_hf_mae', model, 'vit.', lambda model, x: model.vit(x, noise=noise).last_hidden_state[:, 0], 15)

    dinov2 = {**SQUARE, 'mlp_ratio': 3, 'num_labels': 5}
    config = transformers.Dinov2Config(**dinov2, use_swiglu_ffn=True)
    write_hf('vit_hf_dinov2', transformers.Dinov2ForImageClassification(config), 'dinov2.', width=15)
    config = transformers.Dinov2WithRegistersConfig(**dinov2)
    model = transformers.Dinov2WithRegistersModel(config)
    write_hf('vit_hf_dinov2_reg', model, '', lambda model, x: model(x).pooler_output, 15)

    towers = {**SQUARE, 'intermediate_size': 40}
    text = {'hidden_size': 8, 'num_hidden_layers': 1, 'num_attention_heads': 2, 'intermediate_size': 8, 'vocab_size': 9}
    config = transformers.CLIPConfig({**text, 'max_position_embeddings': 4}, towers, projection_dim=5)
    stages = {'pre_layrnorm': 'embed', 'encoder.layers.0': 'block0', 'encoder.layers.1': 'block1'}
    stages = {f'vision_model.{theirs}': ours for theirs, ours in stages.items()}
    model = randomised(transformers.CLIPModel(config))
    write_case('vit_hf_clip', model, stages, forward=lambda model, x: model.get_image_features(x), pixels=image(15, 15))

    config = transformers.SiglipVisionConfig(**towers)
    stages = {'encoder.layers.0': 'block0', 'encoder.layers.1': 'block1', 'post_layernorm': 'norm', 'head': 'pool'}
    stages = {f'vision_model.{theirs}': ours for theirs, ours in stages.items()}
    model = randomised(transformers.SiglipVisionModel(config))
    write_case('vit_hf_siglip', model, stages, forward=lambda model, x: model(x).pooler_output, pixels=image(15, 15))
    config = transformers.SiglipConfig(vision_config=towers, text_config=text, num_labels=5)
    model = randomised(transformers.SiglipForImageClassification(config))
    stages.pop('vision_model.head')
    write_case('vit_hf_siglip_avg', model, stages, forward=lambda model, x: model(x).logits, pixels=image(15, 15))


def write_hf(case, model, base, forward=None, width=10):
    """A network whose encoder is called so."""
    stages = {'embeddings': 'embed', 'encoder.layer.0': 'block0', 'encoder.layer.1': 'block1', 'layernorm': 'norm'}
    stages = {base + theirs: ours for theirs, ours in stages.items()}
    forward = forward or (lambda model, x: model(x).logits)
    write_case(case, randomised(model), stages, forward=forward, pixels=image(15, width))


def write_flax():
    """Flax networks of transformers, their nested names joined by '/'."""
    config = transformers.ViTConfig(**SQUARE, intermediate_size=40, num_labels=5)
    write_flax_case('vit_flax', transformers.FlaxViTForImageClassification(config), lambda output: output.logits)
    config = transformers.Dinov2Config(**SQUARE, mlp_ratio=3)
    write_flax_case('vit_flax_dinov2', transformers.FlaxDinov2Model(config), lambda output: output.pooler_output)
    config = transformers.CLIPVisionConfig(**SQUARE, intermediate_size=40)
    write_flax_case('vit_flax_clip', transformers.FlaxCLIPVisionModel(config), lambda output: output.pooler_output)


def write_flax_case(case, model, logits):
    """Random weights, and what the network says with them."""
    from flax import traverse_util

    random = np.random.default_rng(1)
    state = {}
    for name, value in sorted(traverse_util.flatten_dict(model.params, sep='/').items()):
        fan_in = np.prod(value.shape[:-1]) if name.endswith('kernel') else 10
        drawn = random.normal(size=value.shape) * (fan_in**-0.5 if value.ndim > 1 else 0.2)
        drawn += name.endswith(('scale', 'lambda1'))
        state[name] = (np.round(64 * drawn) / 64).astype(np.float32)
    pixels = image(15, 15)
    params = traverse_util.unflatten_dict(state, sep='/')
    output = model(pixels.numpy(), params=params, output_hidden_states=True)
    arrays = {'image': reference.to_numpy(pixels), 'logits': np.asarray(logits(output))}
    names = ('embed', 'block0', 'block1')
    arrays |= {f'feature/{name}': np.asarray(value) for name, value in zip(names, output.hidden_states, strict=True)}
    reference.write(case, arrays | {f'state/{name}': value for name, value in state.items()})


def write_case(case, model, stages, *, state=None, forward=None, pixels=None):
    """A fixture; `state` where the tensors have other names than the model's."""
    known = dict(model.named_modules())
    stages = {theirs: ours for theirs, ours in stages.items() if theirs in known}
    if 'fc_norm' in stages and stages['fc_norm'] == 'norm':
        stages.pop('norm')
    arrays = reference.reference(model, image() if pixels is None else pixels, stages, forward=forward)
    if state is not None:
        arrays = {name: value for name, value in arrays.items() if not name.startswith('state/')}
        arrays |= {f'state/{name}': value for name, value in state.items()}
    reference.write(case, arrays)


def write_positions():
    """Position embeddings on other grids, as torch and SciPy resample them; keys are METHOD/OLD/NEW."""
    generator = torch.Generator().manual_seed(0)
    arrays = {}
    for old, new in (((4, 4), (7, 7)), ((7, 7), (4, 4)), ((5, 5), (3, 8)), ((3, 5), (4, 2))):
        grid = torch.randn((1, 3, *old), generator=generator)
        key = '{}x{}/{}x{}'.format(*old, *new)
        scales = [(side + 0.1) / before for side, before in zip(new, old, strict=True)]
        resized = {
            'bicubic_antialias': F.interpolate(grid, new, mode='bicubic', antialias=True),
            'bicubic': F.interpolate(grid, new, mode='bicubic'),
            'bicubic_offset': F.interpolate(grid, scale_factor=scales, mode='bicubic'),
            'bilinear': F.interpolate(grid, new, mode='bilinear'),
        }
        arrays[f'grid/{key}'] = reference.to_numpy(grid)
        arrays |= {f'{method}/{key}': reference.to_numpy(value) for method, value in resized.items()}
        zoom = [1, *(side / before for side, before in zip(new, old, strict=True)), 1]
        arrays[f'bilinear_corners/{key}'] = scipy.ndimage.zoom(reference.to_numpy(grid), zoom, order=1)
    reference.write('vit_positions', arrays)


if __name__ == '__main__':
    write_timm()
    write_huggingface()
    write_flax()
    write_positions()
