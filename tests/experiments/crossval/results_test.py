"""What folds amount to: pooled metrics against scikit-learn, repeats averaged, tables and pages, every kind of task."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console
from scipy.special import softmax
from sklearn import metrics as sk

from jtransfer.data.sources.arrays import ArraySource
from jtransfer.evaluate.folds import FoldInterval, fold_interval
from jtransfer.experiments.crossval import crossval, results
from jtransfer.experiments.run.outputs import OUTPUTS, Outputs, read_outputs
from jtransfer.pretrained.model import load_model
from jtransfer.tasks.average import mean_outputs
from jtransfer.tasks.base import single_label
from jtransfer.tasks.metrics.figure import Figure
from tests.experiments.tasks_test import HEADS, LIGHT, TAGS, pictures

pytestmark = pytest.mark.usefixtures('compile_once')
SETTINGS = {'transfer.strategy': 'linear_probe', 'crossval.folds': 2, 'train.steps': 2}


@pytest.fixture(scope='module')
def crossed(tiny_config, tmp_path_factory, compile_once):
    """Two folds, twice."""
    folder = str(tmp_path_factory.mktemp('crossed') / 'run')
    config = tiny_config(**SETTINGS, run_dir=folder, **{'crossval.repeats': 2, 'data.validation_fraction': 0.25})
    return crossval.run(config)


def outputs_of(result):
    """The outputs of every fold, in order."""
    return [
        read_outputs(result.folder / f'repeat-{repeat}-fold-{fold}' / 'evaluation' / OUTPUTS)
        for repeat in range(2)
        for fold in range(2)
    ]


def strict(path):
    """JSON without the NaN and Infinity that Python lets pass."""

    def refuse(word):
        raise AssertionError(f'{path} has {word}')

    return json.loads(path.read_text(), parse_constant=refuse)


def test_repeats_are_averaged_and_every_example_stays_once(crossed):
    pooled = read_outputs(crossed.folder / 'evaluation' / OUTPUTS)
    assert len(pooled) == len(set(pooled.ids)) == 36
    folds = outputs_of(crossed)
    for repeat in (folds[:2], folds[2:]):
        assert sorted(name for fold in repeat for name in fold.ids) == sorted(pooled.ids)
    for row, name in enumerate(pooled.ids):
        own = [softmax(fold.outputs[''][fold.ids.index(name)].astype(float)) for fold in folds if name in fold.ids]
        assert len(own) == 2
        np.testing.assert_allclose(softmax(pooled.outputs[''][row].astype(float)), np.mean(own, axis=0), atol=1e-6)


def test_pooled_metrics_are_scikit_learns(crossed):
    folds, pooled = outputs_of(crossed), read_outputs(crossed.folder / 'evaluation' / OUTPUTS)
    labels, chance = {}, {name: [] for name in pooled.ids}
    for fold in folds:
        for name, row, label in zip(fold.ids, fold.outputs[''], fold.labels[''], strict=True):
            labels[name] = int(label)
            chance[name].append(softmax(row.astype(float)))
    truth = [labels[name] for name in pooled.ids]
    mean = np.stack([np.mean(chance[name], axis=0) for name in pooled.ids])
    assert crossed.pooled.top1 == pytest.approx(sk.accuracy_score(truth, mean.argmax(axis=1)))
    assert crossed.pooled.loss == pytest.approx(sk.log_loss(truth, mean), rel=1e-5)
    assert crossed.pooled.balanced_accuracy == pytest.approx(sk.balanced_accuracy_score(truth, mean.argmax(axis=1)))
    np.testing.assert_array_equal(crossed.pooled.confusion_matrix, sk.confusion_matrix(truth, mean.argmax(axis=1)))
    for score, fold in zip(crossed.scores, folds, strict=True):
        assert score == pytest.approx(sk.accuracy_score(fold.labels[''], fold.outputs[''].argmax(axis=1)))


def test_the_files_say_the_same(crossed):
    result = strict(crossed.folder / 'result.json')
    assert result['fold_scores'] == list(crossed.scores)
    assert result['score'] == pytest.approx(np.mean(crossed.scores))
    assert result['standard_deviation'] == pytest.approx(np.std(crossed.scores, ddof=1))
    assert result['test_train_ratio'] == pytest.approx(18 / 13)  # a quarter of 18, rounded up, chooses the checkpoint
    expected = fold_interval(crossed.scores, 18 / 13)
    assert result['score_interval'] == [pytest.approx(expected.low), pytest.approx(expected.high)]
    assert result['pooled_score'] == crossed.pooled.top1
    assert result['examples'] == 36
    strict(crossed.folder / 'evaluation' / 'metrics.json')
    with (crossed.folder / 'folds.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [(row['repeat'], row['number']) for row in rows] == [(str(r), str(f)) for r in range(2) for f in range(2)]
    assert [float(row['score']) for row in rows] == list(crossed.scores)
    assert all((crossed.folder / row['report']).is_file() for row in rows)
    with (crossed.folder / 'evaluation' / 'predictions.csv').open() as file:
        assert len(list(csv.DictReader(file))) == 36
    page = (crossed.folder / 'report.html').read_text()
    assert 'no duplicates were found' in page
    assert 'data:image/' in page  # the most-wrong pictures
    assert 'onfusion' in page
    assert '<svg' in page
    assert 'repeat-1-fold-1/report.html' in page


def test_the_end_is_shown(crossed):
    console = Console(file=io.StringIO(), width=140)
    console.print(results.describe(crossed))
    text = console.file.getvalue()
    assert all(f'{repeat}/{fold} ' in text for repeat in range(2) for fold in range(2))
    assert 'over 4 folds; 95% interval of the mean' in text
    assert 'report.html shows it' in text


@pytest.mark.parametrize(
    ('unit', 'shown'), [('share', '0.7000 to 1.0000'), ('index', '0.7000 to 1.3000'), ('years', '0.7000 to 1.3000')]
)
def test_a_share_is_not_said_to_be_above_1(crossed, unit, shown):
    interval = FoldInterval(mean=0.95, sd=0.1, standard_error=0.05, low=0.7, high=1.3, confidence=0.95)
    result = dataclasses.replace(crossed, score=Figure('score', 0.5, unit), interval=interval)
    assert results.headline_of(result).endswith(shown)
    assert result.interval.high == 1.3


def test_unreadable_examples_are_left_out_of_the_average():
    task = single_label(('a', 'b'))
    first = Outputs(('x', 'y'), {'': np.array([[0.0, 1.0], [2.0, 0.0]], np.float32)}, {'': np.array([1, 0], np.int32)})
    second = Outputs(('y', 'x'), {'': np.array([[5.0, 0.0], [1.0, 1.0]], np.float32)}, {'': np.array([0, 1], np.int32)})
    average = results.average_repeats([first, second], ('y', 'gone', 'x'), (task,))
    assert average.ids == ('y', 'x')
    assert average.labels[''].tolist() == [0, 1]
    expected = mean_outputs(task, np.array([[[2.0, 0.0], [0.0, 1.0]], [[5.0, 0.0], [1.0, 1.0]]]))
    np.testing.assert_allclose(average.outputs[''], expected, rtol=1e-6)


def check_scaling(folder, source):
    """Numbers are scaled by the training part of each fold, and by nothing else."""
    position = {name: index for index, name in enumerate(source.ids)}
    means = []
    for fold in range(2):
        split = json.loads((folder / f'fold-{fold}' / 'split.json').read_text())
        trained = source.labels[[position[name] for name in split['train']['ids']]].astype(float)
        (task,) = load_model(folder / f'fold-{fold}').tasks
        assert task.offset == pytest.approx(trained.mean(axis=0).tolist())
        assert task.scale == pytest.approx(trained.std(axis=0).tolist())
        means.append(task.offset)
    assert len(set(means)) == 2


@pytest.mark.parametrize('tasks', [(TAGS,), (LIGHT,), HEADS], ids=['multi_label', 'regression', 'heads'])
def test_every_kind_of_task_is_crossed(tiny_config, tmp_path, tasks):
    made = pictures(tasks, count=48, missing=len(tasks) > 1)
    source = ArraySource(made.images, made.labels, tasks=tasks)
    own = {'data.validation_fraction': 0.25, 'data.duplicates': 'ignore', 'optim.learning_rate': 0.01}
    result = crossval.run(tiny_config(**SETTINGS, **own, run_dir=str(tmp_path / 'run')), source)
    pooled = read_outputs(tmp_path / 'run' / 'evaluation' / OUTPUTS)
    assert pooled.ids == source.ids
    record = strict(tmp_path / 'run' / 'result.json')
    assert record['pooled_score'] == result.pooled.score
    assert len(record['fold_scores']) == 2
    assert (tmp_path / 'run' / 'report.html').exists()
    if tasks == (LIGHT,):
        assert record['score_name'] == 'R²'
        check_scaling(tmp_path / 'run', source)
    for task in tasks:
        outputs, labels = pooled.outputs[task.name], pooled.labels[task.name]
        given = source.labels[task.name] if task.name else source.labels
        np.testing.assert_array_equal(labels, given)
        measured = result.pooled.by_task[task.name] if task.name else result.pooled
        known = labels >= 0 if labels.ndim == 1 else ~np.isnan(labels).any(axis=1)
        if task.kind == 'multi_label':
            expected = sk.average_precision_score(labels[known], outputs[known], average='macro')
            assert measured.score == pytest.approx(expected)
        elif task.kind == 'regression':
            assert measured.score == pytest.approx(sk.r2_score(labels[known], outputs[known]), abs=1e-6)
        else:
            assert measured.top1 == pytest.approx(sk.accuracy_score(labels[known], outputs[known].argmax(axis=1)))


def test_class_weights_are_those_of_the_folds_own_training_part(tiny_config, tmp_path, monkeypatch):
    from jtransfer.experiments.run import prepare

    seen = []
    losses = prepare.task_losses

    def spy(loss, tasks, labels):
        if labels is not None:
            seen.append(np.sort(labels['']).tolist())
        return losses(loss, tasks, labels)

    monkeypatch.setattr(prepare, 'task_losses', spy)
    own = {'data.validation_fraction': 0.25, 'loss.class_balance': 'inverse', 'data.imbalance': 2.0}
    crossval.run(tiny_config(**SETTINGS, **own, run_dir=str(tmp_path / 'run')))
    expected = []
    for fold in range(2):
        split = json.loads((tmp_path / 'run' / f'fold-{fold}' / 'split.json').read_text())
        names = [name.split('/')[-2] for name in split['train']['ids']]
        expected.append(sorted(split['class_names'].index(name) for name in names))
    assert seen
    assert all(labels in expected for labels in seen)
    assert {tuple(labels) for labels in seen} == {tuple(labels) for labels in expected}
