"""A strategy and an optimiser of one's own, made here and nowhere else: planned and trained."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jtransfer as jt
from jtransfer import rules
from jtransfer.config import optim as optim_config
from jtransfer.config import transfer as transfer_config
from jtransfer.errors import UserError
from jtransfer.experiments.run import finetune
from jtransfer.transfer import strategies, update_rules
from jtransfer.transfer.strategies import FREEZE, add_strategy
from jtransfer.transfer.treatment import Treatment
from jtransfer.transfer.update_rules import add_optimizer


def first_still(network, transfer):
    """All but the first stage, at the configured share of the rate."""
    scale = transfer.backbone_learning_rate_scale
    return [(f'backbone/{network.stages[0]}/.*', FREEZE), ('backbone/.*', Treatment(learning_rate_scale=scale))]


def signs(optim, schedule, weight_decay):
    """The sign of the gradient; kernels decay."""
    sign = optax.stateless(lambda grads, _: jax.tree.map(jnp.sign, grads))
    return optax.chain(sign, optax.add_decayed_weights(weight_decay), optax.scale_by_learning_rate(schedule))


@pytest.fixture(scope='module', autouse=True)
def known():
    """Both, known while this file is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strategies, '_STRATEGIES', dict(strategies._STRATEGIES))
        patch.setattr(update_rules, '_ADDED', {})
        patch.setattr(transfer_config, '_ADDED', [])
        patch.setattr(optim_config, '_ADDED', [])
        for _ in range(2):  # the second time changes nothing
            add_strategy('first_still', first_still)
            add_optimizer('signs', signs)
        yield


def test_a_plan_of_it_says_what_moves_and_how_fast(checkpoints):
    model = jt.load_model(checkpoints['resnet'])
    plan = jt.make_plan(model, 'first_still', backbone_learning_rate_scale=0.5)
    scales = {path: group.learning_rate_scale for group in plan.trainable_groups for path in group.paths}
    first = f'backbone/{model.network.stages[0]}/'
    assert not any(path.startswith(first) for path in scales)
    assert {scale for path, scale in scales.items() if path.startswith('backbone/')} == {0.5}
    assert {scale for path, scale in scales.items() if path.startswith('head/')} == {1.0}
    with pytest.raises(UserError, match=r"strategy='first_stil' is not one of .*first_still"):
        jt.make_plan(model, 'first_stil')


@pytest.mark.usefixtures('compile_once')
def test_a_run_with_both_steps_by_the_rate(tiny_config, nowhere):
    settings = {'transfer.strategy': 'first_still', 'optim.name': 'signs', 'optim.schedule': 'constant'}
    settings |= {'optim.weight_decay': 0.0, 'optim.warmup': 0.0, 'optim.clip_norm': 0.0, 'optim.learning_rate': 0.25}
    config = tiny_config(**settings, **{'train.steps': 1, 'run_dir': 'run'})
    before = jt.load_model(config.model.checkpoint, class_names=('ant', 'bee', 'cat')).variables['params']
    finetune.run(config)
    after = jt.load_model('run').variables['params']
    old, new = (rules.flatten(params['backbone']) for params in (before, after))
    moved = {path: np.abs(np.asarray(new[path]) - np.asarray(old[path])) for path in old}
    kernels = [steps for path, steps in moved.items() if path.endswith('kernel') and steps.any()]
    assert kernels
    for steps in kernels:
        assert np.isclose(steps, 0.25, atol=1e-5).mean() > 0.5
        assert (np.isclose(steps, 0.25, atol=1e-5) | (steps == 0)).all()


@pytest.mark.parametrize(
    ('add', 'what', 'names'),
    [
        (add_strategy, 'a strategy', ('fine_tune', 'first_still')),
        (add_optimizer, 'an optimiser', ('adamw', 'signs')),
    ],
)
def test_a_name_is_given_once(add, what, names):
    for name in names:
        with pytest.raises(UserError, match=f"there is {what} '{name}' already"):
            add(name, lambda *_: None)
    with pytest.raises(UserError, match=f"{what} is called 'my own', but must be letters"):
        add('my own', lambda *_: None)
