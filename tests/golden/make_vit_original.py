"""Writes the fixtures of Vision Transformers in original files: `python -m tests.golden.make_vit_original`.

Their names are made from timm's here, and brought back by timm's own readers; what a network says is said after that.
"""

import functools
import pathlib
import tempfile

import numpy as np
import torch

from tests.golden.make_vit import TANH, TIMM_STAGES, timm, timm_vit, vision_transformer, write_case


def write_originals():
    """The names of original files, which timm's converters bring to timm's."""
    deit3 = timm_vit(no_embed_class=True, init_values=1e-6)
    renamed = {}
    for name, value in deit3.state_dict().items():
        for branch in '12':
            name = name.replace(f'ls{branch}.gamma', f'gamma_{branch}')
        renamed[name] = value
    convert = functools.partial(vision_transformer.checkpoint_filter_fn, adapt_layer_scale=True)
    write_renamed('vit_deit3', deit3, renamed, convert)

    gated = {'mlp_layer': timm.layers.SwiGLUPacked, 'act_layer': torch.nn.SiLU, 'mlp_ratio': 3}
    dinov2 = timm_vit(reg_tokens=4, no_embed_class=True, init_values=1e-5, num_classes=0, **gated)
    renamed = {'mask_token': torch.ones(1, 24)}
    for name, value in dinov2.state_dict().items():
        renamed[name.replace('fc1', 'w12').replace('fc2', 'w3')] = value
    # The class token has a position there.
    at_class = torch.randn(1, 1, 24, generator=torch.Generator().manual_seed(2))
    renamed['cls_token'] = renamed['cls_token'] - at_class
    renamed['pos_embed'] = torch.cat([at_class, renamed['pos_embed']], dim=1)
    renamed['register_tokens'] = renamed.pop('reg_token')
    write_renamed('vit_dinov2', dinov2, renamed, vision_transformer.checkpoint_filter_fn)

    norm = functools.partial(timm.layers.LayerNorm, eps=1e-5)
    clip = timm_vit(pre_norm=True, norm_layer=norm, act_layer='quick_gelu')
    torch.nn.init.zeros_(clip.head.bias)
    text = {
        'positional_embedding': torch.ones(4, 8),
        'transformer.resblocks.0.ln_1.weight': torch.ones(8),
        'text_projection': torch.ones(8, 5),
        'logit_scale': torch.ones(()),
        'vocab_size': torch.tensor(9),
    }
    renamed = {openai_name(name): value for name, value in clip.state_dict().items() if name != 'head.bias'} | text
    for name in ('visual.class_embedding', 'visual.positional_embedding'):
        renamed[name] = renamed[name].reshape(renamed[name].shape[1:]).squeeze(0)
    renamed['visual.proj'] = renamed['visual.proj'].T.contiguous()
    write_renamed('vit_openai_clip', clip, renamed, vision_transformer.checkpoint_filter_fn)


def openai_name(name):
    """Of a tensor that timm calls so."""
    theirs = {
        'cls_token': 'class_embedding',
        'pos_embed': 'positional_embedding',
        'patch_embed.proj': 'conv1',
        'norm_pre': 'ln_pre',
        'blocks': 'transformer.resblocks',
        'norm1': 'ln_1',
        'norm2': 'ln_2',
        'attn.qkv.': 'attn.in_proj_',
        'attn.proj': 'attn.out_proj',
        'mlp.fc1': 'mlp.c_fc',
        'mlp.fc2': 'mlp.c_proj',
        'head.weight': 'proj',
    }
    for ours, other in theirs.items():
        name = name.replace(ours, other)
    return 'visual.' + (name.replace('norm', 'ln_post') if name.startswith('norm') else name)


def write_renamed(case, model, renamed, convert):
    """The outputs of a timm model, after its tensors have come back from their original names."""
    state = {name: np.array(value.numpy(), order='C') for name, value in renamed.items()}
    for parameter in model.parameters():
        parameter.data = torch.full_like(parameter, torch.nan)
    model.load_state_dict(convert(dict(renamed), model))
    write_case(case, model, TIMM_STAGES, state=state)


