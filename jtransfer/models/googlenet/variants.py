"""The named GoogLeNets."""

from __future__ import annotations

from typing import Any

from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.googlenet.network import GoogLeNet
from jtransfer.models.variant import HALF, Variant

# As torchvision's weights were evaluated: shorter side 256, the central 224. They want the numbers 2x - 1 of pixels x
# in [0, 1]; torchvision makes them from ImageNet-normalised ones inside the network.
_HALF = ImagePreprocessor(224, HALF, HALF, interpolation='bilinear', crop_fraction=0.875)


def _googlenet(name: str, **kwargs: Any) -> Variant:
    return Variant(name, 'googlenet', GoogLeNet, _HALF, kwargs)


VARIANTS = (_googlenet('googlenet'), _googlenet('googlenet_aux', aux=True))
