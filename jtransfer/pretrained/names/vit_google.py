"""Names of Vision Transformers in Google's .npz files: those of vision_transformer and of big_vision.

Their layouts are Flax's, and so ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jtransfer.models.variant import HALF
from jtransfer.models.vit.network import ViT
from jtransfer.pretrained.load.layouts import Shape
from jtransfer.pretrained.load.namemap import NameMap, Rule
from jtransfer.pretrained.names.vit_rules import QKV, embedding

# Both codebases evaluate on pictures squashed to a square, with values in [-1, 1].
GOOGLE = {'mean': HALF, 'std': HALF, 'interpolation': 'bilinear', 'squash': True, 'crop_fraction': 1.0}


def vit_jax(backbone: ViT) -> NameMap:
    """vision_transformer: the original and the AugReg weights; files of an optimiser's state too."""
    block = {**_attention('MultiHeadDotProductAttention_1', 'attn'), **_norm('LayerNorm_0', 'norm1')}
    block |= {**_norm('LayerNorm_2', 'norm2'), **_mlp('MlpBlock_3', 'mlp')}
    return NameMap(
        'vit_jax',
        (
            *_around(backbone, 'Transformer/posembed_input/pos_embedding'),
            *(
                Rule(f'Transformer/encoderblock_{{i}}/{theirs}', f'params/backbone/block{{i}}/{ours}')
                for theirs, ours in block.items()
            ),
        ),
        wrappers=('opt/target/',),
        ignored=(r'opt/state/.*', *_unused(backbone)),
        positions='bilinear_corners',
        options={'gelu': 'tanh'},
        preprocessing=GOOGLE,
    )


def big_vision(backbone: ViT) -> NameMap:
    """big_vision: a ViT, or the image tower of SigLIP beside a text tower.

    A class token has no position embedding there: `embed_class` must be False.
    """
    return _big_vision(
        'big_vision',
        backbone,
        tuple(
            Rule(f'Transformer/encoderblock_{{i}}/{theirs}', f'params/backbone/block{{i}}/{ours}')
            for theirs, ours in _BIG_VISION_BLOCK.items()
        ),
    )


def big_vision_scan(backbone: ViT) -> NameMap:
    """big_vision with its blocks scanned: one array holds that tensor of all blocks, along the first axis."""
    return _big_vision(
        'big_vision_scan',
        backbone,
        tuple(
            Rule(
                f'Transformer/encoderblock/{theirs}',
                tuple(f'params/backbone/block{index}/{ours}' for index in range(backbone.blocks)),
                Stacked(),
            )
            for theirs, ours in _BIG_VISION_BLOCK.items()
        ),
    )


@dataclasses.dataclass(frozen=True)
class Stacked:
    """One published tensor holds several of ours along its first axis."""

    def load(self, array: np.ndarray, shapes: Sequence[Shape]) -> Sequence[np.ndarray]:
        """See `layouts.Layout`."""
        if array.ndim == 0 or len(array) != len(shapes):
            raise ValueError(f'its first axis is not the {len(shapes)} blocks')
        return list(array)

    def export(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """See `layouts.Layout`."""
        return np.stack(arrays)


def _norm(theirs: str, ours: str) -> dict[str, str]:
    return {f'{theirs}/{leaf}': f'{ours}/{leaf}' for leaf in ('scale', 'bias')}


def _dense(theirs: str, ours: str) -> dict[str, str]:
    return {f'{theirs}/{leaf}': f'{ours}/{leaf}' for leaf in ('kernel', 'bias')}


def _attention(theirs: str, ours: str) -> dict[str, str]:
    parts = [_dense(f'{theirs}/{part}', f'{ours}/{part}') for part in (*QKV, 'out')]
    return {name: path for part in parts for name, path in part.items()}


def _mlp(theirs: str, ours: str) -> dict[str, str]:
    return {**_dense(f'{theirs}/Dense_0', f'{ours}/fc1'), **_dense(f'{theirs}/Dense_1', f'{ours}/fc2')}


_BIG_VISION_BLOCK = {
    **_norm('LayerNorm_0', 'norm1'),
    **_attention('MultiHeadDotProductAttention_0', 'attn'),
    **_norm('LayerNorm_1', 'norm2'),
    **_mlp('MlpBlock_0', 'mlp'),
}
_MAP = {
    'MAPHead_0/probe': 'probe',
    **_attention('MAPHead_0/MultiHeadDotProductAttention_0', 'attn'),
    **_norm('MAPHead_0/LayerNorm_0', 'norm'),
    **_mlp('MAPHead_0/MlpBlock_0', 'mlp'),
}


def _big_vision(name: str, backbone: ViT, blocks: tuple[Rule, ...]) -> NameMap:
    return NameMap(
        name,
        (
            *_around(backbone, 'pos_embedding'),
            *blocks,
            *(Rule(theirs, f'params/backbone/pool/{ours}') for theirs, ours in _MAP.items()),
        ),
        wrappers=('params/img/', 'params/'),
        # The text tower, and the temperature and bias of the loss.
        ignored=(r'txt/.*', 't', 'b', r'opt/.*', *_unused(backbone)),
        positions='bilinear_corners',
        options={'gelu': 'tanh', 'embed_class': False},
        preprocessing=GOOGLE,
    )


def _around(backbone: ViT, positions: str) -> tuple[Rule, ...]:
    """What stands before and after the blocks."""
    outside = {**_dense('embedding', 'backbone/embed/patch'), **_norm('Transformer/encoder_norm', 'backbone/norm')}
    outside |= _dense('pre_logits', 'backbone/pre_logits') if backbone.pre_logits else {}
    outside |= _dense('head', 'head')
    return (
        embedding('cls', 'cls_token'),
        embedding(positions, 'pos_embed'),
        *(Rule(theirs, f'params/{ours}') for theirs, ours in outside.items()),
    )


def _unused(backbone: ViT) -> tuple[str, ...]:
    """Google leaves the layer before the head out too when it fine-tunes."""
    return () if backbone.pre_logits else (r'pre_logits/.*',)
