"""The range test: its steps are the run's, its model stays as it was, its suggestions are where they belong."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.data.decode.memory import decode_part
from jtransfer.data.parts import load_parts
from jtransfer.errors import UserError
from jtransfer.experiments.inspect.lr_curve import DIVERGENCE, END, OVERFLOW
from jtransfer.experiments.inspect.lr_find import find, ramp, range_test
from jtransfer.experiments.run.prepare import prepare
from jtransfer.experiments.run.train import train_model
from jtransfer.inputs.image_held import TrainingImage
from jtransfer.inputs.image_pixels import normalise
from jtransfer.pretrained.model import load_model
from jtransfer.tasks.choose_loss import task_losses
from jtransfer.tasks.criterion import make_criterion
from jtransfer.train.step import make_train_step
from jtransfer.train.step_parts import StepParts
from jtransfer.transfer.plan import make_plan

pytestmark = pytest.mark.usefixtures('compile_once')

RATES = np.geomspace(1e-7, 10, 100)


@pytest.fixture
def problem(tiny_config, checkpoints):
    """What a range test takes, for a configuration with some fields set."""

    def make(head_init='normal', **settings):
        config = tiny_config(**settings)
        parts = load_parts(config.data, config.seed)
        model = load_model(checkpoints['resnet'], class_names=parts.class_names, head_init=head_init)
        plan = make_plan(model.network, model.variables['params'], config.transfer, config.optim.weight_decay)
        return model, parts, plan, config

    return make


@pytest.mark.parametrize(('low', 'high', 'steps'), [(1e-7, 10.0, 100), (1e-3, 1.0, 10)])
def test_the_ramp_is_geometric_and_ends_at_the_highest_rate(low, high, steps):
    values = jax.vmap(ramp(low, high, steps))(jnp.arange(steps))
    np.testing.assert_allclose(values, np.geomspace(low, high, steps), rtol=2e-5)


@pytest.mark.parametrize('settings', [{}, {'transfer.strategy': 'fine_tune', 'optim.ema_decay': 0.9}])
def test_the_model_stays_bit_for_bit_as_it_was(problem, settings):
    model, parts, plan, config = problem(**settings)
    before = jax.tree.map(np.array, model.variables)
    found = range_test(model, parts, plan, config, lowest=1e-3, highest=1.0, steps=10)
    assert len(found.losses) == 10
    assert np.ptp(found.losses[-3:]) > 0  # something did move
    jax.tree.map(np.testing.assert_array_equal, model.variables, before)
    assert config == problem(**settings)[3]


@pytest.mark.parametrize(
    'settings',
    [
        {'optim.name': 'adamw', 'augment.crop_scale': (0.5, 1.0)},
        {'optim.name': 'sgd', 'optim.accumulate_steps': 2, 'data.batch_size': 16},
        {'data.placement': 'stream'},
        {'train.placement': 'pmap', 'optim.clip_norm': 0.1},
    ],
)
def test_at_a_constant_rate_its_losses_are_those_of_the_run(problem, settings):
    steps = 10
    model, parts, plan, config = problem(
        **{'optim.learning_rate': 0.05, 'optim.schedule': 'constant', 'optim.warmup': 0.0, 'train.steps': steps},
        **settings,
    )
    trained = train_model(prepare(config, parts, model=model, plan=plan))
    expected = [line['train/loss'] for line in trained.fit.history]
    config.optim.warmup, config.train.steps = 0.5, 4  # which have no part in it
    found = range_test(model, parts, plan, config, lowest=0.05, highest=0.05 * (1 + 1e-9), steps=steps)
    np.testing.assert_allclose(found.losses, expected, rtol=2e-5)
    assert found.ending == END


def test_the_input_has_the_size_of_the_network_whatever_the_sizes_of_training(problem):
    found = [
        range_test(*problem(**{'augment.sizes': sizes}), lowest=0.01, highest=0.1, steps=10) for sizes in ((), (16, 48))
    ]
    np.testing.assert_array_equal(found[0].losses, found[1].losses)


def test_gradient_descent_on_a_linear_probe_diverges_beyond_its_stable_limit(problem):
    # All of the training part in every batch: the losses are those of plain gradient descent on a convex function,
    # which falls at every step while the rate is below 2 / (greatest curvature).
    settings = {'optim.name': 'sgd', 'optim.momentum': 0.0, 'optim.clip_norm': 0.0, 'optim.weight_decay': 0.0}
    model, parts, plan, config = problem(
        head_init='zeros', **settings, **{'data.batch_size': 24, 'data.test_fraction': 1 / 3}
    )
    assert len(parts.train) == 24
    held = decode_part(parts.train, TrainingImage(model.preprocessing)).inputs
    images = normalise(jnp.asarray(held['image']), model.preprocessing)
    features = model.network.apply(model.variables, images, method='features')['pooled']
    features = np.concatenate([np.asarray(features, float), np.ones((24, 1))], axis=1)
    # The Hessian of softmax cross-entropy is at most half the features' second moment (Böhning, 1992), and a third at
    # the start, where all three classes are equally likely.
    moment = np.linalg.eigvalsh(features.T @ features / 24)[-1]
    surely_stable, limit = 2 / (moment / 2), 2 / (moment / 3)
    found = range_test(model, parts, plan, config, lowest=1e-4 * limit, highest=1e4 * limit, steps=80)
    stable = np.flatnonzero(found.learning_rates < surely_stable)
    assert (np.diff(found.losses[: stable[-1] + 2]) < 0).all()
    assert found.ending == DIVERGENCE
    assert len(found.losses) < 80
    assert found.smoothed[-1] > 4 * found.smoothed.min() >= found.smoothed[-2] > 0
    assert found.learning_rates[-1] > limit
    assert 1e-3 * limit < found.suggestions.valley < limit
    assert f'optim.learning_rate={found.suggestions.valley:.1e}' in found.summary()


def test_groups_keep_their_factors_and_the_rate_is_that_of_the_step(problem):
    settings = {'transfer.strategy': 'fine_tune', 'transfer.backbone_learning_rate_scale': 0.1, 'optim.warmup': 0.5}
    model, _, plan, config = problem(**settings)
    criterion = make_criterion(model.tasks, task_losses(config.loss, model.tasks), 0.0)
    schedule = ramp(1e-4, 1e-2, 11)
    step_parts = StepParts(model.network, model.preprocessing, plan, config, criterion, 4, schedule=schedule)
    state = step_parts.start(model.variables)
    step = jax.jit(make_train_step(step_parts, state.trainable))
    random = np.random.default_rng(0)
    for number in range(3):
        batch = {
            'inputs': {
                'image': random.integers(0, 256, (8, *model.preprocessing.shape, 3), dtype=np.uint8),
                'aspect': np.ones(8, np.float32),
            },
            'labels': {'': np.arange(8, dtype=np.int32) % 3},
            'id': np.arange(8, dtype=np.int32),
            'epoch': np.zeros(8, np.int32),
            'seed': np.uint32(0),
            'step': np.int32(number),
        }
        state, metrics = step(state, batch)
        expected = 1e-4 * 100 ** (number / 10)
        assert metrics['learning_rate/head'] == pytest.approx(expected, rel=1e-5)
        assert metrics['learning_rate/backbone'] == pytest.approx(expected / 10, rel=1e-5)


def test_what_overflows_ends_the_test(problem):
    model, parts, plan, config = problem(**{'optim.name': 'sgd', 'optim.clip_norm': 0.0})
    found = range_test(model, parts, plan, config, lowest=1.0, highest=1e38, steps=10)
    assert found.ending in (OVERFLOW, DIVERGENCE)
    assert np.isfinite(found.losses).all()
    found = range_test(model, parts, plan, config, lowest=1e38, highest=2e38, steps=10)
    assert found.ending == OVERFLOW
    assert len(found.losses) <= 2
    assert found.suggestions is None


def test_a_range_that_moves_nothing_suggests_nothing(problem):
    found = range_test(*problem(), lowest=1e-12, highest=1e-10, steps=20)
    assert found.ending == END
    assert found.suggestions is None
    assert found.summary().startswith('no suggestion: the loss never falls')


def test_a_later_phase_moves_what_moves_then(problem):
    model, parts, plan, config = problem(**{'transfer.strategy': 'lp_ft', 'train.steps': 8})
    first = range_test(model, parts, plan, config, lowest=1e-2, highest=1.0, steps=10)
    probe = problem()
    np.testing.assert_allclose(first.losses, range_test(*probe, lowest=1e-2, highest=1.0, steps=10).losses, rtol=1e-5)
    second = range_test(model, parts, plan, config, lowest=1e-2, highest=1.0, steps=10, phase=1)
    tuned = range_test(*problem(**{'transfer.strategy': 'fine_tune'}), lowest=1e-2, highest=1.0, steps=10)
    np.testing.assert_allclose(second.losses, tuned.losses, rtol=1e-4)
    assert np.abs(second.losses / first.losses - 1).max() > 1e-3
    with pytest.raises(UserError, match='phase=2 is none of the plan, which has 2'):
        range_test(model, parts, plan, config, phase=2)


def test_the_factor_of_a_phase_counts(problem):
    settings = {'transfer.strategy': 'lp_ft', 'train.steps': 8}
    twice = problem(**settings, **{'transfer.first_learning_rate_scale': 2.0})
    found = range_test(*twice, lowest=1e-2, highest=1.0, steps=10)
    plain = range_test(*problem(**settings), lowest=2e-2, highest=2.0, steps=10)
    np.testing.assert_allclose(found.losses, plain.losses, rtol=1e-5)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'lowest': 0.0}, 'lowest=0 and highest=10 must be two learning rates'),
        ({'lowest': 1.0, 'highest': 1.0}, 'must be two learning rates'),
        ({'highest': float('nan')}, 'must be two learning rates'),
        ({'steps': 9}, 'steps=9 must be at least 10'),
    ],
)
def test_a_range_that_is_none_is_refused_before_anything_is_read(nowhere, tiny_config, arguments, message):
    with pytest.raises(UserError, match=message):
        find(tiny_config(**{'data.source': 'folder:none'}), **arguments)
    assert not list(nowhere.iterdir())


def test_results_are_written_and_an_existing_folder_is_refused(nowhere, tiny_config):
    said = []
    found, folder = find(tiny_config(), lowest=1e-4, highest=10.0, steps=30, say=said.append)
    assert str(folder) == 'runs/tiny-lr_find'
    assert '3 classes (ant, bee, cat); images: 21 to train on' in said[0]
    assert sorted(path.name for path in folder.iterdir()) == ['lr_find.csv', 'lr_find.json', 'lr_find.png']
    table = np.loadtxt(folder / 'lr_find.csv', delimiter=',', skiprows=1)
    np.testing.assert_array_equal(table, np.stack([found.learning_rates, found.losses, found.smoothed], axis=1))
    record = json.loads((folder / 'lr_find.json').read_text())
    assert record['suggestion'] == found.suggestions.valley
    assert record['suggestions'].keys() == {'valley', 'steepest', 'minimum'}
    assert record['steps'] == len(found.losses)
    assert any('trained: head' in line for line in said)
    with pytest.raises(UserError, match='runs/tiny-lr_find exists already; name a new folder'):
        find(tiny_config(), steps=30)
    folder.rename('runs/bees-lr_find')
    with pytest.raises(UserError, match='runs/bees-lr_find exists already; name a new folder'):
        find(tiny_config(run_dir='runs/bees'), steps=30)
