"""The named Vision Transformers."""

from __future__ import annotations

from typing import Any

from jtransfer.inputs.image import IMAGENET_MEAN, IMAGENET_STD, ImagePreprocessor
from jtransfer.models.variant import HALF, Variant
from jtransfer.models.vit.network import ViT

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# As timm evaluates the AugReg weights at 224.
_AUGREG = ImagePreprocessor(224, HALF, HALF, interpolation='bicubic', crop_fraction=0.9)
_DEIT = ImagePreprocessor(224, IMAGENET_MEAN, IMAGENET_STD, interpolation='bicubic', crop_fraction=0.9)
# The shorter side 256, the central 224.
_MAE = ImagePreprocessor(224, IMAGENET_MEAN, IMAGENET_STD, interpolation='bicubic', crop_fraction=0.875)
_DINOV2 = ImagePreprocessor(518, IMAGENET_MEAN, IMAGENET_STD, interpolation='bicubic')
_CLIP = ImagePreprocessor(224, CLIP_MEAN, CLIP_STD, interpolation='bicubic')
_SMALL = ImagePreprocessor(16, HALF, HALF)

# Channels, blocks and heads.
_SIZES = {
    'ti': (192, 12, 3),
    's': (384, 12, 6),
    'm': (512, 12, 8),
    'b': (768, 12, 12),
    'l': (1024, 24, 16),
    'h': (1280, 32, 16),
    'g': (1536, 40, 24),
    'so400m': (1152, 27, 16),
    'gopt': (1536, 40, 16),
    'clip_g': (1408, 40, 16),
    'clip_bigg': (1664, 48, 16),
}


def _vit(name: str, patch: int, size: str, preprocessing: ImagePreprocessor = _AUGREG, **kwargs: Any) -> Variant:
    dim, blocks, heads = _SIZES[size]
    sizes = {'patch': patch, 'dim': dim, 'blocks': blocks, 'heads': heads}
    return Variant(name, 'vit', ViT, preprocessing, {**sizes, **kwargs})


def _dinov2(size: str, **kwargs: Any) -> tuple[Variant, Variant]:
    """Without and with registers; these as timm has them, the class token's position folded into the token."""
    name = f'dinov2_{size}14'
    kwargs = {'layer_scale': 1e-5, **kwargs}
    return (
        _vit(name, 14, size, _DINOV2, **kwargs),
        _vit(f'{name}_reg4', 14, size, _DINOV2, reg_tokens=4, embed_class=False, **kwargs),
    )


def _clip(name: str, patch: int, size: str, gelu: str, **kwargs: Any) -> Variant:
    return _vit(name, patch, size, _CLIP, pre_norm=True, patch_bias=False, gelu=gelu, eps=1e-5, **kwargs)


def _siglip(name: str, patch: int, size: str, side: int, interpolation: str, **kwargs: Any) -> Variant:
    preprocessing = ImagePreprocessor(side, HALF, HALF, interpolation=interpolation, squash=True)
    return _vit(name, patch, size, preprocessing, class_token=False, pool='map', gelu='tanh', **kwargs)


VARIANTS = (
    _vit('vit_ti16', 16, 'ti'),
    _vit('vit_s16', 16, 's'),
    _vit('vit_s32', 32, 's'),
    _vit('vit_b8', 8, 'b'),
    _vit('vit_b16', 16, 'b'),
    _vit('vit_b32', 32, 'b'),
    _vit('vit_l16', 16, 'l'),
    _vit('vit_l32', 32, 'l'),
    _vit('vit_h14', 14, 'h'),
    *(_vit(f'deit_{size}16', 16, size, _DEIT) for size in ('ti', 's', 'b')),
    *(_vit(f'deit_{size}16_distilled', 16, size, _DEIT, distilled=True) for size in ('ti', 's', 'b')),
    *(
        _vit(f'deit3_{size}{patch}', patch, size, _DEIT, layer_scale=1e-6, embed_class=False)
        for size, patch in (('s', 16), ('m', 16), ('b', 16), ('l', 16), ('h', 14))
    ),
    *(_vit(f'mae_{size}{patch}', patch, size, _MAE) for size, patch in (('b', 16), ('l', 16), ('h', 14))),
    *_dinov2('s'),
    *_dinov2('b'),
    *_dinov2('l'),
    *_dinov2('g', swiglu=True, mlp_hidden=4096),
    _clip('clip_b32', 32, 'b', 'quick'),
    _clip('clip_b16', 16, 'b', 'quick'),
    _clip('clip_l14', 14, 'l', 'quick'),
    _clip('clip_h14', 14, 'h', 'erf'),
    _clip('clip_g14', 14, 'clip_g', 'erf', mlp_hidden=6144),
    _clip('clip_bigg14', 14, 'clip_bigg', 'erf', mlp_hidden=8192),
    # SigLIP's own processor is bicubic, that of SigLIP 2, in whose sizes the others are, bilinear.
    _siglip('siglip_b32', 32, 'b', 256, 'bilinear'),
    _siglip('siglip_b16', 16, 'b', 224, 'bicubic'),
    _siglip('siglip_l16', 16, 'l', 256, 'bicubic'),
    _siglip('siglip_so400m14', 14, 'so400m', 384, 'bicubic', mlp_hidden=4304, truncate=True),
    _siglip('siglip_so400m16', 16, 'so400m', 256, 'bilinear', mlp_hidden=4304),
    _siglip('siglip_gopt16', 16, 'gopt', 256, 'bilinear'),
    Variant(
        'vit_mini',
        'vit',
        ViT,
        _SMALL,
        {'patch': 4, 'dim': 72, 'blocks': 4, 'heads': 4, 'class_token': False, 'pool': 'avg'},
    ),
    Variant('vit_tiny_test', 'vit', ViT, _SMALL, {'patch': 8, 'dim': 16, 'blocks': 2, 'heads': 2}),
)
