"""The named BiTs: R50x3 has 50 layers, three times as wide as a ResNet's."""

from __future__ import annotations

from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.bit.network import BiT
from jtransfer.models.variant import HALF, Variant

# As Google evaluates: both sides resized to the input's, bilinear.
_SQUASHED = ImagePreprocessor(224, HALF, HALF, interpolation='bilinear', squash=True)

_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def _bit(layers: int, factor: int) -> Variant:
    widths = tuple(factor * width for width in (64, 128, 256, 512))
    kwargs = {'depths': _DEPTHS[layers], 'widths': widths, 'stem_width': 64 * factor}
    return Variant(f'bit_r{layers}x{factor}', 'bit', BiT, _SQUASHED, kwargs)


VARIANTS: tuple[Variant, ...] = (
    _bit(50, 1),
    _bit(50, 3),
    _bit(101, 1),
    _bit(101, 3),
    _bit(152, 2),
    _bit(152, 4),
)
