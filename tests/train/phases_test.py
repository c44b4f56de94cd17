"""Phases in the loop: equal to the same phases run by hand, and resumed anywhere as if nothing had happened."""

import dataclasses
import itertools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jtransfer import rules
from jtransfer.config import Optim, Train, Transfer
from jtransfer.errors import RunWarning, UserError
from jtransfer.inputs.image_pixels import normalise
from jtransfer.tasks.losses import cross_entropy
from jtransfer.train.logs.log import read_log
from jtransfer.train.loop import fit
from jtransfer.train.placement import make_placement
from jtransfer.train.saving.checkpoints import Checkpoints
from jtransfer.train.state import next_phase
from jtransfer.train.step import make_train_step
from tests.flips import damage_values
from tests.tiers import slow

STEPS = 12
RATE, DECAY, CLIP, AVERAGE = 0.02, 0.1, 0.5, 0.9
OPTIM = Optim(learning_rate=RATE, weight_decay=DECAY, ema_decay=AVERAGE, clip_norm=CLIP, warmup=0.25)
TRAIN = Train(log_every=1, evaluate_every=2, checkpoint_every=3, tensorboard=False, progress=False)


def cosine(step, steps, warmup=0.25):
    """The default schedule, by hand."""
    rise = round(warmup * steps)
    if step < rise:
        return RATE * (step + 1) / (rise + 1)
    return RATE * 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


def in_pieces(starts, scale=1.0):
    """A cosine of its own for every phase; the first has a factor."""

    def rate(step, begin):
        phase = sum(start <= step for start in starts) - 1
        end = (*starts, STEPS)[phase + 1]
        return cosine(step - starts[phase], end - starts[phase]) * (1 if phase else scale)

    return rate


def with_own_rise(rise):
    """One cosine in all, and a rise of its own for what begins to move later."""

    def rate(step, begin):
        return cosine(step, STEPS) * (min(1, (step - begin + 1) / (rise + 1)) if begin else 1)

    return rate


@dataclasses.dataclass(frozen=True)
class Case:
    """A strategy, and what it means, by hand.

    Attributes:
        transfer: the strategy.
        starts: when the phases begin.
        phases: the phase in which each stage begins to move.
        rate: from the step, and the step at which a group began, to the learning rate.
        factors: of the stages.
        sgd: the stages that have this optimiser.
        names: of the groups in the metrics, by stage.
    """

    transfer: Transfer
    starts: tuple[int, ...]
    phases: dict[str, int]
    rate: object
    factors: dict[str, float] = dataclasses.field(default_factory=dict)
    sgd: tuple[str, ...] = ()
    names: dict[str, str] = dataclasses.field(default_factory=dict)


BY_STAGE = {'head': 0, 'stage3': 1, 'stage2': 2, 'stage1': 3}
TWO = {'head': 0, 'stage1': 1, 'stage2': 1, 'stage3': 1}
ALL = dict.fromkeys(('stage1', 'stage2', 'stage3'), 'backbone')
CASES = {
    'gradual': Case(
        Transfer('gradual', unfreeze_every=3, unfreeze_warmup=2, backbone_learning_rate_scale=0.5),
        (0, 3, 6, 9),
        BY_STAGE,
        with_own_rise(2),
        factors=dict.fromkeys(('stage1', 'stage2', 'stage3'), 0.5),
        names={stage: f'backbone/{stage}' for stage in ('stage1', 'stage2', 'stage3')},
    ),
    'lp_ft': Case(
        Transfer('lp_ft', first_phase=0.34, first_learning_rate_scale=3.0),
        (0, 4),
        TWO,
        in_pieces((0, 4), 3.0),
        names=ALL,
    ),
    'one_then_all': Case(
        Transfer('one_then_all'),
        (0, 5),
        TWO,
        in_pieces((0, 5), 2.0),
        factors={'stage1': 0.01, 'stage2': 0.1, 'stage3': 1.0},
        names={'stage1': 'backbone × 0.01', 'stage2': 'backbone × 0.1', 'stage3': 'backbone × 1'},
    ),
    'rules': Case(
        Transfer(
            rules=(('backbone/stage3/.*', 'phase=2,learning_rate=0.5'), ('backbone/.*', 'phase=7,optimizer=sgd')),
            first_phase=0.25,
        ),
        (0, 3, 7),
        {'head': 0, 'stage3': 1, 'stage2': 2, 'stage1': 2},
        in_pieces((0, 3, 7)),
        factors={'stage3': 0.5},
        sgd=('stage1', 'stage2'),
        names={'stage3': 'backbone/stage3', 'stage1': 'backbone', 'stage2': 'backbone'},
    ),
}


