"""Every strategy in the training step: what should move moves, and what should not is bit-identical.

The expectation is written by hand for every strategy, as a predicate on paths, so that a wrong plan is found too.
"""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer import rules
from jtransfer.config import Optim, Transfer
from jtransfer.config.transfer import STRATEGIES
from jtransfer.train.step import make_train_step

EVERYTHING_ON = Optim(
    learning_rate=0.01, warmup=0.0, weight_decay=0.1, ema_decay=0.9, accumulate_steps=2, clip_norm=0.1
)
NETWORKS = ('resnet_tiny', 'bit_tiny', 'vit_small_test')
LATER = {'resnet_tiny': 'stage2', 'bit_tiny': 'stage2', 'vit_small_test': 'block1'}
MIDDLE = {'resnet_tiny': 'stage1/block0', 'bit_tiny': 'stage1/block0', 'vit_small_test': 'block0'}


def head(path):
    return path.startswith('head/')


def added(path):
    return head(path) or path.startswith('adapters/')


def everything(path):
    return True


def norms(path):
    return head(path) or re.fullmatch(r'(bn|gn|norm)\d*', path.split('/')[-2]) is not None


def biases(path):
    return head(path) or path.endswith('/bias')


def after(name):
    """Behind the frozen first stages."""
    stages = ('stem', 'stage1', 'embed', 'block0')
    return lambda path: path.split('/')[1] not in stages


def middle(name):
    return lambda path: head(path) or path.startswith(f'backbone/{MIDDLE[name]}/')


# Setting → what moves. Where it is a function of the network's name, so is the expectation.
CASES = {
    'scratch': (lambda n: Transfer('scratch'), lambda n: everything),
    'linear_probe': (lambda n: Transfer('linear_probe'), lambda n: head),
    'fine_tune': (lambda n: Transfer('fine_tune'), lambda n: everything),
    'norm_only': (lambda n: Transfer('norm_only'), lambda n: norms),
    'bitfit': (lambda n: Transfer('bitfit'), lambda n: biases),
    'surgical': (lambda n: Transfer('surgical', blocks=(MIDDLE[n],)), middle),
    'freeze_until': (lambda n: Transfer('fine_tune', freeze_until=LATER[n]), after),
    'stage_learning_rates': (
        lambda n: Transfer('fine_tune', stage_learning_rates=((LATER[n], 0.5),), layer_decay=0.5),
        lambda n: everything,
    ),
    'lp_ft': (lambda n: Transfer('lp_ft'), lambda n: head),
    'one_then_all': (lambda n: Transfer('one_then_all'), lambda n: head),
    'gradual': (lambda n: Transfer('gradual', unfreeze_every=2), lambda n: head),
    **{kind: (lambda n, kind=kind: Transfer(kind), lambda n: added) for kind in ('lora', 'adapter', 'ssf', 'prompt')},
}


def check_moved(toy, parts, variables, moves, statistics_move, steps=2):
    """Runs some steps, and compares every leaf of the state with the expectation."""
    state = parts.start(variables)
    step = jax.jit(make_train_step(parts, state.trainable))
    for index in range(steps):
        state, metrics = step(state, jax.tree.map(jnp.asarray, toy.batch(index)))
    assert metrics['finite']
    before = rules.flatten(variables['params'])
    moving = {path for path in before if moves(path)}
    assert moving

    now = {**rules.flatten(state.trainable), **rules.flatten(state.frozen)}
    assert now.keys() == before.keys()
    assert set(rules.flatten(state.trainable)) == moving
    assert {path for path in before if not np.array_equal(now[path], before[path])} == moving
    averaged = rules.flatten(state.ema)
    assert averaged.keys() == moving
    evaluated = rules.flatten(state.variables()['params'])
    assert {path for path in before if not np.array_equal(evaluated[path], before[path])} == moving
    assert all(not np.array_equal(averaged[path], now[path]) for path in moving)

    statistics = rules.flatten(variables.get('batch_stats', {}))
    left = rules.flatten(state.model_state.get('batch_stats', {}))
    assert {path for path in statistics if not np.array_equal(left[path], statistics[path])} == {
        path for path in statistics if statistics_move(path)
    }
    assert_only(state.opt_state, {path: leaf.size for path, leaf in before.items() if path in moving}, before)
    return metrics


def assert_only(opt_state, moving, known, moments=lambda path: 2):
    """The optimiser's state has so many numbers for each moving parameter, and none for others."""
    found = dict.fromkeys(moving, 0)
    for keys, leaf in jax.tree.leaves_with_path(opt_state):
        key = jax.tree_util.keystr(keys)
        # Counts, and the coefficients of Muon's iteration, belong to no parameter.
        if not np.ndim(leaf) or key.endswith('.ns_coeffs'):
            continue
        name = '/'.join(re.findall(r"\['([^']*)'\]", key))
        found[max((path for path in known if name.endswith(f'/{path}')), key=len)] += leaf.size
    assert found == {path: moments(path) * size for path, size in moving.items()}


