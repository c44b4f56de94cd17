"""Hugging Face data sets on disk: read as they were written, a row group at a time, split by the names of the files."""

import io
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from jtransfer.config_data import Data
from jtransfer.data.hf_source import load_hf
from jtransfer.data.images import UnreadableImageError
from jtransfer.errors import UserError

NAMES = ('ant', 'bee')


def picture(number):
    return np.random.default_rng(number).integers(0, 255, (6, 5, 3), dtype=np.uint8)


def encoded(number):
    buffer = io.BytesIO()
    Image.fromarray(picture(number)).save(buffer, 'PNG')
    return buffer.getvalue()


def write(path, numbers, labels=None, *, struct=True, names=NAMES, extra=None, empty=()):
    cells = [None if n in empty else encoded(n) for n in numbers]
    if struct:
        cells = [{'bytes': cell, 'path': f'{n}.png'} for n, cell in zip(numbers, cells, strict=True)]
        image = pa.array(cells, pa.struct([('bytes', pa.binary()), ('path', pa.string())]))
    else:
        image = pa.array(cells, pa.binary())
    labels = [n % 2 for n in numbers] if labels is None else labels
    table = pa.table({'image': image, 'label': labels, **(extra or {})})
    if names:
        features = {'image': {'_type': 'Image'}, 'label': {'_type': 'ClassLabel', 'names': list(names)}}
        table = table.replace_schema_metadata({'huggingface': json.dumps({'info': {'features': features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path, row_group_size=2)


def check(source, numbers):
    np.testing.assert_array_equal(source.labels, [n % 2 for n in numbers])
    for index, number in enumerate(numbers):
        np.testing.assert_array_equal(source[index]['image'], picture(number))
        assert source.content(index) == encoded(number)


@pytest.mark.parametrize(
    'files',
    [
        ('data/train-00000-of-00002.parquet', 'data/train-00001-of-00002.parquet', 'data/test-00000-of-00001.parquet'),
        ('train/0000.parquet', 'train/0001.parquet', 'test/0000.parquet'),
        ('default/train/0000.parquet', 'default/train/0001.parquet', 'default/test/0000.parquet'),
    ],
)
def test_splits_are_those_of_the_names(tmp_path, files):
    for file, numbers in zip(files, ((0, 1, 2, 3, 4), (5, 6, 7), (8, 9)), strict=True):
        write(tmp_path / file, numbers)
    sources = load_hf(str(tmp_path), Data())
    assert set(sources) == {'train', 'test'}
    assert sources['train'].class_names == NAMES
    check(sources['train'], range(8))
    check(sources['test'], (8, 9))
    assert sources['train'].ids[:2] == ('train/0', 'train/1')
    assert sources['test'].ids == ('test/0', 'test/1')


@pytest.mark.parametrize('struct', [True, False])
def test_one_file_is_undivided_or_divided_by_a_column(tmp_path, struct):
    write(tmp_path / 'all.parquet', range(6), struct=struct)
    check(load_hf(str(tmp_path / 'all.parquet'), Data())['train'], range(6))
    write(tmp_path / 'split.parquet', range(6), struct=struct, extra={'split': ['train'] * 4 + ['test'] * 2})
    sources = load_hf(str(tmp_path / 'split.parquet'), Data())
    check(sources['train'], range(4))
    check(sources['test'], (4, 5))


def test_labels_without_class_names_are_those_of_a_table(tmp_path):
    write(tmp_path / 'a.parquet', range(4), ['x', 'y', 'x', 'y'], names=())
    assert load_hf(str(tmp_path), Data())['train'].class_names == ('x', 'y')


def test_groups_and_weights(tmp_path):
    write(tmp_path / 'a.parquet', range(4), extra={'patient': list('ppqq'), 'weight': [1.0, 2.0, 3.0, 4.0]})
    source = load_hf(str(tmp_path), Data())['train']
    assert source.groups == tuple('ppqq')
    np.testing.assert_array_equal(source.weights, [1, 2, 3, 4])


def test_threads_and_pickled_copies_read_the_same(tmp_path):
    write(tmp_path / 'a.parquet', range(12))
    source = pickle.loads(pickle.dumps(load_hf(str(tmp_path), Data())['train']))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda index: source[index]['image'], reversed(range(12))))
    for index, image in zip(reversed(range(12)), found, strict=True):
        np.testing.assert_array_equal(image, picture(index))
    pickle.loads(pickle.dumps(source))


def test_a_row_without_a_picture_is_unreadable(tmp_path):
    write(tmp_path / 'a.parquet', range(4), empty=(2,))
    source = load_hf(str(tmp_path), Data())['train']
    with pytest.raises(UnreadableImageError, match='train/2 has no picture'):
        _ = source[2]


@pytest.mark.parametrize(
    ('files', 'settings', 'message'),
    [
        ({}, {}, 'holds no .parquet files'),
        ({'dev-0.parquet': range(4), 'other-0.parquet': range(4)}, {}, 'has no split called train, but dev, other'),
        ({'train-0.parquet': range(4)}, {'test_split': 'tset'}, "data.test_split='tset': .* has no such split"),
        ({'train-0.parquet': range(4)}, {'image_column': 'img'}, "has no column 'img'. Did you mean 'image'"),
        ({'train-0.parquet': range(4)}, {'image_column': 'label', 'label_columns': ('image',)}, 'no pictures'),
        ({'train-0.parquet': (0, 2)}, {}, "class 'bee' has no examples"),
    ],
)
def test_each_mistake_is_one_clear_line(tmp_path, files, settings, message):
    for file, numbers in files.items():
        write(tmp_path / file, numbers)
    with pytest.raises(UserError, match=message) as caught:
        load_hf(str(tmp_path), Data(**settings))
    assert '\n' not in str(caught.value)


def test_other_classes_in_another_part_are_refused(tmp_path):
    write(tmp_path / 'train-0.parquet', range(4))
    write(tmp_path / 'test-0.parquet', range(4), names=('bee', 'ant'))
    with pytest.raises(
        UserError, match='the test part has other classes than the training part: bee, ant and ant, bee'
    ):
        load_hf(str(tmp_path), Data())
