"""The table of predictions for unlabelled images."""

import csv
import pathlib

import numpy as np
import pytest

from jtransfer.report.predictions import to_results, write_task_predictions_csv
from jtransfer.tasks.base import Task, single_label


def test_columns_rows_and_quoting(tmp_path):
    path = tmp_path / 'predictions.csv'
    files = ['plain.png', pathlib.PurePosixPath('sub/a, "b".jpg'), 'ünï\ncode.webp']
    probabilities = np.float32([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
    write_task_predictions_csv(path, files, {'': probabilities}, [single_label(['cat', 'dog, small'])])
    with open(path, newline='', encoding='utf-8') as file:
        rows = list(csv.reader(file))
    assert rows == [
        ['class', 'probability', 'file'],
        ['dog, small', '0.750000', 'plain.png'],
        ['cat', '0.500000', 'sub/a, "b".jpg'],
        ['cat', '1.000000', 'ünï\ncode.webp'],
    ]


@pytest.mark.parametrize(('files', 'names'), [(['a'], ['x', 'y']), (['a', 'b'], ['x', 'y', 'z'])])
def test_lengths_must_agree(tmp_path, files, names):
    with pytest.raises(ValueError, match='do not fit'):
        write_task_predictions_csv(tmp_path / 'p.csv', files, {'': np.ones((2, 2))}, [single_label(names)])
    assert not (tmp_path / 'p.csv').exists()


KIND, SEEN = single_label(['cat', 'dog'], 'kind'), Task('seen', 'multi_label', ('sky', 'sea'))
AGE = Task('age', 'regression', ('years',))
LOG3 = float(np.log(3))


def read(path):
    with open(path, newline='', encoding='utf-8') as file:
        return list(csv.reader(file))


def test_results_of_several_tasks_in_one_table(tmp_path):
    outputs = {
        'kind': np.float32([[0, LOG3], [1, 1]]),
        'seen': np.float32([[LOG3, -LOG3], [LOG3, LOG3]]),
        'age': np.float32([[12.5], [1e6]]),
    }
    tasks = [KIND, SEEN, AGE]
    path = tmp_path / 'p.csv'
    write_task_predictions_csv(path, ['a', 'b'], to_results(tasks, outputs), tasks)
    assert read(path) == [
        [
            'kind class', 'kind probability', 'seen labels', 'seen probability sky', 'seen probability sea',
            'age years', 'file',
        ],
        ['dog', '0.750000', 'sky', '0.750000', '0.250000', '12.5', 'a'],
        ['cat', '0.500000', 'sky|sea', '0.750000', '0.750000', '1000000', 'b'],
    ]  # fmt: skip
    write_task_predictions_csv(path, ['a', 'b'], to_results(tasks, outputs), tasks, {'seen': (0.8, 0.2)})
    assert [row[2] for row in read(path)[1:]] == ['sea', 'sea']


def test_one_task_has_no_name_before_its_columns(tmp_path):
    task = single_label(['cat', 'dog'])
    results = to_results([task], {'': np.float32([[0, LOG3]])})
    write_task_predictions_csv(tmp_path / 'new.csv', ['a'], results, [task])
    assert read(tmp_path / 'new.csv') == [['class', 'probability', 'file'], ['dog', '0.750000', 'a']]
    with pytest.raises(ValueError, match=r'\(1, 2\) do not fit 2 files'):
        write_task_predictions_csv(tmp_path / 'new.csv', ['a', 'b'], results, [task])
