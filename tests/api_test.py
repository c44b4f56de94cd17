"""The library in a few lines of Python."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import jtransfer as jt
from jtransfer import api
from jtransfer.experiments.run.directory import read_result

pytestmark = pytest.mark.usefixtures('compile_once')


@pytest.mark.filterwarnings('ignore:.*unreadable images? left out:jtransfer.errors.DataWarning')
def test_load_plan_fit_evaluate(photos, checkpoints, tmp_path):
    folder = shutil.copytree(photos, tmp_path / 'photos')
    data = jt.load_data(folder, test_fraction=0.4, skip_unreadable=True)
    (folder / data.train.ids[0]).write_bytes(b'torn')
    model = jt.load_model(checkpoints['resnet'], class_names=data.class_names)
    before = jax.tree.map(np.array, model.variables)
    plan = jt.make_plan(model, 'linear_probe')
    trained = jt.fit(model, data, plan, steps=8, learning_rate=0.05, batch_size=8, progress=False)
    jax.tree.map(np.testing.assert_array_equal, model.variables, before)
    jax.tree.map(
        np.testing.assert_array_equal, trained.model.variables['params']['backbone'], before['params']['backbone']
    )
    assert not np.array_equal(trained.model.variables['params']['head']['kernel'], before['params']['head']['kernel'])
    metrics = jt.evaluate_model(trained.model, data.test)
    assert metrics.examples == len(data.test) == 15
    assert trained.fit.history[-1]['step'] == 8


def test_one_call_writes_a_run_directory(photos, checkpoints, nowhere):
    result = jt.fine_tune(
        Path(checkpoints['vit']),
        Path(photos),
        steps=2,
        batch_size=8,
        run_dir=Path('here'),
        progress=False,
        tensorboard=False,
    )
    assert (result.config.data.source, result.config.run_dir) == (f'folder:{photos}', 'here')
    assert result.directory.path.resolve() == nowhere / 'here'
    assert read_result('here')['score'] == result.metrics.top1
    assert result.config.train.steps == 2


def test_images_in_memory_are_a_source(checkpoints, nowhere):
    random = np.random.default_rng(0)
    source = jt.ArraySource(random.integers(0, 256, (20, 9, 7, 3), dtype=np.uint8), np.arange(20) % 2, ('x', 'y'))
    result = jt.fine_tune(checkpoints['resnet'], source, steps=1, batch_size=8, progress=False, tensorboard=False)
    assert result.metrics.examples == 4
    assert (nowhere / 'runs' / 'finetune' / 'report.html').exists()


def test_settings_by_name_and_by_dotted_name():
    config = jt.configure(batch_size=7, learning_rate=0.5, **{'evaluate.batch_size': 9})
    assert (config.data.batch_size, config.optim.learning_rate, config.evaluate.batch_size) == (7, 0.5, 9)
    with pytest.raises(jt.UserError, match="'placement' could be"):
        jt.configure(placement='jit')
    with pytest.raises(jt.UserError, match=r"Did you mean 'optim\.learning_rate'"):
        jt.configure(learning_rat=1)


def test_a_model_for_other_classes_is_refused(photos, checkpoints):
    data = jt.load_data(f'folder:{photos}')
    with pytest.raises(
        jt.UserError, match=r"the part has the class 'ant' .* which the model does not know; it knows p, q, r, s"
    ):
        jt.evaluate_model(jt.load_model(checkpoints['resnet']), data.test)
    model = jt.load_model(checkpoints['resnet'], class_names=data.class_names)
    with pytest.raises(jt.UserError, match='confidence=95'):
        jt.evaluate_model(model, data.test, confidence=95)


def test_evaluation_takes_several_views(photos, checkpoints):
    data = jt.load_data(f'folder:{photos}', test_fraction=0.4)
    model = jt.load_model(checkpoints['vit'], class_names=data.class_names, head_init='normal')
    losses = [jt.evaluate_model(model, data.test, **views).loss for views in ({}, {'flips': True}, {'crops': 5})]
    assert len(set(losses)) == 3
    with pytest.raises(jt.UserError, match=r'evaluate\.scales=2 is not for this network'):
        jt.evaluate_model(model, data.test, scales=(2.0,))


def test_every_public_name_exists():
    for name in jt.__all__:
        assert getattr(jt, name) is not None
    with pytest.raises(AttributeError, match='no attribute'):
        jt.fine_tun  # noqa: B018


def test_rules_reach_the_plan_and_other_settings_do_not_matter(checkpoints):
    model = jt.load_model(checkpoints['resnet'])
    plan = jt.make_plan(model, rules=(('backbone/stem/.*', 'freeze'),))
    assert plan.frozen() == 'backbone/stem'
    with pytest.raises(jt.UserError, match=r'backbone/stme/\.\*'):
        jt.make_plan(model, rules=(('backbone/stme/.*', 'freeze'),))
    with pytest.raises(jt.UserError, match="Did you mean 'linear_probe'"):
        jt.make_plan(model, 'linear_prob')
    with pytest.raises(jt.UserError, match=r'backbone_learning_rate_scale=0\.0 must be above 0'):
        jt.make_plan(model, backbone_learning_rate_scale=0)


def test_what_is_set_is_checked_whatever_the_call_makes_of_it(photos, checkpoints):
    model = jt.load_model(checkpoints['resnet'])
    for call in (
        lambda **wrong: jt.load_data(f'folder:{photos}', **wrong),
        lambda **wrong: jt.make_plan(model, **wrong),
        lambda **wrong: jt.adapt_model(model, 'lora', **wrong),
        lambda **wrong: jt.evaluate_model(model, f'folder:{photos}', **wrong),
    ):
        for name, value in (('seed', -1), ('learning_rate', 0.0), ('first_phase', 1.0), ('crops', 3), ('log_every', 0)):
            with pytest.raises(jt.UserError, match=f'{name}={value} must be'):
                call(**{name: value})
    with pytest.raises(jt.UserError, match=r'weight_decay=-1\.0 must be at least 0'):
        jt.make_plan(model, weight_decay=-1)
    jt.make_plan(model, 'gradual')  # whether there is a validation part to wait for, `fit` sees


def test_fit_takes_a_plan_or_makes_the_one_that_is_set(photos, checkpoints, monkeypatch):
    data = jt.load_data(f'folder:{photos}', test_fraction=0.4)
    model = jt.load_model(checkpoints['resnet'], class_names=data.class_names)
    monkeypatch.setattr(api, 'train_model', lambda prepared: prepared)
    assert jt.fit(model, data, batch_size=8).plan.frozen() == 'nothing'
    probe = jt.fit(model, data, strategy='linear_probe', batch_size=8)
    assert probe.plan.frozen() == 'backbone'
    plan = jt.make_plan(model, 'linear_probe')
    given = jt.fit(model, data, plan, batch_size=8)
    assert given.plan is plan
    assert given.config == probe.config
    with pytest.raises(jt.UserError, match='the plan says which parameters move, and so does strategy: give it to'):
        jt.fit(model, data, plan, strategy='linear_probe', batch_size=8)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'learning_rate': 0.0}, 'learning_rate=0.0 must be above 0'),
        ({'batch_size': 24}, 'batch_size=24 is larger than the training part of 21'),
        ({'batch_size': 7}, 'must be a multiple of 8'),
        ({'steps': 1, 'epochs': 1}, 'exactly one of'),
        ({'epochs': 'many'}, "epochs='many' is not of type float"),
    ],
)
def test_fit_refuses_what_a_run_would(photos, checkpoints, settings, message):
    data = jt.load_data(f'folder:{photos}', test_fraction=0.4)
    model = jt.load_model(checkpoints['resnet'], class_names=data.class_names)
    with pytest.raises(jt.UserError, match=message):
        jt.fit(model, data, **{'batch_size': 8, 'progress': False, **settings})


def test_load_data_divides_as_a_run_does(photos):
    first, again, other = (jt.load_data(f'folder:{photos}', seed=seed, examples_per_class=4) for seed in (0, 0, 1))
    assert [len(first.train), len(first.test), first.validation] == [12, 24, None]
    assert first.train.ids == again.train.ids != other.train.ids
    with pytest.raises(jt.UserError, match='batch_size=13 is larger than the training part of 12'):
        jt.load_data(f'folder:{photos}', examples_per_class=4, batch_size=13)
    with pytest.raises(jt.UserError, match=r'test_fraction=2\.0 must be at least 0 and below 1'):
        jt.load_data(f'folder:{photos}', test_fraction=2)


def test_what_fit_cannot_train_is_said(photos, checkpoints):
    data = jt.load_data(f'folder:{photos}', test_fraction=0.4)
    with pytest.raises(jt.UserError, match='fit takes what load_data gives'):
        jt.fit(jt.load_model(checkpoints['resnet']), f'folder:{photos}')
    bare = jt.load_model(checkpoints['resnet'], num_classes=0)
    plan = jt.make_plan(bare, 'fine_tune', rules=(('backbone/.*', 'train'),))
    with pytest.raises(jt.UserError, match='no head to train'):
        jt.fit(bare, data, plan, steps=1, batch_size=8, progress=False)


def test_what_is_added_trains_alone_merges_and_is_a_small_file(photos, checkpoints, tmp_path):
    data = jt.load_data(f'folder:{photos}', test_fraction=0.4)
    model = jt.load_model(checkpoints['vit'], class_names=data.class_names)
    with pytest.raises(jt.UserError, match='adapt_model'):
        jt.make_plan(model, 'lora')
    lora = jt.adapt_model(model, 'lora', lora_rank=2)
    trained = jt.fit(
        lora, data, jt.make_plan(lora, 'lora'), steps=3, batch_size=8, learning_rate=0.01, progress=False
    ).model
    jax.tree.map(
        np.testing.assert_array_equal, trained.variables['params']['backbone'], model.variables['params']['backbone']
    )
    merged = jt.merge_model(trained)
    assert set(merged.variables['params']) == {'backbone', 'head'}
    assert jt.evaluate_model(merged, data.test).loss == pytest.approx(
        jt.evaluate_model(trained, data.test).loss, rel=1e-5
    )
    jt.save_adapter(tmp_path / 'adapter.safetensors', trained, base=model)
    again = jt.load_adapter(tmp_path / 'adapter.safetensors')
    jax.tree.map(np.testing.assert_array_equal, again.variables, trained.variables)
    with pytest.raises(jt.UserError, match='lora, adapter, prompt, ssf'):
        jt.adapt_model(model, 'fine_tune')


def test_waiting_for_validation_needs_a_validation_part(photos, checkpoints):
    data = jt.load_data(f'folder:{photos}', test_fraction=0.4)
    model = jt.load_model(checkpoints['resnet'], class_names=data.class_names)
    plan = jt.make_plan(model, 'gradual')
    with pytest.raises(jt.UserError, match=r'there is no validation part: set data\.validation_fraction'):
        jt.fit(model, data, plan, steps=3, batch_size=8, progress=False)


def test_paths_are_taken_wherever_a_place_is_named(photos, checkpoints, nowhere):
    photos, checkpoint = Path(photos), Path(checkpoints['resnet'])
    data = jt.load_data(photos, test_fraction=0.4)
    assert data.train.ids == jt.load_data(f'folder:{photos}', test_fraction=0.4).train.ids
    with pytest.raises(jt.UserError, match='folds=400'):
        jt.cross_validate(checkpoint, photos, run_dir=nowhere / 'b', folds=400, epochs=1, batch_size=8)
    with pytest.raises(jt.UserError, match='there is neither a folder nor a file'):
        jt.load_data(nowhere / 'none')
    with pytest.raises(jt.UserError, match='train is a int, and no source'):
        jt.load_data(5)
