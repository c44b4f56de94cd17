"""Whole runs of several labels an image, of numbers, and of several heads: from a source to predictions."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from safetensors.numpy import load_file

import jtransfer as jt
from jtransfer.data.given import opened
from jtransfer.data.part import Part
from jtransfer.data.parts import load_parts
from jtransfer.errors import UserError
from jtransfer.experiments.data import matching
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.inspect import augment, lr_find, plan
from jtransfer.experiments.predict import predict
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run import score as scoring
from jtransfer.experiments.run.directory import read_result
from jtransfer.experiments.run.outputs import OUTPUTS, read_outputs
from jtransfer.experiments.run.score import score
from jtransfer.experiments.run.terminal import describe
from jtransfer.experiments.soup.soup import make_soup
from jtransfer.pretrained.model import load_model
from jtransfer.tasks.base import Task, single_label
from jtransfer.tasks.door import bare
from jtransfer.train.logs.log import MetricLog, read_log
from launch.soup import scored, table
from tests.experiments.pictures import Pictures
from tests.tiers import slow

pytestmark = pytest.mark.usefixtures('compile_once')

LIGHT = Task('', 'regression', ('lux',))
TAGS = Task('', 'multi_label', ('red', 'striped'))
HEADS = (
    single_label(('dark', 'light'), 'kind'),
    dataclasses.replace(TAGS, name='tags', weight=0.5),
    dataclasses.replace(LIGHT, name='light'),
)
TRAINED = {
    'transfer.strategy': 'fine_tune',
    'data.validation_fraction': 0.2,
    'data.test_fraction': 0.3,
    'optim.learning_rate': 0.02,
    'train.steps': 20,
    'train.evaluate_every': 5,
    'train.log_every': 5,
}


def pictures(tasks, count=60, missing=False):
    """Pictures of random brightness, some of them red, some of them striped; and the labels of the tasks."""
    random = np.random.default_rng(7)
    light = random.uniform(40, 160, count)
    red, striped = random.random(count) < 0.5, random.random(count) < 0.5
    images = np.full((count, 16, 16, 3), light[:, None, None, None])
    images[red, ..., 0] += 90
    images[striped, ::4] -= 40
    images = np.clip(images + random.normal(0, 2, images.shape), 0, 255).astype(np.uint8)
    labels = {
        'kind': (light > 100).astype(np.int32),
        'tags': np.stack([red, striped], axis=1).astype(np.float32),
        # In units of their own: so far from 0 that float32 would round them to 128, and widely spread.
        'light': 1.7e9 + 10 * light[:, None],
    }
    if missing:
        labels['kind'][::4] = -1
        labels['tags'][1::5, 1] = np.nan
        labels['light'][2::3] = np.nan
    own = {'single_label': 'kind', 'multi_label': 'tags', 'regression': 'light'}
    of_one = labels[own[tasks[0].kind]]
    return Pictures(images, labels if tasks[0].name else of_one, tuple(tasks))


def whole(source):
    return Part(source, np.arange(len(source)))


def outputs_of(model, source, config):
    """The outputs of a model for every picture, in the numbers' own units."""
    return bare(score(model, read_examples(whole(source), model.preprocessing, config), config).logits)


def same(first, second):
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        return all(np.array_equal(first[name], second[name]) for name in first)
    return np.array_equal(first, second)


def tensors(path):
    return load_file(path / 'model.safetensors')


@pytest.fixture(scope='module')
def run(tiny_config, tmp_path_factory, compile_once):
    """Makes runs of tasks, each once."""
    made = {}

    def make(tasks, **settings):
        key = (tasks, tuple(settings.items()))
        if key not in made:
            path = tmp_path_factory.mktemp('runs') / 'run'
            config = tiny_config(**{**TRAINED, **settings, 'run_dir': str(path)})
            source = pictures(tasks, missing=len(tasks) > 1)
            lines = []
            made[key] = finetune.run(config, source, say=lines.append), source, lines
        return made[key]

    return make


def test_regression_is_learnt_and_told_in_the_numbers_own_units(run):
    result, source, lines = run((LIGHT,))
    assert '1 number (lux); images: 30 to train on' in lines[0]
    metrics = result.metrics
    assert metrics.score_name == 'R²'
    assert metrics.r2 > 0.5
    (task,) = result.model.tasks
    split = json.loads((result.directory.path / 'split.json').read_text())
    trained = [source.ids.index(name) for name in split['train']['ids']]
    known = source.labels[trained].astype(np.float64)  # and of nothing else
    assert task.offset == pytest.approx(known.mean(axis=0))
    assert task.scale == pytest.approx(known.std(axis=0))
    outputs = outputs_of(result.model, source, result.config)
    assert np.abs(outputs - source.labels).mean() < source.labels.std()
    model = load_model(result.directory.path)
    assert model.tasks == result.model.tasks
    assert same(outputs_of(model, source, result.config), outputs)
    stored = read_outputs(result.directory.path / 'evaluation' / OUTPUTS)
    np.testing.assert_array_equal(stored.outputs[''], outputs[[source.ids.index(name) for name in stored.ids]])


