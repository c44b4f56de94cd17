"""The tree that a checkpoint holds: there and back, and how it differs from what is expected."""

import chex
import pytest

from jtransfer.config import Optim, Transfer
from jtransfer.train.saving.state_tree import difference_of, from_tree, to_tree, with_clipping
from tests.train.saving.checkpoints_test import distinct

PROBE = Transfer('linear_probe')


@pytest.mark.parametrize('optim', [Optim(ema_decay=0.9), Optim(clip_norm=1.0), Optim(name='sgd', momentum=0.0)])
def test_there_and_back(toy, optim):
    parts, variables = toy.make(transfer=PROBE, optim=optim)
    like = toy.start(parts, variables)
    state = distinct(like, 7)
    tree = to_tree(state)
    assert with_clipping(tree) == tree
    assert difference_of(tree, to_tree(like)) == ''
    chex.assert_trees_all_equal(from_tree(tree, like, parts.plan), state)


def test_a_state_from_before_clipping_had_its_place_in_every_optimiser_is_read(toy):
    parts, variables = toy.make(transfer=PROBE)
    like = toy.start(parts, variables)
    state = distinct(like, 7)
    old = to_tree(state.replace(opt_state=state.opt_state[1]))
    assert difference_of(old, to_tree(like)).startswith('it was written with another plan or optimiser (opt_state [1].')
    chex.assert_trees_all_equal(from_tree(with_clipping(old), like, parts.plan), state)
