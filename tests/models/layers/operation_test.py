"""What modules compute, Flax's own, ours, and those of others."""

from typing import ClassVar

import flax.linen as nn

from jtransfer.models.layers.batch_norm import BatchNorm
from jtransfer.models.layers.operation import operation_of


class Stated(nn.Module):
    """Says what it computes."""

    operation: ClassVar[str] = 'grouped'


def test_what_modules_compute():
    assert operation_of(nn.Dense(3)) == operation_of(nn.DenseGeneral((3, 4))) == 'dense'
    assert operation_of(nn.Conv(4, (3, 3))) == 'conv'
    assert operation_of(nn.Conv(4, (3, 3), feature_group_count=2)) == 'grouped'
    assert operation_of(nn.LayerNorm()) == operation_of(nn.GroupNorm(2)) == operation_of(BatchNorm()) == 'norm'
    assert operation_of(Stated()) == 'grouped'
    assert operation_of(nn.Dropout(0.5)) == 'other'
