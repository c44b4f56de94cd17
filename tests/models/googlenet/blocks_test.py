"""The parts of GoogLeNet; their numbers are in tests/pretrained/names/googlenet_test.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.models.googlenet.blocks import AuxiliaryHead, Inception, Stage
from jtransfer.models.mode import Mode

WIDTHS = (2, 3, 4, 1, 3, 2)


def variables_of(module, inputs):
    """Random variables for a module."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), inputs, Mode()))
    return jax.tree.map(lambda x: jnp.asarray(rng.uniform(0.1, 0.5, x.shape), x.dtype), shapes)


def test_branches_stand_side_by_side_in_order():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 5, 4, 3)), jnp.float32)
    block = Inception(WIDTHS, jnp.float32)
    variables = variables_of(block, x)
    kernels = {name: unit['conv']['kernel'].shape for name, unit in variables['params'].items()}
    assert kernels == {
        'branch1': (1, 1, 3, 2),
        'branch2_reduce': (1, 1, 3, 3),
        'branch2': (3, 3, 3, 4),
        'branch3_reduce': (1, 1, 3, 1),
        'branch3': (3, 3, 1, 3),
        'branch4': (1, 1, 3, 2),
    }
    before = block.apply(variables, x, Mode())
    assert before.shape == (1, 5, 4, 11)
    for name, channels in (
        ('branch1', (0, 1)),
        ('branch2', (2, 3, 4, 5)),
        ('branch3', (6, 7, 8)),
        ('branch4', (9, 10)),
    ):
        norm = variables['params'][name]['bn']
        changed = {**variables['params'], name: {**variables['params'][name], 'bn': {**norm, 'bias': norm['bias'] + 9}}}
        after = block.apply({**variables, 'params': changed}, x, Mode())
        assert set(np.flatnonzero((after != before).any((0, 1, 2)))) == set(channels), name


@pytest.mark.parametrize(('pool', 'sides'), [(3, (3, 2)), (2, (4, 3)), (0, (7, 5))])
def test_a_stage_gives_its_blocks_and_ends_with_its_pool(pool, sides):
    x = jnp.ones((1, 7, 5, 3))
    stage = Stage((WIDTHS, WIDTHS), pool, jnp.float32)
    variables = variables_of(stage, x)
    output, blocks = jax.eval_shape(lambda: stage.apply(variables, x, Mode()))
    assert set(variables['params']) == set(blocks) == {'a', 'b'}
    assert output.shape == (1, *sides, 11)
    assert blocks['b'].shape == (1, 7, 5, 11)


@pytest.mark.parametrize(('train', 'frozen', 'drops'), [(True, (), True), (True, ('fc2',), False), (False, (), False)])
def test_an_auxiliary_head_drops_the_inputs_of_its_last_layer(train, frozen, drops):
    x = jnp.asarray(np.random.default_rng(1).normal(size=(4, 5, 6, 3)), jnp.float32)
    head = AuxiliaryHead(5, jax.nn.initializers.zeros, (2, 40), 0.5, jnp.float32)
    variables = variables_of(head, x)
    assert variables['params']['fc1']['dense']['kernel'].shape == (4 * 4 * 2, 40)

    def logits(seed):
        key = {'dropout': jax.random.key(seed)}
        return head.apply(variables, x, Mode(train, frozen), rngs=key, mutable=['batch_stats'])[0]

    assert logits(0).shape == (4, 5)
    assert np.allclose(logits(0), logits(1)) != drops
