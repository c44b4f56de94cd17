"""Hugging Face data sets on disk: read as they were written, a row group at a time, split by the names of the files."""

import io
import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from jtransfer.config.data import Data
from jtransfer.data.decode.images import UnreadableImageError
from jtransfer.data.sources.hf import load_hf
from jtransfer.data.sources.hf_pictures import Pictures
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
    np.testing.assert_array_equal(source.labels[''], [n % 2 for n in numbers])
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
    write(tmp_path / 'a.parquet', range(4), extra={'patient': list('ppqq'), 'sample_weight': [1.0, 2.0, 3.0, 4.0]})
    source = load_hf(str(tmp_path), Data())['train']
    assert source.groups == tuple('ppqq')
    np.testing.assert_array_equal(source.weights, [1, 2, 3, 4])
    assert source.notes == (
        "column 'image' holds the images, 'label' the label (single_label), 'patient' the group (no split divides "
        "one), 'sample_weight' the weight in the loss",
    )


def test_columns_that_are_not_read_are_said(tmp_path):
    for name, rows in (('train', range(4)), ('test', range(4, 6))):  # files of splits: their columns say none
        extra = {'split': ['a'] * len(rows), 'weight': [1.0] * len(rows)}
        write(tmp_path / f'{name}-00000-of-00001.parquet', rows, extra=extra)
    notes = load_hf(str(tmp_path), Data())['test'].notes
    assert notes[0] == (
        "column 'image' holds the images, 'label' the label (single_label); not read: 'weight', 'split'"
    )
    assert notes[1].startswith("column 'weight' does not weigh the loss")


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


def save_to_disk(folder, numbers, split=''):
    """What `datasets.Dataset.save_to_disk` writes: an Arrow stream a shard, and their names."""
    write(folder / 'x.parquet', numbers)
    table = parquet.read_table(folder / 'x.parquet')
    (folder / 'x.parquet').unlink()
    names = []
    for shard, start in enumerate(range(0, len(numbers), 3)):
        names.append(f'data-{shard:05}-of-00002.arrow')
        with pa.OSFile(str(folder / names[-1]), 'wb') as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table.slice(start, 3), max_chunksize=2)
    (folder / 'state.json').write_text(json.dumps({'_data_files': [{'filename': n} for n in names], '_split': split}))


def test_saved_data_sets(tmp_path):
    save_to_disk(tmp_path / 'one', range(6))
    check(pickle.loads(pickle.dumps(load_hf(str(tmp_path / 'one'), Data())['train'])), range(6))
    for split, numbers in (('train', range(5)), ('test', (8, 9))):
        save_to_disk(tmp_path / 'two' / split, numbers, split)
    (tmp_path / 'two' / 'dataset_dict.json').write_text('{"splits": ["train", "test"]}')
    sources = load_hf(str(tmp_path / 'two'), Data())
    check(sources['train'], range(5))
    check(sources['test'], (8, 9))
    (tmp_path / 'one' / 'data-00001-of-00002.arrow').unlink()
    with pytest.raises(UserError, match=r'its file data-00001-of-00002.arrow is missing'):
        load_hf(str(tmp_path / 'one'), Data())


def test_a_large_row_group_is_read_in_blocks(tmp_path):
    write(tmp_path / 'a.parquet', range(20))
    table = parquet.read_table(tmp_path / 'a.parquet')
    parquet.write_table(table, tmp_path / 'a.parquet', row_group_size=20, use_dictionary=False)
    pictures = Pictures([tmp_path / 'a.parquet'], 'image', block_bytes=3 * len(encoded(0)))
    for row in (0, 1, 5, 19, 2, 0, 7, 6):
        assert pictures[row] == encoded(row)
        assert sum(len(cells) for _, cells in pictures._kept) <= 6


def test_classes_of_all_parts_without_names(tmp_path):
    write(tmp_path / 'train-0.parquet', range(4), ['x', 'y', 'z', 'y'], names=())
    write(tmp_path / 'test-0.parquet', range(2), ['z', 'x'], names=())
    sources = load_hf(str(tmp_path), Data())
    assert sources['test'].class_names == ('x', 'y', 'z')
    np.testing.assert_array_equal(sources['test'].labels[''], [2, 0])


def test_lists_of_named_classes_are_several_labels(tmp_path):
    write(tmp_path / 'a.parquet', range(3), [[0, 1], [], [1]], names=())
    table = parquet.read_table(tmp_path / 'a.parquet')
    features = {'label': {'feature': {'_type': 'ClassLabel', 'names': list(NAMES)}, '_type': 'Sequence'}}
    table = table.replace_schema_metadata({'huggingface': json.dumps({'info': {'features': features}})})
    parquet.write_table(table, tmp_path / 'a.parquet')
    source = load_hf(str(tmp_path), Data())['train']
    assert (source.tasks[0].kind, source.class_names) == ('multi_label', NAMES)
    np.testing.assert_array_equal(source.labels[''], [[1, 1], [0, 0], [0, 1]])