def write_google():
    """.npz files of vision_transformer and big_vision, as timm reads them."""
    plain = timm_vit(act_layer=TANH)
    arrays = google_names(plain, 'Transformer/posembed_input/pos_embedding', 'MultiHeadDotProductAttention_1', '2', '3')
    write_npz('vit_jax', plain, arrays)

    mapped = timm_vit(class_token=False, global_pool='map', act_layer=TANH, num_classes=0)
    arrays = google_names(mapped, 'pos_embedding', 'MultiHeadDotProductAttention_0', '1', '0')
    write_npz('vit_big_vision', mapped, arrays, 'params/')
    scanned = {name: value for name, value in arrays.items() if 'encoderblock_' not in name}
    for name in [name for name in arrays if 'encoderblock_0' in name]:
        blocks = [arrays[name.replace('encoderblock_0', f'encoderblock_{index}')] for index in range(2)]
        scanned[name.replace('encoderblock_0', 'encoderblock')] = np.stack(blocks)
    write_npz('vit_big_vision_scan', mapped, scanned, 'params/img/')


def google_names(model, positions, attention, norm2, mlp):
    """A timm model's tensors in Google's names and layouts, (in, out) and heads as an axis."""
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    arrays = {'embedding/kernel': state['patch_embed.proj.weight'].transpose(2, 3, 1, 0)}
    arrays |= {'embedding/bias': state['patch_embed.proj.bias'], positions: state['pos_embed']}
    arrays |= {'cls': state['cls_token']} if 'cls_token' in state else {}
    arrays |= google_norm(state, 'norm', 'Transformer/encoder_norm')
    if 'head.weight' in state:
        arrays |= {'head/kernel': state['head.weight'].T, 'head/bias': state['head.bias']}
    for index in range(len(model.blocks)):
        theirs, ours = f'Transformer/encoderblock_{index}', f'blocks.{index}'
        arrays |= google_norm(state, f'{ours}.norm1', f'{theirs}/LayerNorm_0')
        arrays |= google_norm(state, f'{ours}.norm2', f'{theirs}/LayerNorm_{norm2}')
        rows = [state[f'{ours}.attn.qkv.{leaf}'] for leaf in ('weight', 'bias')]
        arrays |= google_attention(*rows, state, f'{ours}.attn.proj', f'{theirs}/{attention}')
        arrays |= google_mlp(state, f'{ours}.mlp', f'{theirs}/MlpBlock_{mlp}')
    if 'attn_pool.latent' in state:
        rows = [np.concatenate([state[f'attn_pool.{n}.{leaf}'] for n in ('q', 'kv')]) for leaf in ('weight', 'bias')]
        arrays |= google_attention(*rows, state, 'attn_pool.proj', 'MAPHead_0/MultiHeadDotProductAttention_0')
        arrays |= google_norm(state, 'attn_pool.norm', 'MAPHead_0/LayerNorm_0')
        arrays |= google_mlp(state, 'attn_pool.mlp', 'MAPHead_0/MlpBlock_0')
        arrays['MAPHead_0/probe'] = state['attn_pool.latent']
    return {name: np.array(value, order='C') for name, value in arrays.items()}


def google_norm(state, ours, theirs):
    """scale and bias."""
    return {f'{theirs}/scale': state[f'{ours}.weight'], f'{theirs}/bias': state[f'{ours}.bias']}


def google_mlp(state, ours, theirs):
    """Two dense layers, numbered from 0."""
    arrays = {f'{theirs}/Dense_{n}/kernel': state[f'{ours}.fc{n + 1}.weight'].T for n in range(2)}
    return arrays | {f'{theirs}/Dense_{n}/bias': state[f'{ours}.fc{n + 1}.bias'] for n in range(2)}


def google_attention(weight, bias, state, out, theirs, heads=3):
    """From the rows of queries, keys and values."""
    dim = weight.shape[1]
    arrays = {}
    for index, part in enumerate(('query', 'key', 'value')):
        rows = slice(index * dim, (index + 1) * dim)
        arrays[f'{theirs}/{part}/kernel'] = weight[rows].T.reshape(dim, heads, -1)
        arrays[f'{theirs}/{part}/bias'] = bias[rows].reshape(heads, -1)
    arrays[f'{theirs}/out/kernel'] = state[f'{out}.weight'].T.reshape(heads, -1, dim)
    return arrays | {f'{theirs}/out/bias': state[f'{out}.bias']}


def write_npz(case, model, arrays, prefix=''):
    """The outputs of a timm model that has read the arrays from an .npz file; the case is without the prefix."""
    for parameter in model.parameters():
        parameter.data = torch.full_like(parameter, torch.nan)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / 'weights.npz'
        np.savez(file, **{prefix + name: value for name, value in arrays.items()})
        model.load_pretrained(str(file))
    text = {'txt/head/kernel': np.ones((2, 2), np.float32), 't': np.ones(1, np.float32)} if 'big_vision' in case else {}
    write_case(case, model, {**TIMM_STAGES, 'attn_pool': 'pool'}, state=arrays | text)


if __name__ == '__main__':
    write_originals()
    write_google()
