"""What a network with one or several tasks minimises, and what is logged of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.config.optim import Loss
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task, single_label
from jtransfer.tasks.criterion import Criterion, Term
from jtransfer.tasks.losses import make_loss, weighted_mean

RANDOM = np.random.default_rng(0)
LOGITS = (3 * RANDOM.standard_normal((20, 5))).astype(np.float32)
NUMBERED = np.arange(20, dtype=np.int32) % 5
MULTI_HOT = (RANDOM.uniform(size=(20, 5)) < 0.4).astype(np.float32)
NUMBERS = (2 * RANDOM.standard_normal((20, 5))).astype(np.float32)
WEIGHTS = (0.2, 1.0, 3.0, 0.5, 2.0)
KIND = Task('kind', 'single_label', ('a', 'b', 'c', 'd', 'e'))
LABELS = Task('labels', 'multi_label', ('a', 'b', 'c', 'd', 'e'), weight=0.5)
AGE = Task('age', 'regression', ('age',), weight=2.0)
TERMS = (Term(KIND, Loss('focal', class_weights=WEIGHTS)), Term(LABELS, Loss('binary')), Term(AGE, Loss('huber')))


def task_batch():
    logits = {'kind': LOGITS, 'labels': LOGITS[::-1].copy(), 'age': LOGITS[:, :1]}
    targets = {'kind': NUMBERED, 'labels': MULTI_HOT, 'age': NUMBERS[:, :1]}
    return jax.tree.map(jnp.asarray, (logits, targets))


def test_the_loss_of_several_tasks_is_the_weighted_sum_of_theirs():
    logits, targets = task_batch()
    total, losses = jax.jit(Criterion(TERMS, 0.1))(logits, targets)
    expected = {}
    for task, loss in TERMS:
        name = task.name
        function = make_loss(loss, 0.0 if name == 'age' else 0.1, task.outputs)
        expected[name] = float(weighted_mean(*function(logits[name], targets[name])))
        assert float(losses[name]) == pytest.approx(expected[name], rel=1e-6)
    assert set(losses) == {'kind', 'labels', 'age'}
    assert float(total) == pytest.approx(expected['kind'] + 0.5 * expected['labels'] + 2 * expected['age'], rel=1e-6)


def test_an_example_without_a_label_for_a_task_counts_nothing_there():
    logits, targets = task_batch()
    missing = {
        'kind': targets['kind'].at[:7].set(-1),
        'labels': targets['labels'].at[3, 2].set(jnp.nan).at[11].set(jnp.nan),
        'age': targets['age'].at[15:].set(jnp.nan),
    }
    known = {'kind': np.arange(7, 20), 'labels': np.delete(np.arange(20), [3, 11]), 'age': np.arange(15)}
    criterion = Criterion(TERMS)

    @jax.jit
    def run(logits, targets):
        return jax.value_and_grad(lambda x: criterion(x, targets), has_aux=True)(logits)

    (_, losses), grads = run(logits, missing)
    for task, loss in TERMS:
        name, rows = task.name, known[task.name]
        function = jax.jit(make_loss(loss, 0.0, task.outputs))
        expected = weighted_mean(*function(logits[name][rows], targets[name][rows]))
        assert float(losses[name]) == pytest.approx(float(expected), rel=1e-5)
        assert set(np.flatnonzero(np.any(grads[name], axis=1))) == set(rows)
        assert np.isfinite(grads[name]).all()


def test_weights_of_examples_make_every_task_a_weighted_mean():
    logits, targets = task_batch()
    targets['kind'] = targets['kind'].at[:7].set(-1)
    weights = np.random.default_rng(0).uniform(0, 3, 20).astype('f4')
    criterion = Criterion(TERMS, 0.1)
    run = jax.jit(lambda *args: criterion(*args[:3], examples=args[3]))
    total, losses = run(logits, targets, None, weights)
    for task, loss in TERMS:
        name = task.name
        function = make_loss(loss, 0.0 if name == 'age' else 0.1, task.outputs)
        known = slice(7, 20) if name == 'kind' else slice(0, 20)
        values, own = function(logits[name][known], targets[name][known])
        assert float(losses[name]) == pytest.approx(np.average(values, weights=own * weights[known]), rel=1e-5)
    _, plain = jax.jit(criterion)(logits, targets)
    _, alike = run(logits, targets, None, np.full(20, 2.0, 'f4'))
    assert jax.tree.map(float, alike) == pytest.approx(jax.tree.map(float, plain), rel=1e-5)
    totals = {name: values.sum() for name, values in criterion.weights(targets, jnp.asarray(weights)).items()}
    halves = [
        jax.tree.map(lambda x, part=part: x[part], (logits, targets, weights)) for part in (slice(0, 9), slice(9, 20))
    ]
    parts = [run(*half[:2], totals, half[2])[0] for half in halves]
    assert float(sum(parts)) == pytest.approx(float(total), rel=1e-5)


def test_weights_of_examples_are_torchs_weighted_mean():
    torch = pytest.importorskip('torch')
    weights = np.random.default_rng(0).uniform(0, 3, 20).astype('f4')
    each = torch.nn.functional.cross_entropy(
        torch.tensor(LOGITS).double(), torch.tensor(NUMBERED).long(), torch.tensor(WEIGHTS).double(), reduction='none'
    )
    by = torch.tensor(weights).double()
    expected = (each * by).sum() / (torch.tensor(WEIGHTS).double()[NUMBERED] * by).sum()
    only = dataclasses.replace(KIND, name='')
    criterion = Criterion((Term(only, Loss(class_weights=WEIGHTS, name='cross_entropy')),))
    ours, _ = criterion({'': jnp.asarray(LOGITS)}, {'': jnp.asarray(NUMBERED)}, examples=jnp.asarray(weights))
    assert float(ours) == pytest.approx(expected.item(), rel=1e-5)


def test_a_task_without_any_label_in_the_batch_costs_nothing():
    logits, targets = task_batch()
    total, losses = jax.jit(Criterion(TERMS))(logits, {**targets, 'kind': jnp.full(20, -1)})
    assert float(losses['kind']) == 0
    assert float(total) == pytest.approx(0.5 * float(losses['labels']) + 2 * float(losses['age']))


def test_parts_of_a_batch_of_several_tasks_add_up_to_the_whole():
    logits, targets = task_batch()
    targets['kind'] = targets['kind'].at[:7].set(-1)
    criterion = Criterion(TERMS)
    run = jax.jit(criterion)
    whole, _ = run(logits, targets)
    totals = {name: weights.sum() for name, weights in jax.jit(criterion.weights)(targets).items()}
    halves = [jax.tree.map(lambda x, part=part: x[part], (logits, targets)) for part in (slice(0, 9), slice(9, 20))]
    assert float(sum(run(*half, totals)[0] for half in halves)) == pytest.approx(float(whole), rel=1e-5)


def test_mistakes_in_tasks_name_the_task():
    with pytest.raises(UserError, match=r"task 'kind': loss.class_weights has 5 weights for 4 classes"):
        Criterion((Term(single_label('abcd', 'kind'), TERMS[0].loss), *TERMS[1:]))
    # The name of the only one would say nothing.
    with pytest.raises(UserError, match=r'^loss.class_weights has 5 weights for 4 classes'):
        Criterion((Term(single_label('abcd', 'kind'), TERMS[0].loss),))
    with pytest.raises(UserError, match=r'^label_smoothing=0.1 is for classes'):
        Criterion((TERMS[2],), 0.1)
    with pytest.raises(UserError, match=r"task 'kind': weight=-1.0 must be at least 0"):
        Criterion((Term(dataclasses.replace(KIND, weight=-1.0), Loss('focal')), TERMS[2]))
    logits, targets = task_batch()
    del targets['age']
    with pytest.raises(UserError, match="no targets for task 'age', only for kind, labels"):
        Criterion(TERMS)(logits, targets)


def test_the_log_is_the_mean_over_the_tasks_with_classes_of_what_is_labelled():
    logits, targets = task_batch()
    targets['kind'] = targets['kind'].at[:7].set(-1)
    logged = jax.jit(Criterion(TERMS).log)(logits, targets)
    kind = (LOGITS[7:].argmax(1) == NUMBERED[7:]).mean()
    several = ((LOGITS[::-1] > 0) == (MULTI_HOT > 0.5)).mean()
    assert jax.tree.map(float, logged) == pytest.approx({'accuracy': (kind + several) / 2}, rel=1e-6)


def test_a_lone_task_without_a_name_is_weighed_against_nothing():
    logits, targets = task_batch()
    only = Criterion((Term(dataclasses.replace(AGE, name='', weight=0.0), Loss('huber')),))
    total, losses = only({'': logits['age']}, {'': targets['age']})
    assert float(total) == float(losses['']) > 0


def test_numbers_log_nothing():
    logits, targets = task_batch()
    assert Criterion((TERMS[2],)).log(logits, targets) == {}
