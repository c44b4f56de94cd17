"""Tables of image paths: columns and kinds, parts, groups, weights, and what is wrong with them in one line."""

import csv
import dataclasses
import pickle
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from jtransfer.config.data import Data
from jtransfer.data.decode.images import UnreadableImageError, decode_image
from jtransfer.data.sources import table as table_source
from jtransfer.data.sources.opening import open_source
from jtransfer.errors import UserError
from jtransfer.report.predictions import write_task_predictions_csv
from jtransfer.tasks.base import single_label

NAMES = ('a b.png', 'ünï.png', 'sub/c.png', 'd.png', 'e.png', 'f.png')


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pictures')
    (folder / 'sub').mkdir()
    random = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(random.integers(0, 255, (5, 7, 3), dtype=np.uint8)).save(folder / name)
    return folder


def write(path, columns, **options):
    with open(path, 'w', newline='', encoding=options.pop('encoding', 'utf-8')) as file:
        writer = csv.writer(file, **options)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return str(path)


def table(folder, columns, name='table.csv', **options):
    return write(folder / name, {'path': NAMES, **columns}, **options)


LABELS = {'label': ['cat', 'dog'] * 3}


def load_table(path, data, form='', known=()):
    return table_source.load_table(path, data, form or ('parquet' if path.endswith('.parquet') else 'csv'), known)


def test_pictures_labels_and_names_are_those_of_the_table(pictures):
    source = load_table(table(pictures, LABELS), Data())['train']
    assert source.class_names == ('cat', 'dog')
    assert source.ids == NAMES
    np.testing.assert_array_equal(source.labels[''], [0, 1] * 3)
    for index, name in enumerate(NAMES):
        np.testing.assert_array_equal(source[index]['image'], decode_image(pictures / name))
        assert source.content(index) == (pictures / name).read_bytes()
    assert source.groups is None
    assert source.weights is None
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again[1]['image'], source[1]['image'])


@pytest.mark.parametrize('options', [{'encoding': 'utf-8-sig'}, {'quoting': csv.QUOTE_ALL}])
def test_byte_order_mark_and_quotes(pictures, options):
    assert load_table(table(pictures, LABELS, **options), Data())['train'].class_names == ('cat', 'dog')


def test_tabs_commas_in_names_and_a_folder_of_its_own(pictures, tmp_path):
    path = write(tmp_path / 't.tsv', {'File': NAMES, 'Class': ['one, two', 'three'] * 3}, delimiter='\t')
    source = load_table(path, Data(data_dir=str(pictures)))['train']
    assert source.class_names == ('one, two', 'three')
    assert source[0]['image'].shape == (5, 7, 3)


def test_our_own_tables_come_back(tmp_path):
    names = ('-5.png', '=x.png', "'+.png", 'plain.png')
    for name in names:
        Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(tmp_path / name)
    write_task_predictions_csv(tmp_path / 'p.csv', names, {'': np.eye(4, 3)}, [single_label(('+', '@b', "'c"))])
    source = load_table(str(tmp_path / 'p.csv'), Data())['train']
    assert source.ids == names
    assert [source.class_names[label] for label in source.labels['']] == ['+', '@b', "'c", '+']
    assert source[1]['image'].shape == (5, 7, 3)


def test_names_in_either_form_of_unicode(pictures):
    decomposed = [unicodedata.normalize('NFD', name) for name in NAMES]
    path = write(pictures / 'nfd.csv', {'path': decomposed, **LABELS})
    assert load_table(path, Data())['train'][1]['image'].shape == (5, 7, 3)


@pytest.mark.parametrize('form', ['csv', 'parquet'])
def test_parts_groups_and_weights(pictures, form):
    columns = {
        **LABELS,
        'split': ['train'] * 4 + ['val', 'test'],
        'patient': list('ppqqrs'),
        'sample_weight': [1, 2, 0.5, 1, 1, 1],
    }
    if form == 'csv':
        path = table(pictures, columns, 'parts.csv')
    else:
        path = str(pictures / 'parts.parquet')
        parquet.write_table(pa.table({'path': NAMES, **columns}), path)
    sources = load_table(path, Data())
    assert {part: source.ids for part, source in sources.items()} == {
        'train': NAMES[:4],
        'validation': NAMES[4:5],
        'test': NAMES[5:],
    }
    assert sources['train'].groups == tuple('ppqq')
    np.testing.assert_array_equal(sources['train'].weights, np.float32([1, 2, 0.5, 1]))
    assert sources['test'].class_names == ('cat', 'dog')