def test_regression_is_logged_on_one_scale(run):
    result, _, _ = run((LIGHT,))
    log = read_log(result.directory.path / 'metrics.jsonl')
    assert not any('train/accuracy' in line or 'validation/top1' in line for line in log)
    assert all(line.get('validation/loss', 0) < 20 for line in log)  # the numbers' own variance is a hundred thousand
    record = read_result(result.directory.path)
    assert record['validation']['score'] == max(line.get('validation/score', -np.inf) for line in log)
    assert 'accuracy' not in record
    assert (record['score'], record['score_name']) == (result.metrics.r2, 'R²')
    assert record['metrics']['']['rmse'] == result.metrics.rmse > 10


def test_several_labels_are_learnt(run):
    result, _, _ = run((TAGS,), **{'train.steps': 40})
    assert result.metrics.mean_average_precision > 0.8
    assert result.model.tasks == (TAGS,)
    assert load_model(result.directory.path).tasks == (TAGS,)
    record = read_result(result.directory.path)
    assert record['score_name'] == 'mean average precision'
    assert record['metrics']['']['macro_f1'] == result.metrics.macro_f1
    assert tuple(record['thresholds']['']) == result.metrics.thresholds


def test_thresholds_are_fitted_on_the_validation_part_alone(run):
    result, source, _ = run((TAGS,), **{'train.steps': 40})
    config = result.config
    parts = load_parts(config.data, config.seed, source)
    fitted = scoring.fitted_thresholds(result.model, parts.validation, config)
    assert result.metrics.thresholds == fitted['']
    assert scoring.fitted_thresholds(result.model, parts.test, config) != fitted
    assert scoring.fitted_thresholds(result.model, None, config) == {}


def test_several_heads_are_learnt_from_what_labels_there_are(run):
    result, source, lines = run(HEADS)
    assert 'kind: 2 classes (dark, light), tags: 2 labels (red, striped), light: 1 number (lux)' in lines[0]
    assert 're-initialised the heads kind, light, tags (the stored head, 4 outputs, is ignored)' in lines[2]
    by_task = result.metrics.by_task
    assert by_task['kind'].score > 0.7
    assert by_task['light'].score > 0.4
    assert sum(metrics.unlabelled for metrics in by_task.values()) > 5
    assert result.metrics.score == pytest.approx(np.mean([metrics.score for metrics in by_task.values()]))
    log = read_log(result.directory.path / 'metrics.jsonl')
    assert {'train/loss/kind', 'train/loss/tags', 'train/loss/light'} <= log[0].keys()
    assert {'validation/score', 'validation/score/kind', 'validation/loss'} <= log[-1].keys()
    record = read_result(result.directory.path)
    assert record['metrics'].keys() == {'kind', 'tags', 'light'}
    model = load_model(result.directory.path)
    assert model.tasks == result.model.tasks
    assert model.tasks[1].weight == 0.5
    assert same(outputs_of(model, source, result.config), outputs_of(result.model, source, result.config))


def test_scaling_of_several_heads_is_that_of_the_labelled_training_images(run):
    result, source, _ = run(HEADS)
    split = json.loads((result.directory.path / 'split.json').read_text())
    known = source.labels['light'][[source.ids.index(name) for name in split['train']['ids']]].astype(np.float64)
    assert np.isnan(known).any()
    assert result.model.tasks[2].offset == pytest.approx(np.nanmean(known, axis=0))
    assert result.model.tasks[2].scale == pytest.approx(np.nanstd(known, axis=0))


@pytest.mark.parametrize('tasks', [(LIGHT,), (TAGS,), HEADS], ids=['regression', 'multi_label', 'heads'])
def test_the_end_and_the_page_say_what_was_learnt(run, tasks):
    result, _, _ = run(tasks, **({'train.steps': 40} if tasks == (TAGS,) else {}))
    console = Console(file=io.StringIO(), width=250)
    console.print(describe(result))
    text = console.file.getvalue()
    assert f'test {result.metrics.score_name} ' in text
    assert ('test accuracy' in text, 'top-' in text) == (False, False)
    assert result.headline.startswith('test: ')
    page = (result.directory.path / 'report.html').read_text()
    for task in tasks:
        assert all(name in page for name in task.class_names)


