"""Files that an earlier version wrote are read, evaluated, compared, resumed and exported as they were then.

What they say themselves is what is right: `tests/golden/earlier` is not made anew when something changes.
"""

import contextlib
import csv
import dataclasses
import functools
import json
import pathlib
import shutil

import numpy as np
import pytest

import jtransfer as jt
from jtransfer import rules
from jtransfer.evaluate.views import make_views
from jtransfer.experiments.crossval import crossval
from jtransfer.experiments.crossval.compare import compare
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.data.reopen import parts_of_run
from jtransfer.experiments.predict import predict
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import read_config, read_record
from jtransfer.experiments.run.outputs import OUTPUTS, read_outputs
from jtransfer.experiments.run.score import score
from jtransfer.experiments.search import search
from jtransfer.experiments.soup import soup
from jtransfer.experiments.sweep import sweep
from jtransfer.pretrained.model import merge_model
from tests.golden import earlier

pytestmark = pytest.mark.usefixtures('compile_once', 'files')

RUNS = ('single_label', 'multi_label', 'regression', 'heads', 'lora', 'memory')
# Of what a training ends with: an optimiser divides small numbers by small numbers.
TRAINED = 1e-3


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """The working directory: everything unpacked, side by side, and the images."""
    folder = tmp_path_factory.mktemp('earlier')
    earlier.unpack(folder)
    with contextlib.chdir(folder):
        yield folder
    loaded.cache_clear()


@pytest.fixture(autouse=True)
def _no_pages(monkeypatch):
    """What is for people to look at is tested elsewhere, and takes its time."""
    monkeypatch.setattr(finetune, 'write_page', lambda *arguments: None)
    monkeypatch.setattr(predict, 'write_report', lambda *arguments, **named: None)
    monkeypatch.setattr(search, 'plot', lambda *arguments: None)


@functools.cache
def loaded(path):
    """The network of a run, or of a folder."""
    return jt.load_model(path)


def in_memory(run):
    return earlier.in_memory() if run.startswith('memory') else None


def recorded(path):
    """What a record says, as it was written: not through what reads it."""
    return json.loads(pathlib.Path(path).read_text(encoding='utf-8'))


def scores_of(model, run):
    """What a network says of the test part of a run, and what that is worth, as the run would evaluate it."""
    config = read_config(run)
    views = make_views(model.network, model.variables, model.preprocessing, config.evaluate)
    part = parts_of_run(pathlib.Path(run), in_memory(run))['test']
    return score(model, read_examples(part, model.preprocessing, config, views), config)


def same_score(metrics, result):
    """Compares metrics with what the `result.json` of a run says."""
    assert metrics.examples == result['examples']
    assert metrics.score == pytest.approx(result['score'], abs=1e-5)
    assert metrics.loss == pytest.approx(result['loss'], rel=1e-5)


def same(ours, theirs, tolerance=1e-5):
    """Compares outputs: of one task an array, of several a dictionary of them."""
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        for name in theirs:
            same(ours[name], theirs[name], tolerance)
    else:
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def same_weights(ours, theirs):
    """Compares networks, what their outputs are, and all their values."""
    assert (ours.network, ours.tasks) == (theirs.network, theirs.tasks)
    own, their = (rules.flatten(model.variables) for model in (ours, theirs))
    assert own.keys() == their.keys()
    for path, value in their.items():
        np.testing.assert_allclose(own[path], value, rtol=1e-6, atol=1e-6, err_msg=path)


def rows(path):
    with open(path, encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))


def same_tables(ours, theirs):
    """Compares tables of predictions: texts, and numbers as they are rounded there."""
    ours, theirs = rows(ours), rows(theirs)
    assert len(ours) == len(theirs) == earlier.COUNT
    for own, their in zip(ours, theirs, strict=True):
        assert own.keys() == their.keys()
        for name, text in their.items():
            try:
                assert float(own[name]) == pytest.approx(float(text), rel=1e-5, abs=1e-5), name
            except ValueError:
                assert own[name] == text


