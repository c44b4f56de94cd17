"""Names of Vision Transformers in the Hugging Face library `transformers`, as its files have them.

Version 5 of the library has other names in memory, and the same in files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jtransfer.models.vit.network import ViT
from jtransfer.pretrained.load.layouts import CONV, LINEAR, SAME, Heads, HeadsOut, Layout, Leading
from jtransfer.pretrained.load.namemap import NameMap, Rule
from jtransfer.pretrained.names.common import affine, conv, dense, norm
from jtransfer.pretrained.names.vit_rules import BLOCK, HEADS_OUT, embedding, fused, head, separate

# What the library's processors of these networks do, whatever the numbers in a file: a ViT's never crops.
_SQUASHED = {'interpolation': 'bilinear', 'squash': True, 'crop_fraction': 1.0}
_CROPPED = {'crop_rounding': 'floor'}


def vit(backbone: ViT) -> NameMap:
    """`ViTModel` and its classifier, and the encoder of `ViTMAEForPreTraining`."""
    return _vit('huggingface', 'vit.', backbone, head(('classifier',), 1), _SQUASHED)


def deit(backbone: ViT) -> NameMap:
    """`DeiTModel` and its classifiers: with one head, or distilled, with two."""
    heads = head(('classifier', 'cls_classifier', 'distillation_classifier'), backbone.pooled_parts)
    distillation = embedding('deit.embeddings.distillation_token', 'dist_token')
    return _vit('huggingface_deit', 'deit.', backbone, (distillation, *heads), _CROPPED)


def dinov2(backbone: ViT) -> NameMap:
    """`Dinov2Model` and its classifier, with registers too."""
    base = 'dinov2_with_registers.' if backbone.reg_tokens else 'dinov2.'
    layer = f'{base}encoder.layer.{{i}}'
    return NameMap(
        'huggingface_dinov2',
        (
            *_embeddings(base),
            embedding(f'{base}embeddings.register_tokens', 'reg_tokens'),
            *norm(f'{layer}.norm{{n}}', f'{BLOCK}/norm{{n}}'),
            *_attention(layer),
            Rule(f'{layer}.layer_scale{{n}}.lambda1', f'params/{BLOCK}/ls{{n}}/gamma'),
            *(
                (
                    *dense(f'{layer}.mlp.weights_in', f'{BLOCK}/mlp/fc1'),
                    *dense(f'{layer}.mlp.weights_out', f'{BLOCK}/mlp/fc2'),
                )
                if backbone.swiglu
                else dense(f'{layer}.mlp.fc{{n}}', f'{BLOCK}/mlp/fc{{n}}')
            ),
            *norm(f'{base}layernorm', 'backbone/norm'),
            *dense('classifier', 'head'),
        ),
        base=base,
        ignored=(r'.*\bembeddings\.mask_token',),
        options={'embed_class': True},
        positions='bicubic_antialias' if backbone.reg_tokens else 'bicubic',
        preprocessing=_CROPPED,
    )


def clip(backbone: ViT) -> NameMap:
    """The image tower of `CLIPModel`, with its projection as the head, or alone."""
    base = 'vision_model.'
    return NameMap(
        'huggingface_clip',
        (
            embedding(f'{base}embeddings.class_embedding', 'cls_token', Leading(2)),
            *_two_towers(),
            *norm(f'{base}pre_layrnorm', 'backbone/embed/norm_pre'),
            Rule('visual_projection.weight', 'params/head/kernel', LINEAR),
        ),
        base=base,
        ignored=(r'text_model\..*', r'text_projection\..*', 'logit_scale', r'.*\.position_ids'),
        constants={'params/head/bias': 0.0},
        positions='bicubic',
        preprocessing=_CROPPED,
    )


def siglip(backbone: ViT) -> NameMap:
    """The image tower of `SiglipModel`, or `SiglipForImageClassification`, whose attention pooling is unused."""
    base, pool = 'vision_model.', 'backbone/pool'
    mapped = backbone.pool == 'map'
    attention = f'{base}head.attention'
    return NameMap(
        'huggingface_siglip',
        (
            *_two_towers(),
            *(
                (
                    Rule(f'{base}head.probe', f'params/{pool}/probe'),
                    *fused(attention, f'{pool}/attn', leaf='.in_proj_{}'),
                    *affine(f'{attention}.out_proj', f'{pool}/attn/out', HEADS_OUT),
                    *norm(f'{base}head.layernorm', f'{pool}/norm'),
                    *dense(f'{base}head.mlp.fc{{n}}', f'{pool}/mlp/fc{{n}}'),
                )
                if mapped
                else ()
            ),
            *dense('classifier', 'head'),
        ),
        base=base,
        ignored=(
            *(r'text_model\..*', 'logit_scale', 'logit_bias', r'.*\.position_ids'),
            *(() if mapped else (r'(vision_model\.)?head\..*',)),
        ),
        positions='bicubic',
    )


def in_flax(naming: NameMap) -> NameMap:
    """The same in the library's Flax files, their nested names joined by '/'."""
    return dataclasses.replace(
        naming,
        name=naming.name.replace('huggingface', 'huggingface_flax'),
        rules=tuple(_rule_in_flax(rule) for rule in naming.rules),
        wrappers=('params/',),
        base=naming.base.replace('.', '/'),
        ignored=tuple(pattern.replace(r'\.', '/') for pattern in naming.ignored),
    )


