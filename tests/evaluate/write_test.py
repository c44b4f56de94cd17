"""The files of an evaluation: right, quoted, and never half-written."""

import csv
import json

import numpy as np
import pytest

from jtransfer.evaluate.write import task_folder, write_csv, write_evaluation
from jtransfer.tasks.base import Task
from jtransfer.tasks.metrics.classification import classification_metrics
from jtransfer.tasks.metrics.several import measure, measure_tasks

NAMES = ['plain', 'with, comma', 'a "quoted"\nname']


def read(path):
    with open(path, newline='', encoding='utf-8') as file:
        return list(csv.reader(file))


def test_evaluation_files_read_back(tmp_path):
    logits = np.float32([[2, 0, 0], [0, 2, 0], [2, 0, 0], [0, 3, 0]])
    labels = np.int32([0, 1, 1, 1])
    metrics = classification_metrics(logits, labels, NAMES)
    folder = tmp_path / 'run' / 'evaluation'
    write_evaluation(folder, metrics, {'': logits}, {'': labels}, ['a.png', 'b.png', 7, 'd.png'])
    assert sorted(p.name for p in folder.iterdir()) == [
        'confusion_matrix.csv', 'metrics.json', 'per_class.csv', 'predictions.csv',
    ]  # fmt: skip
    assert json.loads((folder / 'metrics.json').read_text())['top1'] == 0.75
    predictions = read(folder / 'predictions.csv')
    probability = np.exp(2) / (np.exp(2) + 2)
    assert predictions[0] == ['id', 'label', 'predicted', 'probability', 'correct']
    assert predictions[1] == ['a.png', 'plain', 'plain', f'{probability:.6f}', '1']
    assert predictions[3] == ['7', 'with, comma', 'plain', f'{probability:.6f}', '0']
    matrix = read(folder / 'confusion_matrix.csv')
    assert matrix == [['label', *NAMES], [NAMES[0], '1', '0', '0'], [NAMES[1], '1', '2', '0'], [NAMES[2], *'000']]
    per_class = read(folder / 'per_class.csv')
    assert per_class[1] == ['plain', '1', '1.0', '0.5', str(2 / 3)]
    assert per_class[3] == [NAMES[2], '0', '', '', '']


def test_no_cell_runs_as_a_formula(tmp_path):
    names = ('=1', '+', 'ok')
    logits = np.float32([[2, 0, 0], [0, 2, 0]])
    labels = np.int32([0, 2])
    metrics = classification_metrics(logits, labels, names)
    write_evaluation(tmp_path, metrics, {'': logits}, {'': labels}, ['-5.png', '@x'])
    cells = {row[0]: row[1:3] for row in read(tmp_path / 'predictions.csv')}
    assert cells == {'id': ['label', 'predicted'], "'-5.png": ["'=1", "'=1"], "'@x": ['ok', "'+"]}
    assert read(tmp_path / 'confusion_matrix.csv')[0] == ['label', "'=1", "'+", 'ok']
    assert [row[0] for row in read(tmp_path / 'per_class.csv')] == ['class', "'=1", "'+", 'ok']


def test_negative_numbers_stay_numbers(tmp_path):
    write_csv(tmp_path / 't.csv', ('-n', 'x'), [(-0.5, f'{-1 / 3:.6g}'), (-3, '-inf')])
    assert read(tmp_path / 't.csv') == [["'-n", 'x'], ['-0.5', '-0.333333'], ['-3', '-inf']]


NAN = np.nan
SEEN = Task('seen/by', 'multi_label', ('sky', 'sea'))
SIZE = Task('size', 'regression', ('w', 'h'))
KIND = Task('kind', 'single_label', ('cat', 'dog'))
LOGITS, LABELS = np.float32([[2, -2], [1, 1], [-3, 0]]), np.float32([[1, 0], [NAN, NAN], [0, 1]])


