"""What a module computes, as far as it matters to whoever changes its weights or its outputs from outside."""

from __future__ import annotations

from typing import Literal

import flax.linen as nn

Operation = Literal['dense', 'conv', 'grouped', 'standardised', 'norm', 'other']


def operation_of(module: nn.Module) -> Operation:
    """What a module computes: of a layer of ours, what its class states as `operation`.

    `dense`: a matrix product on the last axes. `conv`: a convolution whose outputs all read all input channels.
    `grouped`: one whose outputs do not. `standardised`: one whose weights are standardised. `norm`: its last steps are
    the parameters scale and bias, or a ReLU after them. `other`: anything else.
    """
    match module:
        case nn.Dense() | nn.DenseGeneral():
            return 'dense'
        case nn.Conv():
            return 'conv' if module.feature_group_count == 1 else 'grouped'
        case nn.LayerNorm() | nn.GroupNorm():
            return 'norm'
    stated: Operation = getattr(module, 'operation', 'other')
    return stated
