"""Published names of ResNets."""

from __future__ import annotations

from collections.abc import Sequence

from jtransfer.models.resnet import ResNet
from jtransfer.pretrained.namemap import NameMap
from jtransfer.pretrained.names.common import batch_norm, conv, dense

_TORCH = NameMap(
    'timm',
    (
        *conv('conv1', 'backbone/stem/conv'),
        *batch_norm('bn1', 'backbone/stem/bn'),
        *conv('layer{s}.{b}.conv{c}', 'backbone/stage{s}/block{b}/conv{c}'),
        *batch_norm('layer{s}.{b}.bn{c}', 'backbone/stage{s}/block{b}/bn{c}'),
        *conv('layer{s}.{b}.downsample.0', 'backbone/stage{s}/block{b}/downsample/conv'),
        *batch_norm('layer{s}.{b}.downsample.1', 'backbone/stage{s}/block{b}/downsample/bn'),
        *dense('fc', 'head'),
    ),
    wrappers=('module.',),
    ignored=(r'.*\.num_batches_tracked',),
    batch_counters=True,
)


def namings(backbone: ResNet) -> Sequence[NameMap]:
    """timm's naming, which is torchvision's."""
    return (_TORCH,)
