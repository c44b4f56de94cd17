"""Published names of VGGs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jtransfer.models.vgg.network import GRID, VGG
from jtransfer.pretrained.load.layouts import Flattened, Shape
from jtransfer.pretrained.load.namemap import NameMap, Rule
from jtransfer.pretrained.names.common import affine, batch_norm, conv, dense


@dataclasses.dataclass(frozen=True)
class WholeKernel:
    """A convolution whose kernel covers the whole picture, which is a dense layer here.

    (out, channel, h, w) → (h · w · channel, out).

    Attributes:
        height: of the picture.
        width: of the picture.
    """

    height: int
    width: int

    def load(self, array: np.ndarray, shapes: Sequence[Shape]) -> Sequence[np.ndarray]:
        """See `Layout`."""
        if array.shape[2:] != (self.height, self.width):
            raise ValueError(f'its kernel is not {self.height}×{self.width}')
        return Flattened(self.height, self.width).load(array.reshape(len(array), -1), shapes)

    def export(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """See `Layout`."""
        flat = Flattened(self.height, self.width).export(arrays)
        return flat.reshape(len(flat), -1, self.height, self.width)


def namings(backbone: VGG) -> Sequence[NameMap]:
    """torchvision's naming, in which the hidden layers are dense, and timm's, in which they are convolutions."""
    features = _features(backbone.depths, backbone.batch_norm)
    torchvision = (
        *affine('classifier.0', 'backbone/fc1/dense', Flattened(GRID, GRID)),
        *dense('classifier.3', 'backbone/fc2/dense'),
        *dense('classifier.6', 'head'),
    )
    timm = (
        *affine('pre_logits.fc1', 'backbone/fc1/dense', WholeKernel(GRID, GRID)),
        *affine('pre_logits.fc2', 'backbone/fc2/dense', WholeKernel(1, 1)),
        *dense('head.fc', 'head'),
    )
    return tuple(
        NameMap(
            name,
            (*features, *rules),
            wrappers=('module.',),
            ignored=(r'.*\.num_batches_tracked',),
            batch_counters=backbone.batch_norm,
        )
        for name, rules in (('torchvision', torchvision), ('timm', timm))
    )


def _features(depths: Sequence[int], norm: bool) -> tuple[Rule, ...]:
    """The convolutions, numbered among the ReLUs and pools between them."""
    rules: list[Rule] = []
    index = 0
    for stage, depth in enumerate(depths, start=1):
        for layer in range(1, depth + 1):
            rules += conv(f'features.{index}', f'backbone/stage{stage}/conv{layer}')
            if norm:
                rules += batch_norm(f'features.{index + 1}', f'backbone/stage{stage}/bn{layer}')
            index += 3 if norm else 2
        index += 1
    return tuple(rules)
