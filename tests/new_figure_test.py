"""A figure of one's own beside those of a kind of task: in the records, on the page and in the log."""

import json

import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.experiments.run import finetune
from jtransfer.tasks import Task, single_label
from jtransfer.tasks.metrics import added
from jtransfer.tasks.metrics.added import add_figure
from jtransfer.tasks.metrics.several import measure_tasks


def taken_for_the_first(task, outputs, labels):
    return np.mean(outputs.argmax(axis=1) == 0)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """The figure, known while a test runs."""
    monkeypatch.setattr(added, '_ADDED', {})
    for _ in range(2):  # the second time changes nothing
        add_figure('single_label', 'taken for the first', taken_for_the_first, unit='share')


@pytest.mark.usefixtures('compile_once')
def test_a_run_tells_it_everywhere(tiny_config, nowhere):
    config = tiny_config(**{'data.validation_fraction': 0.3, 'train.steps': 2, 'run_dir': 'run'})
    result = finetune.run(config)
    (figure,) = result.metrics.added
    assert json.loads((nowhere / 'run/result.json').read_text())['metrics']['']['figures'] == {
        'taken for the first': figure.value
    }
    assert 'Taken for the first' in (nowhere / 'run/report.html').read_text()
    lines = [json.loads(line) for line in (nowhere / 'run/metrics.jsonl').read_text().splitlines()]
    assert any('validation/taken for the first' in line for line in lines)


def test_each_head_of_its_kind_has_it():
    tasks = (single_label(('a', 'b'), 'kind'), Task('size', 'regression', ('size',)))
    outputs = {'kind': np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]), 'size': np.array([[1.0], [2.0], [3.0]])}
    labels = {'kind': np.array([0, 1, -1]), 'size': np.array([[1.0], [2.0], [4.0]])}
    metrics = measure_tasks(tasks, outputs, labels)
    assert metrics.logged()['taken for the first/kind'] == 0.5  # of the two that have a label
    assert metrics.by_task['size'].added == ()
    assert metrics.to_dict()['tasks']['kind']['figures'] == {'taken for the first': 0.5}


def test_what_cannot_be_added_is_told():
    with pytest.raises(UserError, match="there is a figure 'taken for the first' of single_label already"):
        add_figure('single_label', 'taken for the first', lambda task, outputs, labels: 0.0)
    with pytest.raises(UserError, match=r"kind='single' is not one of single_label"):
        add_figure('single', 'mine', taken_for_the_first)