# What is transposed in torch is not in Flax, but for the heads, which are no axis of their own there either.
_IN_FLAX: dict[Layout, Layout] = {
    CONV: SAME,
    LINEAR: SAME,
    Heads(): Heads(transposed=True),
    HeadsOut(): HeadsOut(transposed=True),
}


def _rule_in_flax(rule: Rule) -> Rule:
    name, _, leaf = rule.theirs.rpartition('.')
    if leaf == 'weight':
        own = rule.targets[0].text.rpartition('/')[2]
        leaf = own if own in ('kernel', 'scale') else 'embedding'
    return Rule(f'{name}.{leaf}'.replace('.', '/'), rule.ours, _IN_FLAX.get(rule.layout, rule.layout))


def _vit(name: str, base: str, backbone: ViT, rules: tuple[Rule, ...], preprocessing: Mapping[str, Any]) -> NameMap:
    layer = f'{base}encoder.layer.{{i}}'
    pooler = dense(f'{base}pooler.dense', 'backbone/pre_logits') if backbone.pre_logits else ()
    return NameMap(
        name,
        (
            *_embeddings(base),
            *norm(f'{layer}.layernorm_before', f'{BLOCK}/norm1'),
            *_attention(layer),
            *norm(f'{layer}.layernorm_after', f'{BLOCK}/norm2'),
            *dense(f'{layer}.intermediate.dense', f'{BLOCK}/mlp/fc1'),
            *dense(f'{layer}.output.dense', f'{BLOCK}/mlp/fc2'),
            *norm(f'{base}layernorm', 'backbone/norm'),
            *pooler,
            *rules,
        ),
        base=base,
        # The library's classifiers do without the pooler too.
        ignored=(r'decoder\..*', r'.*\bembeddings\.mask_token', *(() if pooler else (r'.*\bpooler\..*',))),
        positions='bicubic',
        options={'eps': 1e-12},
        preprocessing=preprocessing,
    )


def _embeddings(base: str) -> tuple[Rule, ...]:
    return (
        embedding(f'{base}embeddings.cls_token', 'cls_token'),
        embedding(f'{base}embeddings.position_embeddings', 'pos_embed'),
        *conv(f'{base}embeddings.patch_embeddings.projection', 'backbone/embed/patch'),
    )


def _attention(layer: str) -> tuple[Rule, ...]:
    inner = f'{layer}.attention.attention'
    names = (f'{inner}.query', f'{inner}.key', f'{inner}.value', f'{layer}.attention.output.dense')
    return separate(names, f'{BLOCK}/attn')


def _two_towers() -> tuple[Rule, ...]:
    """What the image towers of CLIP and SigLIP have in common."""
    base = 'vision_model.'
    layer = f'{base}encoder.layers.{{i}}'
    attention = f'{layer}.self_attn'
    names = (f'{attention}.q_proj', f'{attention}.k_proj', f'{attention}.v_proj', f'{attention}.out_proj')
    return (
        embedding(f'{base}embeddings.position_embedding.weight', 'pos_embed', Leading(1)),
        *conv(f'{base}embeddings.patch_embedding', 'backbone/embed/patch'),
        *norm(f'{layer}.layer_norm{{n}}', f'{BLOCK}/norm{{n}}'),
        *separate(names, f'{BLOCK}/attn'),
        *dense(f'{layer}.mlp.fc{{n}}', f'{BLOCK}/mlp/fc{{n}}'),
        *norm(f'{base}post_layernorm', 'backbone/norm'),
    )