def stage_of(path):
    top, *below = path.split('/')
    return top if top == 'head' else below[0]


def make(toy, transfer, *, optim=OPTIM, train=TRAIN, name='dense'):
    parts, variables = toy.make(name, transfer, optim, steps=STEPS, train=train)
    return dataclasses.replace(parts, epoch_steps=5), variables


def by_hand(case, parts, variables, batches):
    """Parameters and averages after every phase's every step, each tensor with an optimiser of its own."""
    network, preprocessing = parts.network, parts.preprocessing
    params = rules.flatten(jax.tree.map(jnp.asarray, variables['params']))
    average = dict(params)
    kinds = {
        True: optax.chain(optax.add_decayed_weights(DECAY), optax.trace(0.9)),
        False: optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(DECAY)),
    }
    plain = {True: optax.trace(0.9), False: optax.scale_by_adam()}

    @jax.jit
    def gradient(params, batch):
        def loss(params):
            images = normalise(batch['inputs']['image'], preprocessing)
            logits = network.apply({'params': rules.unflatten(params)}, images)['']
            return cross_entropy(logits, batch['labels']['']).mean()

        return jax.grad(loss)(params)

    states, rates = {}, []
    for step, batch in enumerate(batches):
        phase = sum(start <= step for start in case.starts) - 1
        moving = [path for path in params if case.phases[stage_of(path)] <= phase]
        grads = gradient(params, {name: batch[name] for name in ('inputs', 'labels')})
        norm = math.sqrt(sum(float(jnp.square(grads[path]).sum()) for path in moving))
        row = {}
        for path in moving:
            stage = stage_of(path)
            optimizer = (kinds if path.endswith('/kernel') else plain)[stage in case.sgd]
            states.setdefault(path, optimizer.init(params[path]))
            grad = grads[path] * min(1, CLIP / norm)
            update, states[path] = optimizer.update(grad, states[path], params[path])
            rate = case.factors.get(stage, 1) * case.rate(step, case.starts[case.phases[stage]])
            row[case.names.get(stage, stage)] = rate
            params[path] = params[path] - rate * update
            weight = min(AVERAGE, (1 + step) / (10 + step))
            average[path] = weight * average[path] + (1 - weight) * params[path]
        rates.append(row)
    return params, average, rates


@pytest.fixture(scope='module')
def placements(toy):
    """The programs of every case, which its runs share."""
    return {}


@pytest.fixture(scope='module')
def placement_of(toy, placements):
    def of(name):
        return placements.setdefault(name, toy.placement(1))

    return of


@pytest.mark.parametrize('name', CASES)
def test_phases_equal_the_same_phases_by_hand(toy, placement_of, name):
    case = CASES[name]
    parts, variables = make(toy, case.transfer)
    placement = placement_of(name)
    feed = toy.feeder(placement)
    result = fit(parts, variables, feed, placement)
    assert result.starts == case.starts

    params, average, rates = by_hand(case, parts, variables, itertools.islice(feed(0), STEPS))
    state = result.state
    found = {**rules.flatten(state.trainable), **rules.flatten(state.frozen)}
    for path, value in params.items():
        np.testing.assert_allclose(found[path], value, rtol=2e-4, atol=2e-6, err_msg=path)
        assert not np.allclose(value, rules.flatten(variables['params'])[path], atol=1e-5)
    for path, value in rules.flatten(result.variables['params']).items():
        np.testing.assert_allclose(value, average[path], rtol=2e-4, atol=2e-6, err_msg=path)

    prefix = 'learning_rate/'
    for line, row in zip(result.history, rates, strict=True):
        logged = {key.removeprefix(prefix): value for key, value in line.items() if key.startswith(prefix)}
        assert logged == pytest.approx(row, rel=1e-5)


def near_the_start(variables):
    """Worse with every step: the first evaluation is the best, and every later one stalls."""
    return {'top1': 1 / (1 + float(np.abs(variables['params']['head']['bias']).sum()))}


def far_from_the_start(variables):
    """Better with every step."""
    return {'top1': 1 - near_the_start(variables)['top1']}


def interrupted(feed, at):
    """A feed that ends the run when the batch of a step is asked for."""

    def make_feed(start):
        for step, batch in zip(itertools.count(start), feed(start), strict=False):
            if step == at:
                raise KeyboardInterrupt
            yield batch

    return make_feed


