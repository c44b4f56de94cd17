"""Published names of GoogLeNet."""

from __future__ import annotations

from collections.abc import Sequence

from jtransfer.models.googlenet.blocks import AUX_GRID, BLOCKS
from jtransfer.models.googlenet.network import GoogLeNet
from jtransfer.pretrained.load.layouts import Flattened
from jtransfer.pretrained.load.namemap import NameMap, Rule
from jtransfer.pretrained.names.common import affine, batch_norm, conv, dense

# A pool comes first in branch 4.
_BRANCHES = {'branch1': 'branch1', 'branch{b}.0': 'branch{b}_reduce', 'branch{b}.1': 'branch{b}'}


def namings(backbone: GoogLeNet) -> Sequence[NameMap]:
    """torchvision's naming; without auxiliary heads here, those of the file are ignored."""
    letters = BLOCKS[: max(len(stage) for stage in backbone.blocks)]
    blocks = tuple(
        rule
        for letter in letters
        for theirs, ours in _BRANCHES.items()
        for rule in _unit(f'inception{{s}}{letter}.{theirs}', f'backbone/stage{{s}}/{letter}/{ours}')
    )
    auxiliaries = (
        *_unit('aux{n}.conv', 'head/aux{n}/conv'),
        *affine('aux{n}.fc1', 'head/aux{n}/fc1/dense', Flattened(AUX_GRID, AUX_GRID)),
        *dense('aux{n}.fc2', 'head/aux{n}/fc2'),
    )
    naming = NameMap(
        'torchvision',
        (
            *_unit('conv{c}', 'backbone/stem/conv{c}'),
            *blocks,
            *dense('fc', 'head'),
            *(auxiliaries if backbone.aux else ()),
        ),
        wrappers=('module.',),
        ignored=(r'.*\.num_batches_tracked', *(() if backbone.aux else (r'aux[12]\..*',))),
        batch_counters=True,
    )
    return (naming,)


def _unit(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (*conv(f'{theirs}.conv', f'{ours}/conv'), *batch_norm(f'{theirs}.bn', f'{ours}/bn'))
