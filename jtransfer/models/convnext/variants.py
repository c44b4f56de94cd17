"""The named ConvNeXts: timm's sizes and names."""

from __future__ import annotations

from typing import Any

from jtransfer.inputs.image import IMAGENET_MEAN, IMAGENET_STD, ImagePreprocessor
from jtransfer.models.convnext.network import ConvNeXt
from jtransfer.models.variant import Variant

# As the authors and timm evaluate most weights at 224.
_IMAGENET = ImagePreprocessor(224, IMAGENET_MEAN, IMAGENET_STD, interpolation='bicubic', crop_fraction=0.875)


def _convnext(name: str, depths: tuple[int, ...], width: int, **kwargs: Any) -> Variant:
    widths = tuple(width * 2**index for index in range(len(depths)))
    return Variant(name, 'convnext', ConvNeXt, _IMAGENET, {'depths': depths, 'widths': widths, **kwargs})


VARIANTS = (
    _convnext('convnext_atto', (2, 2, 6, 2), 40, conv_mlp=True),
    _convnext('convnext_femto', (2, 2, 6, 2), 48, conv_mlp=True),
    _convnext('convnext_pico', (2, 2, 6, 2), 64, conv_mlp=True),
    _convnext('convnext_nano', (2, 2, 8, 2), 80, conv_mlp=True),
    _convnext('convnext_tiny', (3, 3, 9, 3), 96),
    _convnext('convnext_small', (3, 3, 27, 3), 96),
    _convnext('convnext_base', (3, 3, 27, 3), 128),
    _convnext('convnext_large', (3, 3, 27, 3), 192),
    _convnext('convnext_xlarge', (3, 3, 27, 3), 256),
    _convnext('convnext_xxlarge', (3, 4, 30, 3), 384, eps=1e-5),
    _convnext('convnextv2_atto', (2, 2, 6, 2), 40, grn=True, conv_mlp=True),
    _convnext('convnextv2_femto', (2, 2, 6, 2), 48, grn=True, conv_mlp=True),
    _convnext('convnextv2_pico', (2, 2, 6, 2), 64, grn=True, conv_mlp=True),
    _convnext('convnextv2_nano', (2, 2, 8, 2), 80, grn=True, conv_mlp=True),
    _convnext('convnextv2_tiny', (3, 3, 9, 3), 96, grn=True),
    _convnext('convnextv2_small', (3, 3, 27, 3), 96, grn=True),
    _convnext('convnextv2_base', (3, 3, 27, 3), 128, grn=True),
    _convnext('convnextv2_large', (3, 3, 27, 3), 192, grn=True),
    _convnext('convnextv2_huge', (3, 3, 27, 3), 352, grn=True),
)
