"""The named AlexNets."""

from __future__ import annotations

from jtransfer.inputs.image import IMAGENET_MEAN, IMAGENET_STD, ImagePreprocessor
from jtransfer.models.alexnet.network import AlexNet
from jtransfer.models.variant import Variant

# As torchvision's weights were evaluated: shorter side 256, the central 224.
_IMAGENET = ImagePreprocessor(224, IMAGENET_MEAN, IMAGENET_STD, interpolation='bilinear', crop_fraction=0.875)

VARIANTS = (Variant('alexnet', 'alexnet', AlexNet, _IMAGENET, {}),)