def follows(moves):
    """The statistics of a module move where one of its parameters does."""
    return lambda path: any(moves(f'{path.rsplit("/", 1)[0]}/{leaf}') for leaf in ('scale', 'bias'))


def never(path):
    return False


def test_no_strategy_is_left_out():
    assert set(STRATEGIES) <= set(CASES)


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=[pytest.mark.slow] * (name == 'bit_tiny')) for name in NETWORKS]
)
@pytest.mark.parametrize('case', CASES)
def test_what_should_move_moves_and_the_rest_is_bit_identical(toy, name, case):
    if case == 'prompt' and name != 'vit_small_test':
        pytest.skip('prompts are tokens')
    transfer, expected = CASES[case]
    parts, variables = toy.make(name, transfer(name), EVERYTHING_ON)
    moves = expected(name)
    metrics = check_moved(toy, parts, variables, moves, follows(moves))
    # The norm of what moves; were frozen gradients in it, it would be larger for some of the strategies.
    assert metrics['gradient_norm'] > 0


@pytest.mark.parametrize('strategy', ['lp_ft', 'one_then_all', 'gradual'])
def test_in_its_last_phase_everything_moves(toy, strategy):
    parts, variables = toy.make('resnet_tiny', Transfer(strategy, unfreeze_every=2), EVERYTHING_ON)
    phases = {'gradual': 4}.get(strategy, 2)
    assert parts.plan.phases == phases
    parts = dataclasses.replace(parts, starts=(0,) * phases)
    check_moved(toy, parts, variables, everything, everything)


def test_gradual_unfreezes_one_stage_after_another(toy):
    for name, order in {
        'resnet_tiny': ('stage2', 'stage1', 'stem'),
        'bit_tiny': ('stage2', 'stage1', 'stem'),
        'vit_small_test': ('block1', 'block0', 'embed'),
    }.items():
        parts, variables = toy.make(name, Transfer('gradual', unfreeze_every=2))
        for phase in range(4):
            trainable, _ = parts.plan.at_phase(phase).split(variables['params'])
            found = set(trainable.get('backbone', {}))
            # A last normalisation moves with the last block.
            assert ('norm' in found) == (phase > 0 and name != 'resnet_tiny')
            assert found - {'norm'} == set(order[:phase]), (name, phase)


@pytest.mark.parametrize('case', ['linear_probe', 'freeze_until', 'norm_only'])
@pytest.mark.parametrize(('mode', 'statistics'), [('evaluate', never), ('train', everything)])
def test_the_statistics_move_as_told(toy, case, mode, statistics):
    transfer, expected = CASES[case]
    transfer = dataclasses.replace(transfer('resnet_tiny'), batch_norm=mode)
    parts, variables = toy.make('resnet_tiny', transfer, EVERYTHING_ON)
    check_moved(toy, parts, variables, expected('resnet_tiny'), statistics)


MOMENTS = {
    'sgd': lambda path: 1,
    'lion': lambda path: 1,
    'lamb': lambda path: 2,
    'muon': lambda path: 1 if path.startswith('backbone/') and path.endswith('/kernel') else 2,
}


@pytest.mark.parametrize('optimizer', MOMENTS)
def test_no_optimiser_holds_anything_for_a_frozen_leaf(toy, optimizer):
    optim = dataclasses.replace(EVERYTHING_ON, name=optimizer)
    for name in ('resnet_tiny', 'vit_small_test'):
        parts, variables = toy.make(name, Transfer('fine_tune', freeze_until=LATER[name]), optim)
        before = rules.flatten(variables['params'])
        moving = {path: leaf.size for path, leaf in before.items() if after(name)(path)}
        assert 0 < len(moving) < len(before)
        assert_only(parts.start(variables).opt_state, moving, before, MOMENTS[optimizer])


def test_frozen_parameters_are_not_in_the_norm_that_clips(toy):
    norms_of = {}
    for strategy in ('linear_probe', 'fine_tune'):
        parts, variables = toy.make('vit_small_test', Transfer(strategy), EVERYTHING_ON)
        state = parts.start(variables)
        step = jax.jit(make_train_step(parts, state.trainable))
        _, metrics = step(state, jax.tree.map(jnp.asarray, toy.batch(0)))
        norms_of[strategy] = float(metrics['gradient_norm'])
    assert norms_of['linear_probe'] < 0.99 * norms_of['fine_tune']
