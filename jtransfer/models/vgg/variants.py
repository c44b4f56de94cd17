"""The named VGGs."""

from __future__ import annotations

from jtransfer.inputs.image import IMAGENET_MEAN, IMAGENET_STD, ImagePreprocessor
from jtransfer.models.variant import Variant
from jtransfer.models.vgg.network import VGG

# As torchvision's weights were evaluated: shorter side 256, the central 224.
_IMAGENET = ImagePreprocessor(224, IMAGENET_MEAN, IMAGENET_STD, interpolation='bilinear', crop_fraction=0.875)
# Convolutions of each stage: the configurations A, B, D and E of the paper's table 1.
_DEPTHS = {
    'vgg11': (1, 1, 2, 2, 2),
    'vgg13': (2, 2, 2, 2, 2),
    'vgg16': (2, 2, 3, 3, 3),
    'vgg19': (2, 2, 4, 4, 4),
}

VARIANTS = (
    *(Variant(name, 'vgg', VGG, _IMAGENET, {'depths': depths}) for name, depths in _DEPTHS.items()),
    *(
        Variant(f'{name}_bn', 'vgg', VGG, _IMAGENET, {'depths': depths, 'batch_norm': True})
        for name, depths in _DEPTHS.items()
    ),
)
