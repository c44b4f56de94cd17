"""The named Vision Transformers."""

from __future__ import annotations

from typing import Any

from jtransfer.models.variant import HALF, Variant
from jtransfer.models.vit import ViT
from jtransfer.preprocessing import Preprocessing

# As timm evaluates the AugReg weights at 224.
_AUGREG = Preprocessing(224, HALF, HALF, interpolation='bicubic', crop_fraction=0.9)
_SMALL = Preprocessing(16, HALF, HALF)


def _vit(name: str, patch: int, dim: int, blocks: int, heads: int, **kwargs: Any) -> Variant:
    return Variant(name, 'vit', ViT, _AUGREG, {'patch': patch, 'dim': dim, 'blocks': blocks, 'heads': heads, **kwargs})


VARIANTS = (
    _vit('vit_ti16', 16, 192, 12, 3),
    _vit('vit_s16', 16, 384, 12, 6),
    _vit('vit_s32', 32, 384, 12, 6),
    _vit('vit_b16', 16, 768, 12, 12),
    _vit('vit_b32', 32, 768, 12, 12),
    _vit('vit_l16', 16, 1024, 24, 16),
    _vit('vit_h14', 14, 1280, 32, 16),
    Variant(
        'vit_mini',
        'vit',
        ViT,
        _SMALL,
        {'patch': 4, 'dim': 72, 'blocks': 4, 'heads': 4, 'class_token': False, 'pool': 'avg'},
    ),
    Variant('vit_tiny_test', 'vit', ViT, _SMALL, {'patch': 8, 'dim': 16, 'blocks': 2, 'heads': 2}),
)
