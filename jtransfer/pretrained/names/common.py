"""Rules of whole layers in torch's naming, from which the tables of the families are put together.

`theirs` is the layer's published name, `ours` its path below `params`; both may hold placeholders
(`jtransfer.pretrained.load.namemap`).
"""

from __future__ import annotations

from jtransfer.pretrained.load.layouts import CONV, LINEAR, Layout
from jtransfer.pretrained.load.namemap import Rule


def norm(theirs: str, ours: str) -> tuple[Rule, ...]:
    """A layer or group normalisation: weight and bias → scale and bias."""
    return (
        Rule(f'{theirs}.weight', f'params/{ours}/scale'),
        Rule(f'{theirs}.bias', f'params/{ours}/bias'),
    )


def batch_norm(theirs: str, ours: str) -> tuple[Rule, ...]:
    """A batch normalisation with its running statistics."""
    return (
        *norm(theirs, ours),
        Rule(f'{theirs}.running_mean', f'batch_stats/{ours}/mean'),
        Rule(f'{theirs}.running_var', f'batch_stats/{ours}/var'),
    )


def conv(theirs: str, ours: str) -> tuple[Rule, ...]:
    """A convolution, with its bias if it has one."""
    return affine(theirs, ours, CONV)


def dense(theirs: str, ours: str) -> tuple[Rule, ...]:
    """A linear layer, with its bias if it has one."""
    return affine(theirs, ours, LINEAR)


def affine(theirs: str, ours: str, layout: Layout) -> tuple[Rule, ...]:
    """weight → kernel in a given layout, bias → bias."""
    return (
        Rule(f'{theirs}.weight', f'params/{ours}/kernel', layout),
        Rule(f'{theirs}.bias', f'params/{ours}/bias'),
    )
