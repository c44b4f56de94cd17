"""The named networks: an explicit table of what each one is, and how to make it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jtransfer.config_check import fraction, nearest, one_of
from jtransfer.errors import UserError
from jtransfer.models.network import HEAD_INITS, Network
from jtransfer.models.resnet import ResNet
from jtransfer.models.vit import ViT
from jtransfer.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing


@dataclasses.dataclass(frozen=True)
class Variant:
    """What a name stands for.

    Attributes:
        name: the architecture's name.
        family: `resnet` or `vit`.
        preprocessing: what its usual weights expect; a checkpoint states its own.
        kwargs: arguments of the family's backbone.
    """

    name: str
    family: str
    preprocessing: Preprocessing
    kwargs: Mapping[str, Any]

    @property
    def image_size(self) -> int:
        """Side of the square input the network was designed for, pixels."""
        return self.preprocessing.image_size


_HALF = (0.5, 0.5, 0.5)
# As torchvision's first weights were evaluated: shorter side 256, the central 224.
_RESNET = Preprocessing(224, IMAGENET_MEAN, IMAGENET_STD, interpolation='bilinear', crop_fraction=0.875)
# As timm evaluates the AugReg weights at 224.
_VIT = Preprocessing(224, _HALF, _HALF, interpolation='bicubic', crop_fraction=0.9)
_SMALL = Preprocessing(16, _HALF, _HALF)


def _resnet(name: str, block: str, depths: tuple[int, ...], **kwargs: Any) -> Variant:
    return Variant(name, 'resnet', _RESNET, {'block': block, 'depths': depths, **kwargs})


def _small_resnet(name: str, block: str, widths: tuple[int, ...]) -> Variant:
    kwargs = {'block': block, 'depths': (1,) * len(widths), 'widths': widths, 'stem': 'cifar', 'stem_width': widths[0]}
    return Variant(name, 'resnet', _SMALL, kwargs)


def _vit(name: str, patch: int, dim: int, blocks: int, heads: int) -> Variant:
    return Variant(name, 'vit', _VIT, {'patch': patch, 'dim': dim, 'blocks': blocks, 'heads': heads})


_VARIANTS = {
    variant.name: variant
    for variant in (
        _resnet('resnet18', 'basic', (2, 2, 2, 2)),
        _resnet('resnet34', 'basic', (3, 4, 6, 3)),
        _resnet('resnet50', 'bottleneck', (3, 4, 6, 3)),
        _resnet('resnet101', 'bottleneck', (3, 4, 23, 3)),
        _resnet('resnet152', 'bottleneck', (3, 8, 36, 3)),
        _resnet('wide_resnet50_2', 'bottleneck', (3, 4, 6, 3), inner_width=2),
        _resnet('wide_resnet101_2', 'bottleneck', (3, 4, 23, 3), inner_width=2),
        _small_resnet('resnet_small', 'basic', (16, 32, 64, 128)),
        _small_resnet('resnet_tiny', 'basic', (8, 16)),
        _small_resnet('resnet_tiny_bottleneck', 'bottleneck', (8, 16)),
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
            _SMALL,
            {'patch': 4, 'dim': 72, 'blocks': 4, 'heads': 4, 'class_token': False, 'pool': 'avg'},
        ),
        Variant('vit_tiny_test', 'vit', _SMALL, {'patch': 8, 'dim': 16, 'blocks': 2, 'heads': 2}),
    )
}


def variant_names() -> tuple[str, ...]:
    """All names that `create` knows."""
    return tuple(_VARIANTS)


def describe(name: str) -> Variant:
    """What a name stands for.

    Raises:
        UserError: an unknown name; the message has the nearest one.
    """
    if name not in _VARIANTS:
        raise UserError(f"there is no network '{name}'.{nearest(name, _VARIANTS)}")
    return _VARIANTS[name]


def create(
    name: str,
    *,
    num_classes: int,
    image_size: int = 0,
    dtype: Any = jnp.float32,
    drop_path: float = 0.0,
    dropout: float = 0.0,
    head_init: str = 'zeros',
    norm_axis_name: str | None = None,
) -> Network:
    """A network by name, without parameters: `network.init(key, images)` makes those.

    Args:
        name: one of `variant_names()`.
        num_classes: width of the head. 0: no head, the network returns pooled features.
        image_size: side of the square input, pixels. 0: the variant's own.
        dtype: computation type; parameters, statistics, pooled features and logits are float32.
        drop_path: stochastic-depth probability of the last block (rising linearly from 0), in [0, 1).
        dropout: dropout probability before the head, in [0, 1).
        head_init: `zeros` or `normal` (truncated, standard deviation 0.02).
        norm_axis_name: pmap axis over which batch normalisation takes its statistics. None under jit.

    Raises:
        UserError: an unknown name (the message has the nearest one), a value out of range, or an image size that
            the network's patches do not divide.
    """
    variant = describe(name)
    if num_classes < 0:
        raise UserError(f'num_classes={num_classes} must be at least 0')
    if image_size < 0:
        raise UserError(f'image_size={image_size} must be at least 0')
    fraction('drop_path', drop_path)
    fraction('dropout', dropout)
    one_of('head_init', head_init, tuple(HEAD_INITS))
    common = {**variant.kwargs, 'drop_path': drop_path, 'dtype': jnp.dtype(dtype)}
    backbone: ResNet | ViT
    if variant.family == 'resnet':
        backbone = ResNet(**common, norm_axis_name=norm_axis_name)
    else:
        backbone = ViT(**common)
        side = image_size or variant.image_size
        if side % backbone.patch:
            fitting = max(1, round(side / backbone.patch)) * backbone.patch
            raise UserError(
                f'image_size={side} is no multiple of the {backbone.patch}-pixel patches of {name}; {fitting} would be'
            )
    return Network(backbone, num_classes, dropout=dropout, head_init=head_init)