@pytest.mark.parametrize('run', RUNS)
def test_a_run_says_what_it_said_and_has_the_score_that_it_had(run):
    stored, result = read_outputs(pathlib.Path(run) / 'evaluation' / OUTPUTS), recorded(f'{run}/result.json')
    scores = scores_of(loaded(run), run)
    assert scores.ids == stored.ids
    same(scores.logits, stored.outputs)
    same_score(scores.metrics, result)
    compared = compare(run, run)
    assert compared.scores == (result['score'],) * 2
    assert compared.difference == 0


@pytest.mark.parametrize('run', [*RUNS, 'crossval', 'crossval_other', 'search/best', 'sweep/seed=0'])
def test_records_of_schema_1_have_the_form_of_those_of_today(run):
    record, result = read_record(run), recorded(f'{run}/result.json')
    assert 'schema' not in result
    assert record.tested
    assert (record.score.value, record.score.name) == (result['score'], result['score_name'])
    shares = ('accuracy', 'mean average precision')
    assert record.score.unit == ('share' if result['score_name'] in shares else 'index')
    interval = result.get('accuracy_interval', result.get('interval'))
    assert record.score.interval == (None if interval is None else tuple(interval))
    best = result.get('best_validation_accuracy', result.get('best_validation_score'))
    assert (record.validation and record.validation.score.value) == best
    if best is not None:
        assert record.validation.loss == result['best_validation_loss']
        assert record.validation.score.name == result['score_name']


@pytest.mark.parametrize('run', ['multi_label', 'heads', 'lora', 'memory'])
def test_a_run_is_evaluated_and_predicts_what_it_predicted(run, tmp_path):
    result = recorded(f'{run}/result.json')
    if run == 'memory':
        part = parts_of_run(pathlib.Path(run), in_memory(run))['test']
        same_score(jt.evaluate_model(loaded(run), part, **{'evaluate.batch_size': 16}), result)
    else:
        metrics, part = predict.evaluate_checkpoint(run, tmp_path / 'evaluation')
        assert part == result['part']
        same_score(metrics, result)
    predict.predict_folder(run, earlier.PHOTOS, tmp_path / 'predictions.csv')
    same_tables(tmp_path / 'predictions.csv', f'{run}/predictions.csv')


def test_a_saved_configuration_runs_again():
    program = {}
    exec(pathlib.Path('single_label/config.py').read_text(encoding='utf-8'), program)
    assert program['get_config']() == read_config('single_label')


@pytest.mark.parametrize('run', ['single_label', 'memory'])
def test_a_run_that_was_stopped_goes_on_and_ends_as_it_would_have(run):
    config = dataclasses.replace(read_config(run), run_dir=f'{run}_stopped')
    config.train.resume = 'auto'
    said = []
    result = finetune.run(config, in_memory(run), say=said.append)
    assert f'resuming {run}_stopped' in said
    logs = [pathlib.Path(path, 'metrics.jsonl').read_text(encoding='utf-8') for path in (run, config.run_dir)]
    whole, resumed = ([json.loads(line) for line in log.splitlines()] for log in logs)
    assert [line['step'] for line in resumed] == [line['step'] for line in whole]
    for own, their in zip(resumed, whole, strict=True):
        assert own['train/loss'] == pytest.approx(their['train/loss'], rel=TRAINED)
    assert result.metrics.score == pytest.approx(recorded(f'{run}/result.json')['score'], abs=TRAINED)
    stored = read_outputs(pathlib.Path(run) / 'evaluation' / OUTPUTS)
    again = read_outputs(pathlib.Path(config.run_dir) / 'evaluation' / OUTPUTS)
    assert again.ids == stored.ids
    same(again.outputs, stored.outputs, TRAINED)


