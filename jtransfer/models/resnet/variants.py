"""The named ResNets."""

from __future__ import annotations

from typing import Any

from jtransfer.inputs.image import IMAGENET_MEAN, IMAGENET_STD, ImagePreprocessor
from jtransfer.models.resnet.network import ResNet
from jtransfer.models.variant import HALF, Variant

# As torchvision's first weights were evaluated: shorter side 256, the central 224.
_IMAGENET = ImagePreprocessor(224, IMAGENET_MEAN, IMAGENET_STD, interpolation='bilinear', crop_fraction=0.875)
# timm's evaluation of the `d` variants up to 50 layers and of its ResNet-26, and of the deeper `d` ones.
_TIMM = ImagePreprocessor(224, IMAGENET_MEAN, IMAGENET_STD, crop_fraction=0.875)
_TIMM_LARGE = ImagePreprocessor(256, IMAGENET_MEAN, IMAGENET_STD, crop_fraction=0.95)
_CIFAR = ImagePreprocessor(32, IMAGENET_MEAN, IMAGENET_STD)
_SMALL = ImagePreprocessor(16, HALF, HALF)


def _resnet(
    name: str, block: str, depths: tuple[int, ...], preprocessing: ImagePreprocessor = _IMAGENET, **kwargs: Any
) -> Variant:
    return Variant(name, 'resnet', ResNet, preprocessing, {'block': block, 'depths': depths, **kwargs})


def _d(name: str, block: str, depths: tuple[int, ...], preprocessing: ImagePreprocessor = _TIMM) -> Variant:
    return _resnet(name, block, depths, preprocessing, stem='deep', shortcut='pool')


def _cifar(layers: int) -> Variant:
    """Section 4.2 of He et al., 2016: 6n + 2 layers."""
    kwargs = {'widths': (16, 32, 64), 'stem': 'cifar', 'stem_width': 16, 'shortcut': 'pad'}
    return _resnet(f'cifar_resnet{layers}', 'basic', ((layers - 2) // 6,) * 3, _CIFAR, **kwargs)


def _small(name: str, block: str, widths: tuple[int, ...]) -> Variant:
    kwargs = {'widths': widths, 'stem': 'cifar', 'stem_width': widths[0]}
    return _resnet(name, block, (1,) * len(widths), _SMALL, **kwargs)


VARIANTS = (
    _resnet('resnet18', 'basic', (2, 2, 2, 2)),
    _resnet('resnet26', 'bottleneck', (2, 2, 2, 2), _TIMM),
    _resnet('resnet34', 'basic', (3, 4, 6, 3)),
    _resnet('resnet50', 'bottleneck', (3, 4, 6, 3)),
    _resnet('resnet101', 'bottleneck', (3, 4, 23, 3)),
    _resnet('resnet152', 'bottleneck', (3, 8, 36, 3)),
    _resnet('wide_resnet50_2', 'bottleneck', (3, 4, 6, 3), inner_width=2),
    _resnet('wide_resnet101_2', 'bottleneck', (3, 4, 23, 3), inner_width=2),
    _resnet('resnext50_32x4d', 'bottleneck', (3, 4, 6, 3), inner_width=2, groups=32),
    _resnet('resnext101_32x8d', 'bottleneck', (3, 4, 23, 3), inner_width=4, groups=32),
    _resnet('resnext101_64x4d', 'bottleneck', (3, 4, 23, 3), inner_width=4, groups=64),
    _d('resnet18d', 'basic', (2, 2, 2, 2)),
    _d('resnet26d', 'bottleneck', (2, 2, 2, 2)),
    _d('resnet34d', 'basic', (3, 4, 6, 3)),
    _d('resnet50d', 'bottleneck', (3, 4, 6, 3)),
    _d('resnet101d', 'bottleneck', (3, 4, 23, 3), _TIMM_LARGE),
    _d('resnet152d', 'bottleneck', (3, 8, 36, 3), _TIMM_LARGE),
    *(_cifar(layers) for layers in (20, 32, 44, 56, 110)),
    _small('resnet_small', 'basic', (16, 32, 64, 128)),
    _small('resnet_tiny', 'basic', (8, 16)),
    _small('resnet_tiny_bottleneck', 'bottleneck', (8, 16)),
)