def test_several_labels_read_back(tmp_path):
    metrics = measure(SEEN, LOGITS, LABELS)
    write_evaluation(tmp_path, metrics, {'': LOGITS}, {'': LABELS}, ['a', 'b', 'c'])
    high, low, one, lowest = (f'{1 / (1 + np.exp(-x)):.6f}' for x in (2, -2, 1, -3))
    assert read(tmp_path / 'predictions.csv') == [
        ['id', 'labelled', 'labels', 'predicted', 'probability sky', 'probability sea'],
        ['a', '1', 'sky', 'sky', high, low],
        ['b', '0', '', 'sky|sea', one, one],
        ['c', '1', 'sea', 'sea', lowest, '0.500000'],
    ]
    per_class = read(tmp_path / 'per_class.csv')
    assert per_class[1] == ['sky', '1', '1.0', '1.0', '0.5', '1.0', '1.0', '1.0']
    assert json.loads((tmp_path / 'metrics.json').read_text())['mean_average_precision'] == 1.0


def test_numbers_read_back(tmp_path):
    metrics = measure(SIZE, LOGITS, LABELS)
    write_evaluation(tmp_path, metrics, {'': LOGITS}, {'': LABELS}, ['a', 'b', 'c'])
    assert read(tmp_path / 'predictions.csv') == [
        ['id', 'true w', 'predicted w', 'true h', 'predicted h'],
        ['a', '1', '2', '0', '-2'],
        ['b', '', '1', '', '1'],
        ['c', '0', '-3', '1', '0'],
    ]
    header, first, _ = read(tmp_path / 'per_number.csv')
    row = dict(zip(header, first, strict=True))
    assert (row['number'], row['mae'], row['r2']) == ('w', '2.0', str(1 - 10 / 0.5))
    assert float(row['mae_low']) <= 2 <= float(row['mae_high'])
    assert json.loads((tmp_path / 'metrics.json').read_text())['unlabelled'] == 1


def test_several_heads_have_a_folder_each(tmp_path):
    tasks = [KIND, SEEN, SIZE]
    outputs = {task.name: LOGITS for task in tasks}
    labels = {'kind': np.int32([0, -1, 1]), 'seen/by': LABELS, 'size': LABELS}
    metrics = measure_tasks(tasks, outputs, labels)
    write_evaluation(tmp_path, metrics, outputs, labels, ['a', 'b', 'c'])
    assert sorted(p.name for p in tmp_path.iterdir()) == ['kind', 'metrics.json', 'seen%2Fby', 'size']
    assert json.loads((tmp_path / 'metrics.json').read_text())['tasks']['kind']['top1'] == 1.0
    assert read(tmp_path / 'kind' / 'predictions.csv')[2] == ['b', '', 'cat', '0.500000', '']


@pytest.mark.parametrize(('name', 'folder'), [('a b', 'a b'), ('..', '%2E%2E'), ('a/b', 'a%2Fb'), ('v1.5', 'v1.5')])
def test_a_task_cannot_leave_the_folder(name, folder):
    assert task_folder(name) == folder


def test_lengths_must_agree(tmp_path):
    logits, labels = np.float32([[2, 0, 0], [0, 2, 0]]), np.int32([0, 1])
    metrics = classification_metrics(logits, labels, NAMES)
    with pytest.raises(ValueError, match='1 ids, 2 outputs and 2 labels'):
        write_evaluation(tmp_path / 'new', metrics, {'': logits}, {'': labels}, ['only one'])
    assert not (tmp_path / 'new').exists()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'table.csv'
    write_csv(path, ['a'], [['1']])

    def rows():
        yield ['2']
        raise RuntimeError('interrupted')

    with pytest.raises(RuntimeError, match='interrupted'):
        write_csv(path, ['a'], rows())
    assert path.read_text() == 'a\n1\n'
    assert [p.name for p in tmp_path.iterdir()] == ['table.csv']
