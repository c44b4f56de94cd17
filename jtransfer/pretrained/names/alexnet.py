"""Published names of AlexNet."""

from __future__ import annotations

from collections.abc import Sequence

from jtransfer.models.alexnet.network import GRID, AlexNet
from jtransfer.pretrained.load.layouts import Flattened
from jtransfer.pretrained.load.namemap import NameMap
from jtransfer.pretrained.names.common import affine, conv, dense

# Where the convolutions stand in torchvision's `features`, between ReLUs and pools.
_CONVOLUTIONS = (0, 3, 6, 8, 10)

_TORCHVISION = NameMap(
    'torchvision',
    (
        *(
            rule
            for stage, index in enumerate(_CONVOLUTIONS, start=1)
            for rule in conv(f'features.{index}', f'backbone/stage{stage}/conv')
        ),
        *affine('classifier.1', 'backbone/fc1/dense', Flattened(GRID, GRID)),
        *dense('classifier.4', 'backbone/fc2/dense'),
        *dense('classifier.6', 'head'),
    ),
    wrappers=('module.',),
)


def namings(backbone: AlexNet) -> Sequence[NameMap]:
    """torchvision's naming."""
    return (_TORCHVISION,)
