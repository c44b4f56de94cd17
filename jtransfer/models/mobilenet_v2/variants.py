"""The named MobileNetV2 networks."""

from __future__ import annotations

import math

from jtransfer.inputs.image import IMAGENET_MEAN, IMAGENET_STD, ImagePreprocessor
from jtransfer.models.mobilenet_v2.network import MobileNetV2
from jtransfer.models.variant import Variant

# As timm evaluates its weights.
_IMAGENET = ImagePreprocessor(224, IMAGENET_MEAN, IMAGENET_STD, interpolation='bicubic', crop_fraction=0.875)


def rounded_width(width: float) -> int:
    """The nearest multiple of 8 (halves up) that is at least 8 and at least nine tenths of the width.

    The rounding of the published networks (Sandler et al., 2018, in TensorFlow's slim models).

    Args:
        width: wanted number of channels.
    """
    nearest = max(8, 8 * math.floor(width / 8 + 0.5))
    return nearest + 8 if nearest < 0.9 * width else nearest


def _mobilenet(name: str, width: float, depth: float = 1.0, fixed_ends: bool = False) -> Variant:
    """A network scaled in width and depth; with fixed ends, its first and last layers and stages are not (timm)."""
    scaled = {
        'widths': tuple(rounded_width(width * channels) for channels in MobileNetV2.widths),
        'depths': tuple(
            blocks if fixed_ends and index in (0, len(MobileNetV2.depths) - 1) else math.ceil(depth * blocks)
            for index, blocks in enumerate(MobileNetV2.depths)
        ),
        'stem_width': MobileNetV2.stem_width if fixed_ends else rounded_width(width * MobileNetV2.stem_width),
        'top_width': MobileNetV2.top_width if fixed_ends else rounded_width(max(1.0, width) * MobileNetV2.top_width),
    }
    return Variant(name, 'mobilenet_v2', MobileNetV2, _IMAGENET, scaled)


VARIANTS = (
    _mobilenet('mobilenetv2_035', 0.35),
    _mobilenet('mobilenetv2_050', 0.5),
    _mobilenet('mobilenetv2_075', 0.75),
    _mobilenet('mobilenetv2_100', 1.0),
    _mobilenet('mobilenetv2_130', 1.3),
    _mobilenet('mobilenetv2_140', 1.4),
    _mobilenet('mobilenetv2_110d', 1.1, depth=1.2, fixed_ends=True),
    _mobilenet('mobilenetv2_120d', 1.2, depth=1.4, fixed_ends=True),
)