def test_parts_under_other_names(pictures):
    path = table(pictures, {**LABELS, 'fold': ['A'] * 4 + ['B'] * 2}, 'named.csv')
    data = Data(split_column='fold', train_split='A', test_split='B')
    assert {part: len(source) for part, source in load_table(path, data).items()} == {'train': 4, 'test': 2}


def test_integers_are_classes_in_order_of_number(pictures):
    source = load_table(table(pictures, {'label': [10, 9, 10, 9, 2, 2]}), Data())['train']
    assert source.class_names == ('2', '9', '10')
    assert source.tasks[0].kind == 'single_label'


def test_numbers_are_predicted_and_empty_ones_are_not_labelled(pictures):
    source = load_table(table(pictures, {'target': [1.5, '', 2, 3, 4, 5]}), Data())['train']
    assert source.tasks[0].kind == 'regression'
    assert source.class_names == ('target',)
    np.testing.assert_array_equal(source.labels[''], np.float32([[1.5], [np.nan], [2], [3], [4], [5]]))


def test_several_labels_in_one_column_or_in_several(pictures):
    one = table(pictures, {'labels': ['red|big', '', 'big', 'red', 'big', 'red']}, 'one.csv')
    several = table(pictures, {'big': [1, 0, 1, 0, 1, 0], 'red': [1, 0, 0, 1, 0, 1]}, 'several.csv')
    first = load_table(one, Data(task='multi_label'))['train']
    second = load_table(several, Data(task='multi_label', label_columns=('big', 'red')))['train']
    assert first.tasks == second.tasks
    np.testing.assert_array_equal(first.labels[''], second.labels[''])


def test_a_head_a_column(pictures):
    path = table(pictures, {'kind': ['x', 'y', '', 'x', 'y', 'x'], 'age': [1.5, 2, 3, '', 5, 6]}, 'heads.csv')
    source = load_table(path, Data(task='heads', label_columns=('kind', 'age')))['train']
    assert [(task.name, task.kind) for task in source.tasks] == [('kind', 'single_label'), ('age', 'regression')]
    np.testing.assert_array_equal(source.labels['kind'], [0, 1, -1, 0, 1, 0])
    assert np.isnan(source.labels['age'][3, 0])
    assert source[2]['labels']['kind'] == -1


def test_missing_files_are_left_out_and_counted_when_asked(pictures):
    names = [*NAMES[:5], 'gone.png']
    path = write(pictures / 'gone.csv', {'path': names, **LABELS})
    with pytest.raises(UserError, match=r'row 6: there is no file .*gone\.png;.*skip_unreadable'):
        load_table(path, Data())
    source = load_table(path, Data(skip_unreadable=True))['train']
    assert source.missing == 1
    assert source.ids == NAMES[:5]


@pytest.mark.parametrize(
    ('columns', 'settings', 'message'),
    [
        ({'lable': list('aabbab')}, {}, 'has no column called label, .*, but path, lable: name it with'),
        (LABELS, {'label_columns': ('labl',)}, "no column 'labl'. Did you mean 'label'"),
        (LABELS, {'group_column': 'patient'}, "data.group_column: .* has no column 'patient'"),
        ({'a': [1] * 6, 'b': [0] * 6}, {'label_columns': ('a', 'b')}, 'need data.task=multi_label'),
        ({'label': ['cat'] * 6}, {}, r"has 1 class \('cat'\)"),
        ({'label': [1.5, 'x', 2, 3, 4, 5]}, {}, r"holds numbers, such as 1.5, but also 'x' \(row 2\)"),
        (
            {**LABELS, 'weight': [1, -1, 1, 1, 1, 1]},
            {'weight_column': 'weight'},
            "row 2: weight '-1' must be a number of at least 0",
        ),
        ({**LABELS, 'split': ['train', 'trian'] * 3}, {}, "row 2: 'trian' is none of train, validation and test"),
        ({**LABELS, 'split': ['val', 'test'] * 3}, {}, 'has no row of the training part'),
        (
            {**LABELS, 'split': ['train'] * 3 + ['test'] * 3},
            {'train_split': 'a'},
            "data.train_split='a': column 'split'",
        ),
        (LABELS, {'test_split': 'a'}, "data.test_split='a' names a part, and .* has no column of parts"),
        (
            {'label': ['cat'] * 4 + ['dog'] * 2, 'split': ['train'] * 4 + ['test'] * 2},
            {},
            r"\(train\): class 'dog' has no examples",
        ),
    ],
)
def test_each_mistake_is_one_clear_line(pictures, columns, settings, message):
    path = table(pictures, columns, 'wrong.csv')
    with pytest.raises(UserError, match=message) as caught:
        load_table(path, dataclasses.replace(Data(), **settings))
    assert '\n' not in str(caught.value)


