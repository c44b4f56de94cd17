"""What a run needs is made once, by whichever door one comes, and what is wrong is told before an image is read."""

import dataclasses
import sys
from collections import Counter

import numpy as np
import pytest

from jtransfer import api
from jtransfer.config import Search
from jtransfer.data.parts import load_parts
from jtransfer.data.sources.folder import FolderSource
from jtransfer.errors import UserError
from jtransfer.experiments.crossval import crossval
from jtransfer.experiments.crossval import side_by_side as crossval_side
from jtransfer.experiments.data import checking
from jtransfer.experiments.inspect import lr_find
from jtransfer.experiments.run import finetune, prepare, start, train
from jtransfer.experiments.run.result import Result
from jtransfer.experiments.search import search
from jtransfer.pretrained.model import load_model
from jtransfer.train.lane import FitResult
from jtransfer.train.state import TrainState

pytestmark = pytest.mark.usefixtures('compile_once')
ONCE = (
    'load_model',
    'make_plan',
    'make_step_parts',
    'check_sizes',
    '_check_statistics',
    'make_input_augment',
    'make_views',
)


def interrupt(*args):
    raise InterruptedError


class NoResult(Result):
    """What nothing was concluded from."""

    headline = ''

    def __init__(self):
        pass


@pytest.fixture
def calls(monkeypatch):
    """How often everything that a run needs is made, wherever that is asked for; nothing is trained."""
    counted = Counter()

    def counting(name, function):
        def call(*args, **kwargs):
            counted[name] += 1
            return function(*args, **kwargs)

        return call

    for name in (*ONCE, 'check_parts'):
        function = next(vars(module)[name] for module in (start, prepare, checking) if name in vars(module))
        counted[name], call = 0, counting(name, function)
        for module in [own for key, own in sys.modules.items() if key.startswith(('jtransfer.api', 'jtransfer.exp'))]:
            if vars(module).get(name) is function:
                monkeypatch.setattr(module, name, call)

    def fit(parts, variables, *args, **kwargs):
        state = TrainState(1, {}, {}, {}, {}, None)
        return FitResult(state, dict(variables), 1, 0.5, [], 0.0, best_loss=1.0)

    monkeypatch.setattr(train, 'fit', fit)
    monkeypatch.setattr(crossval_side, 'fit_lanes', lambda *args, run_dirs, **kwargs: [fit(*args) for _ in run_dirs])
    monkeypatch.setattr(finetune, 'save', lambda *args, **kwargs: None)
    monkeypatch.setattr(finetune, 'conclude', lambda *args, **kwargs: NoResult())
    return counted


def test_a_run_is_prepared_once(tiny_config, nowhere, calls):
    finetune.run(tiny_config(**{'data.validation_fraction': 0.2}))
    assert calls == dict.fromkeys(calls, 1)


@pytest.mark.parametrize('side_by_side', [False, True])
def test_folds_are_prepared_together(tiny_config, nowhere, calls, side_by_side):
    settings = {'crossval.folds': 3, 'crossval.side_by_side': side_by_side, 'data.validation_fraction': 0.2}
    assert crossval.run(tiny_config(**settings)) is None  # what `conclude` would write is missing
    assert calls == {**dict.fromkeys(ONCE, 1), 'check_parts': 3}


def test_a_search_prepares_itself_and_every_trial_and_the_best_run(tiny_config, nowhere, calls, monkeypatch):
    pytest.importorskip('optuna')
    monkeypatch.setattr(search, 'read_record', interrupt)
    config = tiny_config(**{'data.validation_fraction': 0.2})
    config = dataclasses.replace(config, search=Search(space=('optim.learning_rate=log(0.01, 1)',), trials=2))
    with pytest.raises(InterruptedError):  # after the best run
        search.run(config)
    # The check before the trials, these, and the best run, which is one of its own.
    assert calls == {**dict.fromkeys(ONCE, 4), 'load_model': 2, 'make_views': 2, 'check_parts': 2}


