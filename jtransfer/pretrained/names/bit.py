"""Published names of BiTs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jtransfer.models.bit.network import BiT
from jtransfer.pretrained.load.layouts import LINEAR, SAME, Layout, Shape
from jtransfer.pretrained.load.namemap import NameMap, Rule
from jtransfer.pretrained.names.common import affine, conv, dense, norm

_BLOCK = 'backbone/stage{s+1}/block{b}'


@dataclasses.dataclass(frozen=True)
class Pointwise:
    """A dense layer that is published as a 1×1 convolution: two axes of length one more than ours.

    Attributes:
        axis: the first of the two in the published tensor.
        inner: layout of the rest.
    """

    axis: int
    inner: Layout

    def load(self, array: np.ndarray, shapes: Sequence[Shape]) -> Sequence[np.ndarray]:
        """See `Layout`."""
        return self.inner.load(array.squeeze((self.axis, self.axis + 1)), shapes)

    def export(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """See `Layout`."""
        return np.expand_dims(self.inner.export(arrays), (self.axis, self.axis + 1))


def _torch_blocks(block: str) -> tuple[Rule, ...]:
    return (
        *norm(f'{block}.norm{{c}}', f'{_BLOCK}/norm{{c}}'),
        *conv(f'{block}.conv{{c}}', f'{_BLOCK}/conv{{c}}'),
        *conv(f'{block}.downsample.conv', f'{_BLOCK}/downsample/conv'),
    )


_TIMM = NameMap(
    'timm',
    (
        *conv('stem.conv', 'backbone/stem/conv'),
        *_torch_blocks('stages.{s}.blocks.{b}'),
        *norm('norm', 'backbone/norm'),
        *affine('head.fc', 'head', Pointwise(2, LINEAR)),
    ),
    wrappers=('module.',),
)

_HUGGINGFACE = NameMap(
    'huggingface',
    (
        *conv('bit.embedder.convolution', 'backbone/stem/conv'),
        *_torch_blocks('bit.encoder.stages.{s}.layers.{b}'),
        *norm('bit.norm', 'backbone/norm'),
        *dense('classifier.1', 'head'),
    ),
    base='bit.',
    preprocessing={'crop_rounding': 'floor'},
)


def _google() -> NameMap:
    """The files of github.com/google-research/big_transfer; a block's parts are a, b and c, its layouts ours."""
    unit = 'resnet/block{s+1}/unit{b+1:02}'
    kernels = [('resnet/root_block', 'backbone/stem/conv'), (f'{unit}/a/proj', f'{_BLOCK}/downsample/conv')]
    kernels += [(f'{unit}/{letter}', f'{_BLOCK}/conv{index}') for index, letter in enumerate('abc', start=1)]
    norms = [('resnet', 'backbone/norm')]
    norms += [(f'{unit}/{letter}', f'{_BLOCK}/norm{index}') for index, letter in enumerate('abc', start=1)]
    leaves = (('gamma', 'scale'), ('beta', 'bias'))
    return NameMap(
        'google',
        (
            # Some files number the convolutions.
            *(
                Rule(f'{theirs}/standardized_conv2d{number}/kernel', f'params/{ours}/kernel')
                for number in ('', '_{n}')
                for theirs, ours in kernels
            ),
            *(
                Rule(f'{theirs}/group_norm/{leaf}', f'params/{ours}/{our_leaf}')
                for theirs, ours in norms
                for leaf, our_leaf in leaves
            ),
            Rule('resnet/head/conv2d/kernel', 'params/head/kernel', Pointwise(0, SAME)),
            Rule('resnet/head/conv2d/bias', 'params/head/bias'),
        ),
    )


_GOOGLE = _google()


def namings(backbone: BiT) -> Sequence[NameMap]:
    """`timm`, `google` (npz) and `huggingface`."""
    return (_TIMM, _GOOGLE, _HUGGINGFACE)