def test_a_path_that_is_there_twice_names_both_rows(pictures):
    path = write(pictures / 'twice.csv', {'path': [*NAMES[:5], NAMES[1]], **LABELS})
    with pytest.raises(UserError, match=r'ünï.png is there twice, in row 2 and row 6'):
        load_table(path, Data())


@pytest.mark.parametrize(('text', 'message'), [('', 'is no table'), ('path,label\n', 'has no rows')])
def test_an_empty_table(tmp_path, text, message):
    (tmp_path / 'empty.csv').write_text(text)
    with pytest.raises(UserError, match=message):
        load_table(str(tmp_path / 'empty.csv'), Data())


def test_a_file_that_is_not_there_names_the_nearest(pictures):
    table(pictures, LABELS, 'labels.csv')
    with pytest.raises(UserError, match=r"there is no file .*label\.csv. Did you mean 'labels.csv'"):
        load_table(str(pictures / 'label.csv'), Data())


def test_paths_as_other_systems_write_them(pictures):
    paths = [' a b.png', 'ünï.png ', 'sub\\c.png', str(pictures / 'd.png'), './e.png', 'f.png']
    source = load_table(write(pictures / 'odd.csv', {'path': paths, **LABELS}), Data())['train']
    assert source.ids == ('a b.png', 'ünï.png', 'sub/c.png', str(pictures / 'd.png'), './e.png', 'f.png')
    assert all(source[index]['image'].shape == (5, 7, 3) for index in range(6))
    twice = write(pictures / 'odd.csv', {'path': [*paths[:5], 'sub/../d.png'], **LABELS})
    with pytest.raises(UserError, match=r'sub/\.\./d.png is there twice, in row 4 and row 6'):
        load_table(twice, Data())


def test_rows_of_other_parts_than_the_named_ones_and_their_classes_are_left_out(pictures):
    columns = {'label': [*LABELS['label'][:4], 'cow', 'dog'], 'split': ['a'] * 4 + ['extra', 'test']}
    path = table(pictures, columns, 'extra.csv')
    sources = load_table(path, Data(train_split='a'))
    assert [note for note in sources['train'].notes if 'rows' in note or 'row ' in note] == [
        f"1 row of {path} left out, of other parts: 'extra'"
    ]
    assert {part: source.ids for part, source in sources.items()} == {'train': NAMES[:4], 'test': NAMES[5:]}
    assert sources['train'].class_names == ('cat', 'dog')


def test_classes_that_are_not_wanted_need_no_training_image(pictures):
    columns = {'label': ['cat', 'dog', 'cat', 'dog', 'cow', 'dog'], 'split': ['train'] * 4 + ['test'] * 2}
    path = table(pictures, columns, 'cow.csv')
    assert load_table(path, Data(classes=('cat', 'dog')))['train'].class_names == ('cat', 'cow', 'dog')
    with pytest.raises(UserError, match="class 'cow' has no examples"):
        load_table(path, Data())


def test_typed_columns_of_parquet(pictures):
    columns = {
        'flag': [True, False, True, False, None, True],
        'size': pa.array([1, 2, None, 1, 2, 1], pa.int8()),
        'age': [1.25, None, 3.0, 4.0, 5.0, 6.0],
        'kind': pa.array(list('xyxyxy')).dictionary_encode(),
    }
    path = str(pictures / 'typed.parquet')
    parquet.write_table(pa.table({'path': NAMES, **columns}), path)
    source = load_table(path, Data(task='heads', label_columns=tuple(columns)))['train']
    assert [task.class_names for task in source.tasks] == [('false', 'true'), ('1', '2'), ('age',), ('x', 'y')]
    np.testing.assert_array_equal(source.labels['flag'], [1, 0, 1, 0, -1, 1])
    np.testing.assert_array_equal(source.labels['size'], [0, 1, -1, 0, 1, 0])
    np.testing.assert_array_equal(source.labels['age'][:, 0], np.float32([1.25, np.nan, 3, 4, 5, 6]))


