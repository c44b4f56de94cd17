"""Auxiliary heads by themselves; within networks: network_test.py."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from jtransfer.models.auxiliary import Auxiliary, HeadWithAuxiliaries
from jtransfer.models.mode import Mode


class Scores(nn.Module):
    """Stands for an auxiliary head."""

    num_classes: int
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, inputs, mode):
        return nn.Dense(self.num_classes, kernel_init=self.kernel_init)(inputs)


AUXILIARIES = (Auxiliary('near', 'stage1/a', 0.2, Scores), Auxiliary('far', 'stage2', 0.4, Scores))


@pytest.mark.parametrize('names', [(), ('far',), ('near', 'far')])
def test_those_run_whose_feature_is_given(names):
    rng = np.random.default_rng(0)
    pooled = rng.normal(size=(2, 6)).astype('f4')
    inner = {'near': rng.normal(size=(2, 3)).astype('f4'), 'far': rng.normal(size=(2, 4)).astype('f4')}
    head = HeadWithAuxiliaries(5, nn.initializers.lecun_normal(), AUXILIARIES)
    call = {'mode': Mode(train=True)}
    as_arrays = jax.tree.map(jax.numpy.asarray, (pooled, inner))
    params = head.init(jax.random.key(0), *as_arrays, **call)['params']
    assert set(params) == {'kernel', 'bias', 'near', 'far'}
    given = {name: as_arrays[1][name] for name in names}
    logits, others = head.apply({'params': params}, as_arrays[0], given, **call)
    np.testing.assert_allclose(logits, pooled @ params['kernel'] + params['bias'], rtol=1e-5, atol=1e-6)
    assert [weight for weight, _ in others] == [{'near': 0.2, 'far': 0.4}[name] for name in names]
    for name, (_, scores) in zip(names, others, strict=True):
        dense = params[name]['Dense_0']
        np.testing.assert_allclose(scores, inner[name] @ dense['kernel'] + dense['bias'], rtol=1e-5, atol=1e-6)


def test_a_feature_begins_with_its_stage():
    assert [auxiliary.stage for auxiliary in AUXILIARIES] == ['stage1', 'stage2']
