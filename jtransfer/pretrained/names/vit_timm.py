"""timm's names of Vision Transformers, and those of the original DeiT, MAE and DINOv2, which are close to them."""

from __future__ import annotations

from jtransfer.models.vit.network import ViT
from jtransfer.pretrained.load.namemap import NameMap, Rule
from jtransfer.pretrained.names.common import affine, conv, dense, norm
from jtransfer.pretrained.names.vit_rules import BLOCK, HEADS_OUT, embedding, fused, head


def timm(backbone: ViT) -> NameMap:
    """timm's names, which the original files of DeiT (distilled too) and MAE share."""
    return NameMap('timm', _rules(backbone), wrappers=('module.',))


def dinov2(backbone: ViT) -> NameMap:
    """The names of the original DINOv2 files.

    Those with registers have a position embedding for the class token: `embed_class` must be True.
    """
    return NameMap(
        'dinov2',
        _rules(backbone, registers='register_tokens', mlp=('w12', 'w3') if backbone.swiglu else ('fc1', 'fc2')),
        ignored=('mask_token',),
        options={'embed_class': True},
        positions='bicubic_antialias' if backbone.reg_tokens else 'bicubic_offset',
    )


def deit(backbone: ViT) -> NameMap:
    """The names of the original DeiT-III files, and of MAE's with a decoder."""
    return NameMap(
        'deit',
        _rules(backbone, layer_scale='gamma_{n}'),
        wrappers=('module.',),
        ignored=('mask_token', r'decoder_.*'),
        positions='bicubic',
    )


def _rules(
    backbone: ViT,
    *,
    layer_scale: str = 'ls{n}.gamma',
    registers: str = 'reg_token',
    mlp: tuple[str, str] = ('fc1', 'fc2'),
) -> tuple[Rule, ...]:
    pool = 'backbone/pool'
    return (
        embedding('cls_token', 'cls_token'),
        embedding('dist_token', 'dist_token'),
        embedding(registers, 'reg_tokens'),
        embedding('pos_embed', 'pos_embed'),
        *conv('patch_embed.proj', 'backbone/embed/patch'),
        *norm('norm_pre', 'backbone/embed/norm_pre'),
        *norm('blocks.{i}.norm{n}', f'{BLOCK}/norm{{n}}'),
        *fused('blocks.{i}.attn.qkv', f'{BLOCK}/attn'),
        *affine('blocks.{i}.attn.proj', f'{BLOCK}/attn/out', HEADS_OUT),
        *dense(f'blocks.{{i}}.mlp.{mlp[0]}', f'{BLOCK}/mlp/fc1'),
        *dense(f'blocks.{{i}}.mlp.{mlp[1]}', f'{BLOCK}/mlp/fc2'),
        Rule(f'blocks.{{i}}.{layer_scale}', f'params/{BLOCK}/ls{{n}}/gamma'),
        *norm('fc_norm' if backbone.pool == 'avg_norm' else 'norm', 'backbone/norm'),
        Rule('attn_pool.latent', f'params/{pool}/probe'),
        *fused('attn_pool.q', f'{pool}/attn', ('query',)),
        *fused('attn_pool.kv', f'{pool}/attn', ('key', 'value')),
        *affine('attn_pool.proj', f'{pool}/attn/out', HEADS_OUT),
        *norm('attn_pool.norm', f'{pool}/norm'),
        *dense('attn_pool.mlp.fc{n}', f'{pool}/mlp/fc{{n}}'),
        *head(('head', 'head_dist'), backbone.pooled_parts),
    )