@pytest.mark.parametrize('run', RUNS)
def test_an_adapter_on_its_base_is_the_run(run):
    adapted = jt.load_adapter(f'{run}/adapter.safetensors')  # the base is found beside it
    assert (adapted.adaptation is not None) == (run in ('multi_label', 'regression', 'lora'))
    model = loaded(run)
    same_weights(adapted if run == 'multi_label' else merge_model(adapted), model)


def test_an_adapter_on_a_base_that_was_moved(tmp_path):
    file = shutil.copy('lora/adapter.safetensors', tmp_path)
    base = shutil.copy('vit.safetensors', tmp_path / 'moved.safetensors')
    same_weights(merge_model(jt.load_adapter(file, base=base)), loaded('lora'))


def test_a_stored_head_is_kept_and_put_in_order():
    model, turned = loaded('single_label'), jt.load_model('single_label', class_names=('light', 'dark'))
    for path, value in rules.flatten(model.variables['params']['head']).items():
        np.testing.assert_array_equal(rules.flatten(turned.variables['params']['head'])[path], value[..., ::-1])
    several = loaded('memory')
    assert [task.name for task in several.tasks] == ['kind', 'marks', 'light']
    assert several.tasks[1].weight == 0.5
    fewer = jt.load_model('memory', tasks=several.tasks[2:])
    assert fewer.tasks == several.tasks[2:]
    assert fewer.tasks[0].offset
    assert not fewer.load_report.re_initialised


@pytest.mark.parametrize(('folder', 'run'), [('export_timm', 'single_label'), ('export_huggingface', 'lora')])
def test_an_export_is_read_again(folder, run):
    exported, model = jt.load_model(folder), loaded(run)
    same_weights(exported, model)
    assert exported.preprocessing == model.preprocessing


def test_a_soup_of_a_run_and_its_source(tmp_path):
    made = soup.make_soup(['single_label'], tmp_path / 'soup', recipe='wise', alpha=1.0)
    result = recorded('single_label/result.json')
    assert made.record['members'][0]['validation_accuracy'] == result['best_validation_accuracy']
    assert made.record['test']['score'] == result['score']
    same_weights(jt.load_model(tmp_path / 'soup'), loaded('single_label'))


def test_cross_validations_are_compared_and_gathered(tmp_path):
    results = [recorded(f'{name}/result.json') for name in ('crossval', 'crossval_other')]
    compared = compare('crossval', 'crossval_other')
    assert compared.scores == tuple(result['score'] for result in results)
    assert compared.folds == 2
    metrics, part = predict.evaluate_checkpoint('crossval/ensemble', tmp_path / 'evaluation')
    ensemble = recorded('crossval/ensemble/result.json')
    assert (part, metrics.score) == ('test', pytest.approx(ensemble['score']))
    predict.predict_folder('crossval/ensemble', earlier.PHOTOS, tmp_path / 'predictions.csv')
    same_tables(tmp_path / 'predictions.csv', 'crossval/ensemble/predictions.csv')
    # Every fold is finished: what they amount to is put together again.
    gathered = crossval.run(dataclasses.replace(read_config('crossval'), run_dir='crossval'))
    assert list(gathered.scores) == results[0]['fold_scores']
    assert gathered.pooled.score == pytest.approx(results[0]['pooled_score'])


def test_a_sweep_keeps_what_is_finished():
    results = [recorded(f'sweep/seed={seed}/result.json') for seed in (0, 1)]
    config = dataclasses.replace(read_config('sweep/seed=0'), run_dir='sweep')
    _, records = sweep.run(config, {'seed': ['0', '1']})
    assert [record['metrics']['test accuracy'] for record in records] == [result['score'] for result in results]


def test_a_search_keeps_what_was_found():
    pytest.importorskip('optuna')
    found = search.run(dataclasses.replace(read_config('search'), run_dir='search'))
    assert [trial.state for trial in found.trials] == ['complete'] * 2
    assert found.best.fields == recorded('search/best.json')['fields']
    assert found.result['score'] == recorded('search/best/result.json')['score']
