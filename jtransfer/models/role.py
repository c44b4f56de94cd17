"""What a parameter is to its network: what optimisers, strategies and adapters ask instead of looking at names."""

from __future__ import annotations

import enum
import re


class Role(enum.Enum):
    """What a parameter is.

    Attributes:
        INPUT: the kernel that reads the input's channels, (…, channel, feature).
        KERNEL: any other kernel, (…, input, output).
        QUERY: the kernel that makes the queries of attention, (input, head, feature).
        KEY: the kernel that makes its keys, alike.
        VALUE: the kernel that makes its values, alike.
        OUT: the kernel that puts its heads together, (head, feature, output).
        BIAS: what is added behind a kernel.
        NORM_SCALE: the factor of a normalisation.
        NORM_BIAS: what a normalisation adds.
        FACTOR: a factor on a residual branch.
        POSITION: embeddings of positions, (1, position, feature).
        TOKEN: learnt tokens, or learnt queries of a pooling.
        OTHER: none of these.
    """

    INPUT = 'input'
    KERNEL = 'kernel'
    QUERY = 'query'
    KEY = 'key'
    VALUE = 'value'
    OUT = 'out'
    BIAS = 'bias'
    NORM_SCALE = 'norm_scale'
    NORM_BIAS = 'norm_bias'
    FACTOR = 'factor'
    POSITION = 'position'
    TOKEN = 'token'
    OTHER = 'other'


KERNELS = frozenset({Role.INPUT, Role.KERNEL, Role.QUERY, Role.KEY, Role.VALUE, Role.OUT})
NORMS = frozenset({Role.NORM_SCALE, Role.NORM_BIAS})
BIASES = frozenset({Role.BIAS, Role.NORM_BIAS})

_NORM = re.compile(r'bn|norm|gn|grn')


def usual_role(path: str) -> Role:
    """The role that a name stands for by the library's convention.

    The last part of the path says it, and a normalisation is a module whose name contains bn, norm, gn or grn.

    >>> usual_role('stage1/block0/conv1/kernel'), usual_role('stage1/block0/bn1/bias')
    (<Role.KERNEL: 'kernel'>, <Role.NORM_BIAS: 'norm_bias'>)

    Args:
        path: '/'-joined.
    """
    module, _, leaf = path.rpartition('/')
    if leaf == 'kernel':
        return Role.KERNEL
    if leaf in ('scale', 'bias') and _NORM.search(module.rpartition('/')[2]):
        return Role.NORM_SCALE if leaf == 'scale' else Role.NORM_BIAS
    return {'bias': Role.BIAS, 'gamma': Role.FACTOR}.get(leaf, Role.OTHER)
