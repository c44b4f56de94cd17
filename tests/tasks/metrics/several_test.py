"""Every kind of task is measured by its own measures, and examples without a label are left out."""

import dataclasses
import json

import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.tasks.base import Task, single_label
from jtransfer.tasks.metrics.classification import Metrics, classification_metrics
from jtransfer.tasks.metrics.multi_label import MultiLabelMetrics
from jtransfer.tasks.metrics.regression import RegressionMetrics
from jtransfer.tasks.metrics.several import HeadsMetrics, measure, measure_tasks
from jtransfer.tasks.thresholds import fit_thresholds

SPECIES = single_label(['ant', 'bee', 'cat'], 'species')
SEEN = Task('seen', 'multi_label', ('sky', 'sea'), weight=2.0)
AGE = Task('age', 'regression', ('years',), weight=0.5)


def random_case(examples=40, seed=0):
    rng = np.random.default_rng(seed)
    species = rng.integers(0, 3, examples).astype(np.int32)
    seen = rng.integers(0, 2, (examples, 2)).astype(np.float32)
    age = rng.gamma(4, 10, (examples, 1)).astype(np.float32)
    outputs = {
        'species': (rng.normal(size=(examples, 3)) + 2 * np.eye(3)[species]).astype(np.float32),
        'seen': (rng.normal(size=seen.shape) + 2 * seen - 1).astype(np.float32),
        'age': age + rng.normal(0, 5, age.shape).astype(np.float32),
    }
    return outputs, {'species': species, 'seen': seen, 'age': age}


@pytest.mark.parametrize(
    ('task', 'kind', 'score'),
    [
        (SPECIES, Metrics, 'accuracy'),
        (SEEN, MultiLabelMetrics, 'mean average precision'),
        (AGE, RegressionMetrics, 'R²'),
    ],
)
def test_each_kind_has_the_same_face(task, kind, score):
    outputs, labels = random_case()
    got = measure(task, outputs[task.name], labels[task.name], confidence=0.9)
    assert isinstance(got, kind)
    assert (got.score_name, got.examples, got.unlabelled, got.confidence) == (score, 40, 0, 0.9)
    low, high = got.score_interval
    assert low < got.score < high
    assert got.loss > 0
    assert '90% interval' in got.headline()
    assert '40 examples' in got.headline()
    assert got.class_names == task.class_names
    changed = dataclasses.replace(got, test_time_augmentation='flips')
    assert json.loads(json.dumps(changed.to_dict(), allow_nan=False))['test_time_augmentation'] == 'flips'


@pytest.mark.parametrize('task', [SPECIES, SEEN, AGE])
def test_examples_without_a_label_are_left_out_and_counted(task):
    outputs, labels = random_case()
    values, truth = outputs[task.name], labels[task.name].copy()
    truth[[3, 7, 20]] = -1 if task.kind == 'single_label' else np.nan
    got = measure(task, values, truth)
    rest = np.delete(np.arange(40), [3, 7, 20])
    expected = measure(task, values[rest], truth[rest])
    assert got == dataclasses.replace(expected, unlabelled=3)
    assert got.to_dict()['unlabelled'] == 3
    truth[:] = truth[3]
    with pytest.raises(UserError, match=f'none of the 40 examples has a label for {task.name}'):
        measure(task, values, truth)


def test_figures_of_one_label_an_image_are_what_they_were():
    outputs, labels = random_case()
    got = measure(SPECIES, outputs['species'], labels['species'], confidence=0.8, bins=7)
    expected = classification_metrics(
        outputs['species'], labels['species'], SPECIES.class_names, confidence=0.8, bins=7
    )
    assert got == expected
    assert got.score == got.top1
    assert got.to_dict()['unlabelled'] == 0


def test_thresholds_are_passed_on():
    outputs, labels = random_case()
    fitted = fit_thresholds(outputs['seen'], labels['seen'])
    assert measure(SEEN, outputs['seen'], labels['seen'], thresholds=fitted).thresholds == fitted
    heads = measure_tasks([SPECIES, SEEN, AGE], outputs, labels, thresholds={'seen': fitted})
    assert heads.by_task['seen'].thresholds == fitted


def test_several_heads():
    outputs, labels = random_case()
    got = measure_tasks([SPECIES, SEEN, AGE], outputs, labels)
    assert isinstance(got, HeadsMetrics)
    parts = [measure(task, outputs[task.name], labels[task.name]) for task in (SPECIES, SEEN, AGE)]
    assert list(got.by_task.values()) == parts
    assert got.score == pytest.approx(np.mean([part.score for part in parts]))
    assert got.loss == pytest.approx(parts[0].loss + 2 * parts[1].loss + 0.5 * parts[2].loss)
    assert got.headline().startswith(f'mean score {got.score:.3f} over 3 tasks: species: accuracy ')
    values = json.loads(json.dumps(got.to_dict(), allow_nan=False))
    assert list(values['tasks']) == ['species', 'seen', 'age']
    assert values['score'] == got.score


def test_one_task_alone():
    outputs, labels = random_case()
    alone = dataclasses.replace(AGE, name='')
    found = measure_tasks([alone], {'': outputs['age']}, {'': labels['age']})
    assert found == measure(alone, outputs['age'], labels['age'])
    named = measure_tasks([AGE], {'age': outputs['age']}, {'age': labels['age']})
    assert isinstance(named, HeadsMetrics)


def test_what_does_not_fit_is_refused():
    outputs, labels = random_case()
    with pytest.raises(UserError, match='40 outputs for 39 labels'):
        measure(SPECIES, outputs['species'], labels['species'][1:])
    with pytest.raises(UserError, match='outputs are of species, seen, age, tasks are species, seen'):
        measure_tasks([SPECIES, SEEN], outputs, labels)
    with pytest.raises(UserError, match='outputs are of , tasks are species, seen'):
        measure_tasks([SPECIES, SEEN], {'': outputs['seen']}, {'': labels['seen']})
    with pytest.raises(UserError, match="task 'age': the predicted numbers of 40 of 40 examples are not finite"):
        measure_tasks([SPECIES, SEEN, AGE], {**outputs, 'age': outputs['age'] * np.nan}, labels)