@pytest.mark.parametrize('stop', [15, *slow(8)])
def test_an_interrupted_run_of_several_heads_ends_bit_for_bit_the_same(tiny_config, run, tmp_path, monkeypatch, stop):
    first, source, _ = run(HEADS)
    write = MetricLog.write

    def interrupt(self, step, values):
        if step >= stop:
            raise KeyboardInterrupt
        write(self, step, values)

    config = dataclasses.replace(first.config, run_dir=str(tmp_path / 'run'))
    monkeypatch.setattr(MetricLog, 'write', interrupt)
    with pytest.raises(KeyboardInterrupt):
        finetune.run(config, source)
    monkeypatch.setattr(MetricLog, 'write', write)
    config.train.resume = 'auto'
    again = finetune.run(config, source)
    assert again.model.tasks == first.model.tasks
    one, two = tensors(first.directory.path), tensors(again.directory.path)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    config.train.resume = 'never'


def test_a_head_is_kept_with_its_scaling_when_training_goes_on(run, tiny_config, tmp_path):
    first, source, _ = run(HEADS)
    config = tiny_config(**{**TRAINED, 'model.checkpoint': str(first.directory.path), 'run_dir': str(tmp_path / 'on')})
    lines = []
    result = finetune.run(
        dataclasses.replace(config, train=dataclasses.replace(config.train, steps=1)),
        dataclasses.replace(source, labels={**source.labels, 'light': source.labels['light'] + 5}),
        say=lines.append,
    )
    assert 'the stored heads kind, light, tags are kept' in lines[2]
    assert result.model.tasks == first.model.tasks


def test_evaluation_and_predictions_of_a_saved_network(run, tmp_path, monkeypatch):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for tasks in ((LIGHT,), HEADS):
        result, source, _ = run(tasks)
        for index in range(3):
            Image.fromarray(source.images[index]).save(folder / f'{index}.png')
        table = tmp_path / 'table.csv'
        count, skipped = predict.predict_folder(str(result.directory.path), folder, table)
        assert (count, skipped) == (3, ())
        with open(table, newline='') as file:
            rows = list(csv.DictReader(file))
        outputs = outputs_of(result.model, source, result.config)
        numbers, column = (outputs, 'lux') if tasks == (LIGHT,) else (outputs['light'], 'light lux')
        assert [float(row[column]) for row in rows] == pytest.approx(numbers[:3, 0], rel=0, abs=1e-3)
        if tasks == HEADS:
            assert {row['kind class'] for row in rows} <= {'dark', 'light'}
            assert 0 <= float(rows[0]['tags probability red']) <= 1
        monkeypatch.setattr(matching, 'open_source', lambda data, known, source=source: {'train': opened(source)})
        metrics, _ = predict.evaluate_checkpoint(
            str(result.directory.path), tmp_path / f'out{len(tasks)}', source='csv:it'
        )
        own = score(
            result.model, read_examples(whole(source), result.model.preprocessing, result.config), result.config
        ).metrics
        assert metrics.score == own.score


def test_a_checkpoint_on_other_tasks_is_refused_in_one_line(run, tmp_path, monkeypatch):
    result, _, _ = run((LIGHT,))
    monkeypatch.setattr(matching, 'open_source', lambda data, known: {'train': opened(pictures((TAGS,)))})
    with pytest.raises(UserError, match=r'has labels for 2 labels \(red, striped\), and the model has heads for'):
        predict.evaluate_checkpoint(str(result.directory.path), tmp_path / 'out', source='csv:it')
    model = load_model(result.directory.path)
    with pytest.raises(UserError, match='the part has labels for 2 labels'):
        jt.evaluate_model(model, whole(pictures((TAGS,))))
    data = jt.load_data(pictures((TAGS,)))
    with pytest.raises(UserError, match=r'the data are for 2 labels .* load_model\(…, tasks=data\.tasks\)'):
        jt.fit(model, data, steps=1, progress=False)


def test_the_python_calls_take_tasks(checkpoints):
    source = pictures((LIGHT,))
    data = jt.load_data(source, test_fraction=0.3)
    model = jt.load_model(checkpoints['resnet'], tasks=data.tasks, head_init='normal')
    trained = jt.fit(model, data, learning_rate=0.02, steps=20, batch_size=8, progress=False)
    assert model.tasks == (LIGHT,)
    assert jt.evaluate_model(trained.model, data.test, **{'evaluate.batch_size': 8}).r2 > 0.5