def test_a_folder_of_a_part_goes_before_the_names_of_its_files(tmp_path):
    write(tmp_path / 'train/part-0.parquet', range(4))
    write(tmp_path / 'test/part-0.parquet', (8, 9))
    assert {part: len(source) for part, source in load_hf(str(tmp_path), Data()).items()} == {'train': 4, 'test': 2}


@pytest.mark.parametrize(
    ('file', 'labels', 'settings', 'message'),
    [
        ('fr/train/0.parquet', None, {}, r'holds several data sets \(en, fr\)'),
        ('en/test/0.parquet', [0, 2, 1, 1], {}, 'holds class 2, but there are 2 class names'),
        ('en/valid/0.parquet', ['a', 'b', 'a', 'b'], {}, 'string|other classes'),
        ('en/val/0.parquet', None, {'split_column': 'label'}, 'data.split_column=.* has no meaning'),
    ],
)
def test_splits_that_do_not_fit_are_one_clear_line(tmp_path, file, labels, settings, message):
    write(tmp_path / 'en/train/0.parquet', range(4))
    write(tmp_path / file, range(4), labels, names=() if labels and isinstance(labels[0], str) else NAMES)
    with pytest.raises(UserError, match=message) as caught:
        load_hf(str(tmp_path), Data(**settings))
    assert '\n' not in str(caught.value)


def test_splits_by_other_common_names(tmp_path):
    for split, numbers in (('training', range(6)), ('eval', (6, 7)), ('test_set', (8, 9))):
        write(tmp_path / f'{split}-00000-of-00001.parquet', numbers)
    sources = load_hf(str(tmp_path), Data())
    assert {part: len(source) for part, source in sources.items()} == {'train': 6, 'validation': 2, 'test': 2}


@pytest.mark.parametrize('saved', [False, True])
def test_another_split_stops_or_is_left_out_and_counted(tmp_path, saved):
    for split, numbers in (('train', range(4)), ('test', range(4, 6)), ('extra', range(6, 9))):
        if saved:
            save_to_disk(tmp_path / split, numbers)
        else:
            write(tmp_path / f'{split}-00000-of-00001.parquet', numbers)
    if saved:
        (tmp_path / 'dataset_dict.json').write_text('{"splits": ["train", "test", "extra"]}')
    with pytest.raises(UserError, match=r"beside them 'extra', .*data.train_split=train leaves it out"):
        load_hf(str(tmp_path), Data())
    sources = load_hf(str(tmp_path), Data(train_split='train'))
    assert {part: len(source) for part, source in sources.items()} == {'train': 4, 'test': 2}
    [_, note] = sources['train'].notes
    assert note.startswith("3 examples of the split 'extra' of")


def test_rows_of_another_part_are_counted(tmp_path):
    write(tmp_path / 'a.parquet', range(6), extra={'split': ['train'] * 4 + ['extra'] * 2})
    source = load_hf(str(tmp_path / 'a.parquet'), Data(train_split='train'))['train']
    assert (len(source), source.notes[-1].partition(' of ')[0]) == (4, '2 rows')


def test_a_description_names_no_file_elsewhere(tmp_path):
    save_to_disk(tmp_path / 'one', range(6))
    save_to_disk(tmp_path / 'two', range(6))
    for name in ('../one/data-00000-of-00002.arrow', str(tmp_path / 'one' / 'data-00000-of-00002.arrow'), None, 7):
        (tmp_path / 'two' / 'state.json').write_text(json.dumps({'_data_files': [{'filename': name}]}))
        with pytest.raises(UserError, match='which is no name of a file or folder beside it'):
            load_hf(str(tmp_path / 'two'), Data())
    for state in ({'_data_files': 7}, {'_data_files': ['x']}, {'_data_files': {}}, [], {}):
        (tmp_path / 'two' / 'state.json').write_text(json.dumps(state))
        with pytest.raises(UserError, match=r'is no list of names|is no object|has no data files'):
            load_hf(str(tmp_path / 'two'), Data())
    for splits in (['../one'], 'one', [['one']]):
        (tmp_path / 'dataset_dict.json').write_text(json.dumps({'splits': splits}))
        with pytest.raises(UserError, match=r'no name of a file or folder|is no list of names'):
            load_hf(str(tmp_path), Data())


def test_a_pipe_among_the_files_is_not_waited_for(tmp_path):
    write(tmp_path / 'a.parquet', range(6))
    os.mkfifo(tmp_path / 'b.parquet')
    with pytest.raises(UserError, match=r'b\.parquet is no regular file'):
        load_hf(str(tmp_path), Data())
