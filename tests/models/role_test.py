"""What the usual names stand for."""

import pytest

from jtransfer.models.role import Role, usual_role

ROLES = {
    'stem/conv/kernel': Role.KERNEL,
    'stage1/block0/bn1/scale': Role.NORM_SCALE,
    'stage1/block0/downsample/bn/bias': Role.NORM_BIAS,
    'norm_pre/bias': Role.NORM_BIAS,
    'block0/mlp/grn/scale': Role.NORM_SCALE,
    'block0/mlp/fc1/bias': Role.BIAS,
    'norm/fc/bias': Role.BIAS,
    'block0/ls1/gamma': Role.FACTOR,
    'a/scale': Role.OTHER,
    'kernel': Role.KERNEL,
    'embed/table': Role.OTHER,
}


@pytest.mark.parametrize(('path', 'role'), ROLES.items())
def test_a_name_stands_for(path, role):
    assert usual_role(path) is role
