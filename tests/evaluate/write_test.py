"""The files of an evaluation: right, quoted, and never half-written."""

import csv
import json

import numpy as np
import pytest

from jtransfer.evaluate.metrics import classification_metrics
from jtransfer.evaluate.write import atomic_text, write_csv, write_evaluation

NAMES = ['plain', 'with, comma', 'a "quoted"\nname']


def read(path):
    with open(path, newline='', encoding='utf-8') as file:
        return list(csv.reader(file))


def test_evaluation_files_read_back(tmp_path):
    logits = np.float32([[2, 0, 0], [0, 2, 0], [2, 0, 0], [0, 3, 0]])
    labels = np.int32([0, 1, 1, 1])
    metrics = classification_metrics(logits, labels, NAMES)
    folder = tmp_path / 'run' / 'evaluation'
    write_evaluation(folder, metrics, logits, labels, ['a.png', 'b.png', 7, 'd.png'])
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


def test_lengths_must_agree(tmp_path):
    logits, labels = np.float32([[2, 0, 0], [0, 2, 0]]), np.int32([0, 1])
    metrics = classification_metrics(logits, labels, NAMES)
    with pytest.raises(ValueError, match='zip'):
        write_evaluation(tmp_path / 'new', metrics, logits, labels, ['only one'])
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


def test_text_appears_only_when_whole(tmp_path):
    path = tmp_path / 'deep' / 'note.txt'
    with atomic_text(path) as file:
        file.write('é\n')
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == 'é\n'.encode()