def test_a_model_at_hand_is_checked_once_and_not_loaded(tiny_config, checkpoints, photos, calls):
    parts = api.load_data(f'folder:{photos}', validation_fraction=0.2, test_fraction=0.4)
    model = load_model(checkpoints['resnet'], class_names=parts.class_names)
    plan = api.make_plan(model, 'linear_probe')
    calls.subtract(calls)
    api.fit(model, parts, plan, batch_size=8, steps=1, progress=False)
    assert calls == {**dict.fromkeys(calls, 1), 'load_model': 0, 'make_plan': 0, 'make_views': 0}


def test_a_range_test_is_prepared_once(tiny_config, nowhere, calls, monkeypatch):
    monkeypatch.setattr(lr_find.feed, 'feeds', interrupt)
    with pytest.raises(InterruptedError):
        lr_find.find(tiny_config())
    assert calls == {**dict.fromkeys(ONCE, 1), 'make_views': 0, 'check_parts': 1}


def test_fewer_images_change_what_depends_on_their_number_alone(tiny_config, monkeypatch):
    config = tiny_config(**{'train.steps': 0, 'train.epochs': 2.0, 'loss.class_balance': 'inverse'})
    prepared = prepare.prepare(config, load_parts(config.data, config.seed))
    count = len(prepared.parts.train)
    assert prepared.for_examples(count) is prepared.step_parts
    monkeypatch.setattr(prepare, 'check_sizes', lambda *args: pytest.fail('the network was looked at again'))
    fewer = prepared.for_examples(count - 8)
    assert (fewer.total_steps, fewer.epoch_steps) == (2 * (count - 8) / 8 // 1 + 1, np.ceil((count - 8) / 8))
    assert fewer.criterion.terms == prepared.step_parts.criterion.terms
    same = {'total_steps': fewer.total_steps, 'epoch_steps': fewer.epoch_steps, 'criterion': fewer.criterion}
    assert dataclasses.replace(prepared.step_parts, **same) == fewer


def test_a_length_without_room_is_refused_for_fewer_images_too(tiny_config):
    config = tiny_config(**{'train.steps': 0, 'train.epochs': 1.0, 'train.stop_step': 2})
    prepared = prepare.prepare(config, load_parts(config.data, config.seed))
    with pytest.raises(UserError, match=r'train\.stop_step=2 is beyond the 1 steps'):
        prepared.for_examples(8)


def test_what_is_loaded_and_moves_is_told_and_what_is_at_hand_is_taken(tiny_config, checkpoints):
    config = tiny_config(**{'transfer.strategy': 'scratch', 'transfer.layer_decay': 0.5})
    parts, said = load_parts(config.data, config.seed), []
    model = load_model(checkpoints['resnet'], class_names=parts.class_names)
    plan = prepare.plan_for(config, model)
    prepared = prepare.prepare(config, parts, model=model, plan=plan, evaluated=False, say=said.append)
    assert prepared.model is model
    assert prepared.plan is plan
    assert said == [model.load_report.summary(), plan.summary(), *plan.notes]
    assert 'transfer.layer_decay=0.5' in said[-1]


@pytest.mark.parametrize(
    ('family', 'image_size', 'sizes', 'message'),
    [
        ('vit', None, (16, 200), r'^augment\.sizes: 200 is no size for this network: [^\n]*$'),
        ('resnet', (16, 24), (16,), r'^augment\.sizes are sides of squares'),
    ],
)
def test_sizes_that_a_network_does_not_take_are_told_before_an_image_is_read(
    tiny_config, checkpoints, monkeypatch, family, image_size, sizes, message
):
    monkeypatch.setattr(FolderSource, '__getitem__', lambda *args: pytest.fail('an image was read'))
    config = tiny_config(**{'augment.sizes': sizes})
    parts = load_parts(config.data, config.seed)
    size = {'image_size': image_size} if image_size else {}
    model = load_model(checkpoints[family], class_names=parts.class_names, head_init='normal', **size)
    with pytest.raises(UserError, match=message):
        prepare.prepare(config, parts, model=model)