# Saved after 3, 6 and 9 steps.
RESUMED = {
    **{name: (case.transfer, OPTIM, None) for name, case in CASES.items()},
    'stalls': (Transfer('gradual', unfreeze_patience=1, unfreeze_warmup=2), OPTIM, near_the_start),
    'rising': (CASES['gradual'].transfer, OPTIM, far_from_the_start),
    'pulls': (Transfer('lp_ft', first_phase=0.5, l2_sp=0.2, decay_to_source=0.1, distill=0.5), OPTIM, None),
    'low': (Transfer('lp_ft', first_phase=0.5, frozen_dtype='bfloat16'), Optim(ema_decay=0.0), near_the_start),
}


@pytest.fixture(scope='module')
def wholes(toy, placement_of, tmp_path_factory):
    """The uninterrupted runs, made when they are asked for."""
    found = {}

    def of(name):
        if name not in found:
            transfer, optim, validate = RESUMED[name]
            parts, variables = make(toy, transfer, optim=optim)
            placement = placement_of(name)
            directory = tmp_path_factory.mktemp('whole')
            found[name] = (
                fit(parts, variables, toy.feeder(placement), placement, validate=validate, run_dir=directory),
                directory,
            )
        return found[name]

    return of


def lines(directory):
    return [{**line, 'images_per_second': None} for line in read_log(directory / 'metrics.jsonl')]


@pytest.mark.parametrize(
    ('name', 'at'),
    [
        # Right at a boundary (3, 6, 9), between them, and before the first.
        *[('gradual', 3), ('gradual', 8), *slow(*(('gradual', at) for at in (2, 4, 6, 9, 11)))],
        *[('lp_ft', 4), *slow(*(('lp_ft', at) for at in (3, 7)))],
        *slow(*(('one_then_all', at) for at in (5, 6))),
        *[('rules', 5), *slow(*(('rules', at) for at in (3, 7, 10)))],
        *[('stalls', 7), *slow(*(('stalls', at) for at in (3, 4, 5, 8, 11)))],
        *[('pulls', 6), *slow(('pulls', 8))],
        *[('low', 7), *slow(*(('low', at) for at in (3, 6, 10)))],
    ],
)
def test_a_run_interrupted_in_any_phase_resumes_as_if_nothing_had_happened(
    toy, placement_of, wholes, tmp_path, name, at
):
    expected, directory = wholes(name)
    transfer, optim, validate = RESUMED[name]
    parts, variables = make(toy, transfer, optim=optim)
    placement = placement_of(name)
    feed = toy.feeder(placement)
    with pytest.raises(KeyboardInterrupt):
        fit(parts, variables, interrupted(feed, at), placement, validate=validate, run_dir=tmp_path)
    result = fit(parts, variables, feed, placement, validate=validate, run_dir=tmp_path)
    chex.assert_trees_all_equal(result.state, expected.state)
    chex.assert_trees_all_equal_dtypes(result.state, expected.state)
    chex.assert_trees_all_equal(result.variables, expected.variables)
    assert (result.starts, result.chosen_step) == (expected.starts, expected.chosen_step)
    assert lines(tmp_path) == lines(directory)


@pytest.mark.parametrize(('name', 'at'), [('rising', 7)])
def test_a_damaged_last_checkpoint_gives_way_to_the_best_one_in_any_phase(
    toy, placement_of, wholes, tmp_path, name, at
):
    expected, directory = wholes(name)
    transfer, optim, validate = RESUMED[name]
    parts, variables = make(toy, transfer, optim=optim)
    placement = placement_of(name)
    feed = toy.feeder(placement)
    with pytest.raises(KeyboardInterrupt):
        fit(parts, variables, interrupted(feed, at), placement, validate=validate, run_dir=tmp_path)
    damage_values(tmp_path / 'checkpoints' / 'last')
    # Of a step that ends a phase, saved before the next began.
    assert [path.name for path in (tmp_path / 'checkpoints' / 'best').iterdir()] == [
        {'rising': '6', 'stalls': '2'}[name]
    ]
    with pytest.warns(RunWarning, match=r'is damaged: .*; it is set aside as .*, and training goes on from the best'):
        result = fit(parts, variables, feed, placement, validate=validate, run_dir=tmp_path)
    chex.assert_trees_all_equal(result.state, expected.state)
    chex.assert_trees_all_equal(result.variables, expected.variables)
    assert (result.starts, result.chosen_step) == (expected.starts, expected.chosen_step)
    assert lines(tmp_path) == lines(directory)


@pytest.mark.parametrize('kind', ['jit', 'pmap'])
def test_phases_on_eight_devices_are_those_on_one(toy, wholes, kind):
    expected, _ = wholes('pulls')
    transfer, optim, _ = RESUMED['pulls']
    parts, variables = make(toy, transfer, optim=optim)
    placement = make_placement(kind, jax.devices())
    result = fit(parts, variables, toy.feeder(placement), placement)
    assert result.starts == expected.starts == (0, 6)
    chex.assert_trees_all_close(result.state.trainable, expected.state.trainable, rtol=2e-3, atol=2e-5)
    chex.assert_trees_all_close(result.variables, expected.variables, rtol=2e-3, atol=2e-5)