@pytest.mark.parametrize(
    ('tasks', 'settings', 'message'),
    [
        ((TAGS,), {'loss.name': 'cross_entropy'}, 'loss.name=cross_entropy does not fit multi_label'),
        ((LIGHT,), {'loss.name': 'focal'}, 'loss.name=focal does not fit regression'),
        ((LIGHT,), {'optim.label_smoothing': 0.1}, 'label_smoothing=0.1 is for classes'),
        ((LIGHT,), {'loss.class_balance': 'inverse'}, 'loss.class_balance weighs classes, and regression has none'),
        (HEADS, {'loss.class_weights': (1.0, 2.0)}, 'loss.class_weights could be of kind or tags'),
    ],
)
def test_what_does_not_fit_the_tasks_is_refused_before_anything_is_written(
    tiny_config, nowhere, tasks, settings, message
):
    with pytest.raises(UserError, match=message) as raised:
        finetune.run(tiny_config(**settings), pictures(tasks))
    assert '\n' not in str(raised.value)
    assert not list(nowhere.iterdir())


@pytest.mark.parametrize('tasks', [HEADS, *slow(((LIGHT,),), ((TAGS,),))], ids=['heads', 'regression', 'multi_label'])
def test_views_mixing_weights_and_huber_go_together(tiny_config, tmp_path, tasks):
    settings = {
        'train.steps': 2,
        'augment.operations': ('mixup(alpha=0.4)',),
        'evaluate.flips': True,
        'evaluate.scales': (1.0, 1.5),
        'run_dir': str(tmp_path / 'run'),
        **({'loss.class_balance': 'effective_number'} if tasks != (LIGHT,) else {'loss.name': 'huber'}),
        'data.placement': 'stream' if tasks == HEADS else 'device',
    }
    result = finetune.run(tiny_config(**{**TRAINED, **settings}), pictures(tasks, missing=len(tasks) > 1))
    assert np.isfinite(result.metrics.loss)
    assert result.metrics.test_time_augmentation == 'flips, scales 1 1.5'


def test_adapters_carry_their_tasks(tiny_config, tmp_path):
    source = pictures(HEADS, missing=True)
    settings = {**TRAINED, 'transfer.strategy': 'linear_probe', 'train.steps': 2, 'run_dir': str(tmp_path / 'run')}
    result = finetune.run(tiny_config(**settings), source)
    adapter = jt.load_adapter(tmp_path / 'run' / 'adapter.safetensors')
    assert adapter.tasks == result.model.tasks
    assert same(outputs_of(adapter, source, result.config), outputs_of(result.model, source, result.config))


def test_the_average_of_runs_with_several_scalings(run, tiny_config, tmp_path):
    first, source, _ = run(HEADS)
    second = finetune.run(
        tiny_config(**{**TRAINED, 'seed': 1, 'data.split_seed': 0, 'run_dir': str(tmp_path / 'second')}), source
    )
    soup = make_soup([first.directory.path, second.directory.path], tmp_path / 'soup', recipe='greedy', source=source)
    assert soup.model.tasks == first.model.tasks
    record = soup.record
    assert record['test']['score_name'] == 'mean score'
    assert scored('test', record['test']).startswith('test mean score ')
    assert table(record).row_count == 3
    assert all(member['test_score'] is not None for member in record['members'])
    assert record['validation']['score'] >= max(member['validation_score'] for member in record['members']) - 1e-9
    assert load_model(tmp_path / 'soup').tasks == first.model.tasks


def test_learning_rates_of_several_heads_can_be_looked_for(tiny_config, tmp_path):
    config = tiny_config(**TRAINED)
    found, _ = lr_find.find(config, tmp_path / 'lr', pictures(HEADS, missing=True), steps=10)
    assert np.isfinite(found.losses).all()


def test_augmented_pictures_have_their_labels_in_words(tiny_config, monkeypatch):
    source = pictures(HEADS, missing=True)
    monkeypatch.setattr(augment, 'load_parts', lambda data, seed: load_parts(data, seed, source))
    drawn = augment.draw(tiny_config(**{'augment.operations': ('mixup(alpha=0.4)',)}), 4, 2)
    assert all(text.startswith('kind: ') and '\nlight: ' in text for text in drawn.names)
    assert 'no label' in ' '.join(drawn.names)


def test_a_run_of_several_heads_can_be_planned(tiny_config, monkeypatch):
    monkeypatch.setattr(plan, 'load_parts', lambda data, seed: load_parts(data, seed, pictures(HEADS)))
    report = plan.plan_report(tiny_config(**{**TRAINED, 'data.source': 'csv:any', 'loss.class_balance': 'inverse'}))
    assert report.model.tasks == HEADS
    assert report.model.network.heads == {'kind': 2, 'tags': 2, 'light': 1}
    assert report.classes == (5, 'csv:any')
    assert {path.split('/')[1] for group in report.plan.groups for path in group.paths if path[:5] == 'heads'} == {
        'kind', 'tags', 'light',
    }  # fmt: skip
