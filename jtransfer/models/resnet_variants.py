"""The named ResNets."""

from __future__ import annotations

from typing import Any

from jtransfer.models.resnet import ResNet
from jtransfer.models.variant import HALF, Variant
from jtransfer.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

# As torchvision's first weights were evaluated: shorter side 256, the central 224.
_IMAGENET = Preprocessing(224, IMAGENET_MEAN, IMAGENET_STD, interpolation='bilinear', crop_fraction=0.875)
_SMALL = Preprocessing(16, HALF, HALF)


def _resnet(name: str, block: str, depths: tuple[int, ...], **kwargs: Any) -> Variant:
    return Variant(name, 'resnet', ResNet, _IMAGENET, {'block': block, 'depths': depths, **kwargs})


def _small(name: str, block: str, widths: tuple[int, ...]) -> Variant:
    kwargs = {'block': block, 'depths': (1,) * len(widths), 'widths': widths, 'stem': 'cifar', 'stem_width': widths[0]}
    return Variant(name, 'resnet', ResNet, _SMALL, kwargs)


VARIANTS = (
    _resnet('resnet18', 'basic', (2, 2, 2, 2)),
    _resnet('resnet34', 'basic', (3, 4, 6, 3)),
    _resnet('resnet50', 'bottleneck', (3, 4, 6, 3)),
    _resnet('resnet101', 'bottleneck', (3, 4, 23, 3)),
    _resnet('resnet152', 'bottleneck', (3, 8, 36, 3)),
    _resnet('wide_resnet50_2', 'bottleneck', (3, 4, 6, 3), inner_width=2),
    _resnet('wide_resnet101_2', 'bottleneck', (3, 4, 23, 3), inner_width=2),
    _small('resnet_small', 'basic', (16, 32, 64, 128)),
    _small('resnet_tiny', 'basic', (8, 16)),
    _small('resnet_tiny_bottleneck', 'bottleneck', (8, 16)),
)
