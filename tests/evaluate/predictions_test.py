"""The table of predictions for unlabelled images."""

import csv
import pathlib

import numpy as np
import pytest

from jtransfer.evaluate.predictions import write_predictions_csv


def test_columns_rows_and_quoting(tmp_path):
    path = tmp_path / 'predictions.csv'
    files = ['plain.png', pathlib.PurePosixPath('sub/a, "b".jpg'), 'ünï\ncode.webp']
    probabilities = np.float32([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
    write_predictions_csv(path, files, probabilities, ['cat', 'dog, small'])
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
        write_predictions_csv(tmp_path / 'p.csv', files, np.ones((2, 2)), names)
    assert not (tmp_path / 'p.csv').exists()
