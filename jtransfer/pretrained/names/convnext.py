"""Published names of ConvNeXt, versions 1 and 2."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jtransfer.models.convnext.network import ConvNeXt
from jtransfer.pretrained.load.layouts import Layout, Shape
from jtransfer.pretrained.load.namemap import NameMap, Rule
from jtransfer.pretrained.names.common import affine, conv, dense, norm


@dataclasses.dataclass(frozen=True)
class Matrix:
    """A dense layer, which timm's smallest networks hold as a 1×1 convolution: (out, in) or (out, in, 1, 1).

    Attributes:
        conv: whether it is exported as a convolution; both forms are read.
    """

    conv: bool = False

    def load(self, array: np.ndarray, shapes: Sequence[Shape]) -> Sequence[np.ndarray]:
        """See `Layout`."""
        return [array.reshape(array.shape[:2]).T]

    def export(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """See `Layout`."""
        return arrays[0].T[..., None, None] if self.conv else arrays[0].T


@dataclasses.dataclass(frozen=True)
class Row:
    """A vector that is published as (1, 1, 1, channel)."""

    def load(self, array: np.ndarray, shapes: Sequence[Shape]) -> Sequence[np.ndarray]:
        """See `Layout`."""
        return [array.reshape(array.shape[-1:])]

    def export(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """See `Layout`."""
        return arrays[0][None, None, None]


def _mlp(fc: str, ours: str, layout: Layout) -> tuple[Rule, ...]:
    return affine(f'{fc}{{layer}}', f'{ours}/mlp/fc{{layer}}', layout)


def _grn(weight: str, bias: str, ours: str) -> tuple[Rule, ...]:
    return (
        Rule(weight, f'params/{ours}/mlp/grn/scale', Row()),
        Rule(bias, f'params/{ours}/mlp/grn/bias', Row()),
    )


_DOWN = 'backbone/stage{s+1}/downsample'
_BLOCK = 'backbone/stage{s+1}/block{b}'


def _timm(conv_mlp: bool) -> NameMap:
    theirs = 'stages.{s}.blocks.{b}'
    return NameMap(
        'timm',
        (
            *conv('stem.0', 'backbone/stem/conv'),
            *norm('stem.1', 'backbone/stem/norm'),
            *norm('stages.{s}.downsample.0', f'{_DOWN}/norm'),
            *conv('stages.{s}.downsample.1', f'{_DOWN}/conv'),
            *conv(f'{theirs}.conv_dw', f'{_BLOCK}/conv_dw'),
            *norm(f'{theirs}.norm', f'{_BLOCK}/norm'),
            *_mlp(f'{theirs}.mlp.fc', _BLOCK, Matrix(conv_mlp)),
            *norm(f'{theirs}.mlp.grn', f'{_BLOCK}/mlp/grn'),
            Rule(f'{theirs}.gamma', f'params/{_BLOCK}/gamma'),
            *norm('head.norm', 'backbone/norm'),
            *dense('head.fc', 'head'),
        ),
        wrappers=('module.',),
    )


_FACEBOOK = NameMap(
    'facebook',
    (
        *conv('downsample_layers.0.0', 'backbone/stem/conv'),
        *norm('downsample_layers.0.1', 'backbone/stem/norm'),
        *norm('downsample_layers.{s}.0', f'{_DOWN}/norm'),
        *conv('downsample_layers.{s}.1', f'{_DOWN}/conv'),
        *conv('stages.{s}.{b}.dwconv', f'{_BLOCK}/conv_dw'),
        *norm('stages.{s}.{b}.norm', f'{_BLOCK}/norm'),
        *_mlp('stages.{s}.{b}.pwconv', _BLOCK, Matrix()),
        *_grn('stages.{s}.{b}.grn.gamma', 'stages.{s}.{b}.grn.beta', _BLOCK),
        Rule('stages.{s}.{b}.gamma', f'params/{_BLOCK}/gamma'),
        *norm('norm', 'backbone/norm'),
        *dense('head', 'head'),
    ),
    wrappers=('module.',),
)


def _huggingface(base: str) -> NameMap:
    block = f'{base}encoder.stages.{{s}}.layers.{{b}}'
    return NameMap(
        'huggingface',
        (
            *conv(f'{base}embeddings.patch_embeddings', 'backbone/stem/conv'),
            *norm(f'{base}embeddings.layernorm', 'backbone/stem/norm'),
            *norm(f'{base}encoder.stages.{{s}}.downsampling_layer.0', f'{_DOWN}/norm'),
            *conv(f'{base}encoder.stages.{{s}}.downsampling_layer.1', f'{_DOWN}/conv'),
            *conv(f'{block}.dwconv', f'{_BLOCK}/conv_dw'),
            *norm(f'{block}.layernorm', f'{_BLOCK}/norm'),
            *_mlp(f'{block}.pwconv', _BLOCK, Matrix()),
            *_grn(f'{block}.grn.weight', f'{block}.grn.bias', _BLOCK),
            Rule(f'{block}.layer_scale_parameter', f'params/{_BLOCK}/gamma'),
            *norm(f'{base}layernorm', 'backbone/norm'),
            *dense('classifier', 'head'),
        ),
        base=base,
        preprocessing={'crop_rounding': 'floor'},
    )


def namings(backbone: ConvNeXt) -> Sequence[NameMap]:
    """timm's naming, the authors' (Facebook) and that of transformers."""
    return _timm(backbone.conv_mlp), _FACEBOOK, _huggingface('convnextv2.' if backbone.grn else 'convnext.')
