"""What every kind of task must keep to, the one that somebody adds as much as ours."""

import copy
import dataclasses
import json
import pickle

import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.tasks import Task, from_dict, kinds, task_class, to_dict
from jtransfer.tasks.metrics.figure import Figure
from jtransfer.tasks.metrics.several import measure

EXAMPLES = 12
NAMES = ('a', 'b', 'c')
IDS = [f'{number:02}' for number in range(EXAMPLES)]


def drawn(kind):
    """A task of a kind, labels of which the third is not known, and outputs."""
    random = np.random.default_rng(0)
    task = Task('own', kind, NAMES)
    whole = np.arange(EXAMPLES) % 3 if task.exclusive else random.integers(0, 2, (EXAMPLES, 3))
    labels = whole.astype(task.dtype)
    labels[2] = task.unlabelled(1)[0]
    return task, labels, random.normal(size=(EXAMPLES, 3)).astype(np.float32)


@pytest.fixture(params=kinds())
def case(request):
    """A task with labels and outputs."""
    return drawn(request.param)


def test_a_task_is_of_the_class_of_its_kind_and_stays_so(case):
    task, *_ = case
    assert type(task) is task_class(task.kind)
    for same in (
        pickle.loads(pickle.dumps(task)),
        copy.deepcopy(task),
        from_dict(json.loads(json.dumps(to_dict(task)))),
    ):
        assert same == task
        assert type(same) is type(task)
        assert hash(same) == hash(task)
    assert type(dataclasses.replace(task, name='other')) is type(task)


def test_labels_of_the_right_form_pass_and_others_are_one_line(case):
    task, labels, _ = case
    task.check(labels, IDS, 'here')
    assert task.blank(5).shape == task.unlabelled(5).shape == (5, *task.rows)
    assert task.blank(5).dtype == task.unlabelled(5).dtype == task.dtype
    with pytest.raises(UserError, match='11 labels for 12 examples'):
        task.check(labels[1:], IDS, 'here')
    with pytest.raises(UserError, match=r'^here: labels are '):
        task.check(np.zeros((EXAMPLES, 2, 2), task.dtype), IDS, 'here')


def test_what_is_not_labelled_is_known(case):
    task, labels, _ = case
    assert np.flatnonzero(~task.labelled(labels)).tolist() == [2]
    assert not task.labelled(task.unlabelled(3)).any()
    with pytest.raises(UserError, match='none of the 3 examples of there has a label for own'):
        task.check_measurable(task.unlabelled(3), 'there')
    assert task.label_text(labels[2]) == task.mixed_text(np.asarray(labels[2])) == 'no label'
    assert any(name in task.label_text(labels[1]) for name in (*NAMES, 'none'))


def test_reordered_labels_mean_the_same(case):
    task, labels, _ = case
    other = dataclasses.replace(task, class_names=('c', 'a', 'b'))
    there = other.reordered(labels, task, complete=False)
    other.check(there, IDS, 'there')
    np.testing.assert_array_equal(task.reordered(there, other, complete=False), labels)
    known = task.labelled(labels)
    for own, theirs in zip(labels[known], there[known], strict=True):
        assert {*task.label_text(own).split(', ')} == {*other.label_text(theirs).split(', ')}


def test_the_mean_of_a_network_with_itself_is_the_network(case):
    task, _, outputs = case
    twice = task.mean(np.stack([outputs, outputs]).astype(np.float64))
    np.testing.assert_allclose(task.predict(twice), task.predict(outputs), rtol=1e-6)
    np.testing.assert_allclose(np.asarray(task.mean_on_device([outputs, outputs])), twice, rtol=1e-5, atol=1e-6)


def test_what_is_measured_is_told(case):
    task, labels, outputs = case
    metrics = measure(task, outputs, labels)
    assert metrics.unlabelled == 1
    assert metrics.validation().keys() == {'top1' if task.kind == 'single_label' else 'score', 'loss'}
    assert metrics.score_name in metrics.title()[0]
    assert metrics.score_name in metrics.headline()
    json.dumps(metrics.to_dict())
    assert Figure.of_record(metrics.record()) == metrics.score_figure
    assert dataclasses.replace(task.score, value=metrics.score) == dataclasses.replace(
        metrics.score_figure, interval=None
    )
    assert metrics.to_dict().items() >= metrics.record().items()
    predictions, *others = metrics.tables(outputs, labels, IDS)
    assert predictions.name == 'predictions'
    assert [row[0] for row in predictions.rows] == IDS
    for table in (predictions, *others):
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_the_worst_are_wrong_and_labelled(case):
    task, labels, outputs = case
    found = task.worst(outputs, labels, 4)
    assert found
    assert 2 not in [wrong.index for wrong in found]
    assert task.worst(outputs, labels, 1) == found[:1]


def test_predictions_are_columns_of_texts(case):
    task, _, outputs = case
    columns = task.columns(task.predict(outputs), None)
    assert len({name for name, _ in columns}) == len(columns)
    assert all(len(cells) == EXAMPLES and all(isinstance(cell, str) for cell in cells) for _, cells in columns)


def test_an_unknown_kind_is_one_line():
    with pytest.raises(
        UserError, match=r"task 'x': kind='ordinal' is not one of single_label, multi_label, regression"
    ):
        Task('x', 'ordinal', NAMES)