def test_a_phase_begins_when_validation_stalls(wholes):
    result, _ = wholes('stalls')
    # A gain at 2, 6 and 10, which are the first of their phase; the last step begins nothing.
    assert result.starts == (0, 4, 8)
    # The best checkpoint is of the first phase, where less was trainable.
    assert result.chosen_step == 2
    assert set(result.state.trainable['backbone']) == {'stage2', 'stage3'}


def test_the_best_of_an_earlier_phase_is_what_was_evaluated_then(toy, wholes, placement_of):
    result, directory = wholes('stalls')
    parts, variables = make(toy, RESUMED['stalls'][0])
    feed = toy.feeder(placement_of('stalls'))
    state = parts.start(variables)
    step = placement_of('stalls').compile(parts, state.trainable)
    for batch in itertools.islice(feed(0), 2):
        state, _ = step(state, batch)
    chex.assert_trees_all_equal(result.variables, state.variables())
    checkpoints = Checkpoints(directory / 'checkpoints')
    assert (checkpoints.best_progress().starts, checkpoints.last_progress().starts) == ((0,), (0, 4, 8))
    checkpoints.close()


def test_what_moves_keeps_its_moments_and_what_begins_has_none(toy):
    case = CASES['gradual']
    parts, variables = make(toy, case.transfer, name='dense_norm')
    feed = toy.feeder(toy.placement(1))
    state = parts.start(variables)
    step = jax.jit(make_train_step(parts, state.trainable))
    for batch in itertools.islice(feed(0), 3):
        state, _ = step(state, batch)
    later = dataclasses.replace(parts, starts=(0, 3))
    new = next_phase(state, later.start(variables))
    assert int(new.step) == 3
    chex.assert_trees_all_equal(new.trainable['head'], state.trainable['head'])
    chex.assert_trees_all_equal(new.trainable['backbone']['stage3'], variables['params']['backbone']['stage3'])
    chex.assert_trees_all_equal(new.ema['head'], state.ema['head'])
    chex.assert_trees_all_equal(new.ema['backbone']['stage3'], variables['params']['backbone']['stage3'])
    chex.assert_trees_all_equal(new.model_state, state.model_state)
    before = {jax.tree_util.keystr(keys): leaf for keys, leaf in jax.tree.leaves_with_path(state.opt_state)}
    carried = 0
    for keys, leaf in jax.tree.leaves_with_path(new.opt_state):
        key = jax.tree_util.keystr(keys)
        if 'stage3' in key:
            np.testing.assert_array_equal(leaf, 0, err_msg=key)
        else:
            np.testing.assert_array_equal(leaf, before[key], err_msg=key)
            carried += 1
            assert np.any(leaf), key
    assert carried == len(before)


def test_bfloat16_is_for_frozen_kernels_alone(toy, wholes):
    transfer, optim, _ = RESUMED['low']
    parts, variables = make(toy, transfer, optim=optim)
    state = parts.start(variables)
    for path, leaf in rules.flatten(state.frozen).items():
        assert leaf.dtype == (jnp.bfloat16 if path.endswith('/kernel') else jnp.float32), path
    assert {leaf.dtype for leaf in jax.tree.leaves(state.trainable)} == {np.dtype('float32')}

    # Phase 1 begins with what was read from the file, not with what was kept of it.
    new = next_phase(state, dataclasses.replace(parts, starts=(0, 6)).start(variables))
    chex.assert_trees_all_equal(new.trainable['backbone'], variables['params']['backbone'])
    assert {leaf.dtype for leaf in jax.tree.leaves(new.trainable)} == {np.dtype('float32')}

    result, _ = wholes('low')
    assert result.starts == (0, 6)
    assert {leaf.dtype for leaf in jax.tree.leaves(result.variables)} == {np.dtype('float32')}
    # The best is of phase 0, and so is made of the kernels in bfloat16.
    assert result.chosen_step == 2
    kernel = variables['params']['backbone']['stage1']['fc']['kernel']
    np.testing.assert_array_equal(
        result.variables['params']['backbone']['stage1']['fc']['kernel'],
        jnp.asarray(kernel).astype(jnp.bfloat16).astype(jnp.float32),
    )


def test_a_run_too_short_for_its_phases_is_told(toy):
    parts, variables = make(toy, Transfer('gradual', unfreeze_every=4))
    placement = toy.placement(1)
    with pytest.raises(UserError, match='at most 3 would do'):
        fit(parts, variables, toy.feeder(placement), placement)