def test_an_unreadable_picture_is_named(pictures):
    (pictures / 'broken.png').write_bytes(b'no picture')
    source = load_table(write(pictures / 'broken.csv', {'path': [*NAMES[:5], 'broken.png'], **LABELS}), Data())['train']
    with pytest.raises(UnreadableImageError, match=r'broken\.png is truncated or not an image'):
        _ = source[5]


@pytest.mark.parametrize(
    ('columns', 'settings', 'message'),
    [
        ({'a': [1, 0] * 3, 'b': [1, 0, 2, 0, 1, 0]}, {'task': 'multi_label'}, "'b', row 3: '2' is neither 0 nor 1"),
        ({'a': [1, 0] * 3, 'b c': [1, 0] * 3}, {'task': 'heads'}, "column 'b c' cannot name a head"),
        ({'a': [1, 0] * 3, 'b': ['x'] * 6}, {'task': 'heads'}, "column 'b' has 1 class: a head needs at least 2"),
        ({'a': [1, 0] * 3, 'b': ['x', 1] * 3}, {'task': 'regression'}, "'b', row 1: 'x' is not a finite number"),
        ({'a': [1, 0] * 3, 'b': ['inf', 1] * 3}, {'task': 'regression'}, "'b', row 1: 'inf' is not a finite number"),
    ],
)
def test_cells_that_do_not_fit_the_task(pictures, columns, settings, message):
    data = Data(label_columns=tuple(columns), **settings)
    with pytest.raises(UserError, match=message) as caught:
        load_table(table(pictures, columns, 'cells.csv'), data)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.parquet', b'no parquet', 'is no parquet file'),
        ('a.csv', b'path;label\na.png;cat\n', 'columns are separated by commas'),
        ('a.csv', b'path,label\na.png,cat,dog\n', 'is no table of comma-separated values in UTF-8: .*Expected 2'),
        ('a.csv', b'path,label\n\xe9.png,cat\n', 'is no table of comma-separated values in UTF-8'),
        ('a.csv', b'path,label,label\na.png,cat,dog\n', "has 2 columns called 'label'"),
        ('a.csv', b'path,label\n,cat\n', 'row 1 has no image path'),
    ],
)
def test_files_that_are_no_table(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load_table(str(tmp_path / name), Data())
    assert '\n' not in str(caught.value)


def test_the_form_is_what_is_said_whatever_the_file_is_called(pictures):
    columns = {'path': NAMES, **LABELS}
    parquet.write_table(pa.table(columns), pictures / 'table.dat')
    assert load_table(str(pictures / 'table.dat'), Data(), 'parquet')['train'].ids == NAMES
    with pytest.raises(UserError, match='is no parquet file'):
        load_table(table(pictures, LABELS), Data(), 'parquet')


TIMES = [1700000000, 1700000001, 1700003600, 1700007200, 16777216, 16777217]


@pytest.mark.parametrize('form', ['csv', 'int64', 'float64', 'decimal'])
@pytest.mark.parametrize('task', ['regression', 'single_label', 'heads'])
def test_large_numbers_keep_every_digit(pictures, form, task):
    kinds = {'int64': pa.int64(), 'float64': pa.float64(), 'decimal': pa.decimal128(20, 0)}
    if form == 'csv':
        path = table(pictures, {'time': TIMES}, 'times.csv')
    else:
        path = str(pictures / f'{form}.parquet')
        parquet.write_table(pa.table({'path': NAMES, 'time': pa.array(TIMES).cast(kinds[form])}), path)
    source = load_table(path, Data(task=task, label_columns=('time',)))['train']
    if source.tasks[0].kind == 'single_label':
        assert source.class_names == tuple(map(str, sorted(TIMES)))
        return
    labels = source.labels['time'] if task == 'heads' else source.labels['']
    assert labels[:, 0].tolist() == TIMES


def test_a_weight_in_grams_weighs_nothing_until_it_is_named(pictures):
    path = table(pictures, {**LABELS, 'Weight': [1200, 8, 950, 7, 1100, 9]}, 'grams.csv')
    source = load_table(path, Data())['train']
    assert source.weights is None
    assert source.notes == (
        "column 'path' holds the images, 'label' the label (single_label); not read: 'Weight'",
        "column 'Weight' does not weigh the loss: data.weight_column=Weight would make it do so",
    )
    assert load_table(path, Data(weight_column='Weight'))['train'].weights.tolist() == [1200, 8, 950, 7, 1100, 9]


@pytest.mark.parametrize(
    ('values', 'settings', 'parts', 'line'),
    [
        (['train'] * 4 + ['test'] * 2, {}, {'train': 4, 'test': 2}, "'set' the part"),
        (['A', 'B'] * 3, {}, {'train': 6}, "not read: 'set'"),
        (['train', 'test'] * 3, {'split_column': 'none'}, {'train': 6}, "not read: 'set'"),
        (['A'] * 4 + ['B'] * 2, {'train_split': 'A', 'test_split': 'B'}, {'train': 4, 'test': 2}, "'set' the part"),
    ],
)
def test_a_column_that_may_be_of_parts_is_where_it_names_one(pictures, values, settings, parts, line):
    sources = load_table(table(pictures, {**LABELS, 'set': values}, 'set.csv'), Data(**settings))
    assert {part: len(source) for part, source in sources.items()} == parts
    assert line in '\n'.join(sources['train'].notes)


def test_a_part_that_is_not_understood_says_how_to_go_on(pictures):
    for name, values in (('split', ['A', 'B'] * 3), ('set', ['train', 'train', 'train', 'holdback'] + ['train'] * 2)):
        with pytest.raises(UserError, match=r'is none of train, .*data\.train_split.*data\.split_column another'):
            load_table(table(pictures, {**LABELS, name: values}, 'parts.csv'), Data())


def test_notes_stay_where_classes_are_chosen(pictures):
    path = table(pictures, {'label': ['cat', 'dog', 'cow'] * 2}, 'three.csv')
    sources = open_source(Data(source=f'csv:{path}', classes=('cow', 'cat')))
    assert sources['train'].notes == ("column 'path' holds the images, 'label' the label (single_label)",)


def test_paths_out_of_the_folder_are_read_unless_that_is_forbidden(pictures, tmp_path):
    names = [str(pictures / 'd.png'), 'a.png', '../elsewhere.png']
    Image.new('RGB', (3, 3)).save(tmp_path / 'elsewhere.png')
    (tmp_path / 'own').mkdir()
    Image.new('RGB', (3, 3)).save(tmp_path / 'own' / 'a.png')
    path = write(tmp_path / 'own' / 'table.csv', {'path': names, 'label': ['cat', 'dog', 'cat']})
    assert len(load_table(path, Data())['train']) == 3
    with pytest.raises(UserError) as raised:
        load_table(path, Data(confine_paths=True, skip_unreadable=True))
    assert str(raised.value) == (
        f'{path}, row 1 (and 1 other rows): {pictures / "d.png"} leads out of {tmp_path / "own"}, which '
        'data.confine_paths forbids'
    )
    path = write(tmp_path / 'own' / 'table.csv', {'path': names[1:], 'label': ['dog', 'cat']})
    with pytest.raises(UserError, match=r'row 2: \.\./elsewhere\.png leads out of'):
        load_table(path, Data(confine_paths=True))


def test_a_path_with_nul_is_refused_in_a_line_or_left_out(pictures):
    path = str(pictures / 'nul.parquet')
    parquet.write_table(pa.table({'path': [*NAMES[:5], 'a\0.png'], 'label': LABELS['label']}), path)
    assert len(load_table(path, Data(skip_unreadable=True), 'parquet')['train']) == 5
    with pytest.raises(UserError, match=r'row 6: a\\x00\.png leads out of .*, which data\.confine_paths forbids$'):
        load_table(path, Data(skip_unreadable=True, confine_paths=True), 'parquet')
    with pytest.raises(UserError, match=r'row 6: there is no file '):
        load_table(path, Data(), 'parquet')


def test_two_names_for_one_part_are_asked_about(pictures):
    values = ['train', 'Train', 'dev', 'dev', 'eval', 'test']
    path = table(pictures, {'label': ['cat', 'dog'] * 3, 'split': values}, 'two.csv')
    for known in ((), (single_label(('cat', 'dog')),)):
        with pytest.raises(UserError) as raised:
            load_table(path, Data(), known=known)
        assert str(raised.value) == (
            f"{path}: column 'split' has both 'dev' and 'eval': say which one with data.validation_split"
        )
    for settings, test in (({'validation_split': 'dev'}, NAMES[5:]), ({'test_split': 'eval'}, NAMES[4:5])):
        sources = load_table(path, Data(**settings))
        ids = {part: source.ids for part, source in sources.items()}
        assert ids == {'train': NAMES[:2], 'validation': NAMES[2:4], 'test': test}
