"""Every kind of source opens through `data.source`; what a kind does not read is refused."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from jtransfer.config import Data
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.data.sources.opening import given_sources, open_source, source_of_path
from jtransfer.errors import UserError
from jtransfer.tasks.base import Task
from tests.data.sources.tfds_test import prepare

NAMES = ('ant', 'bee', 'cat')
NUMBERS = [0, 1, 2, 0, 1, 2]


def picture(index):
    return np.random.default_rng(index).integers(0, 256, (4, 6, 3), np.uint8)


@pytest.fixture(scope='module')
def here(tmp_path_factory):
    """The same six pictures of three classes in every form on disk."""
    folder = tmp_path_factory.mktemp('here')
    encoded, rows = [], []
    for index, number in enumerate(NUMBERS):
        path = folder / 'photos' / NAMES[number] / f'{index}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(index)).save(path)
        encoded.append(path.read_bytes())
        rows.append((str(path.relative_to(folder)), NAMES[number]))
    with open(folder / 'table.csv', 'w', newline='') as file:
        csv.writer(file).writerows([('path', 'label'), *rows])
    paths, labels = zip(*rows, strict=True)
    parquet.write_table(pa.table({'path': paths, 'label': labels}), folder / 'table.parquet')
    (folder / 'hub').mkdir()
    parquet.write_table(pa.table({'image': pa.array(encoded), 'label': labels}), folder / 'hub' / 'train-0.parquet')
    np.savez(folder / 'arrays.npz', images=[picture(i) for i in range(6)], labels=NUMBERS, class_names=NAMES)
    return folder


FORMS = {
    'folder': 'folder:{}/photos',
    'csv': 'csv:{}/table.csv',
    'parquet': 'parquet:{}/table.parquet',
    'hf': 'hf:{}/hub',
    'npz': 'npz:{}/arrays.npz',
}


@pytest.mark.parametrize('form', FORMS)
def test_every_form_gives_the_same_pictures_and_classes(here, form):
    sources = open_source(Data(source=FORMS[form].format(here)))
    assert list(sources) == ['train']
    source = sources['train']
    assert source.class_names == NAMES
    pictures = {source[index]['image'].tobytes(): NAMES[source.labels[''][index]] for index in range(6)}
    assert pictures == {picture(index).tobytes(): NAMES[number] for index, number in enumerate(NUMBERS)}


def test_built_in_sources_and_prepared_data_sets_open(tmp_path):
    assert len(open_source(Data(source='digits'))['train']) == 1797
    assert {part: len(source) for part, source in open_source(Data(source='glyphs')).items()} == {
        'train': 40_000,
        'validation': 4_700,
        'test': 4_700,
    }
    prepare(tmp_path, {'train': 3, 'test': 2})
    sources = open_source(Data(source='tfds:tiny', data_dir=str(tmp_path)))
    assert {part: len(source) for part, source in sources.items()} == {'train': 3, 'test': 2}
    example = open_source(Data(source='tfds:tiny', data_dir=str(tmp_path), classes=('dark', 'light')))['train'][0]
    assert example['labels'][''] == 1


@pytest.mark.parametrize('form', FORMS)
def test_chosen_classes_are_numbered_in_the_order_asked_for(here, form):
    source = open_source(Data(source=FORMS[form].format(here), classes=('cat', 'ant')))['train']
    assert source.class_names == ('cat', 'ant')
    assert sorted(source.labels[''].tolist()) == [0, 0, 1, 1]
    for index in range(4):
        example = source[index]
        assert example['labels'][''] == source.labels[''][index]
        number = next(i for i in range(6) if np.array_equal(picture(i), example['image']))
        assert NAMES[NUMBERS[number]] == source.class_names[example['labels']['']]


def test_a_class_that_is_not_there_is_told_with_the_nearest(here):
    with pytest.raises(UserError, match=r"data.classes: there is no class 'ants'. Did you mean 'ant'\?"):
        open_source(Data(source=f'folder:{here}/photos', classes=('ants', 'bee')))


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        ('digit', r"is not one of digits, .*tfds:NAME\. Did you mean 'digits'\?"),
        ('digits:x', r"is not one of digits, .*Did you mean 'digits'\?"),
        ('foldr:~/my/photos', r"Did you mean 'folder:~/my/photos'\?"),
        ('Folder:photos', r"Did you mean 'folder:photos'\?"),
        ('CSV:table.csv', r"Did you mean 'csv:table.csv'\?"),
        ('table.tsv', r"Did you mean 'csv:table.tsv'\?"),
        ('data/arrays.npz', r"Did you mean 'npz:data/arrays.npz'\?"),
        ('quite another thing', r'tfds:NAME\.$'),
        ('', r"data.source='' is not one of"),
        ('folder', "data.source='folder' names no data: write folder:PATH"),
        ('csv:', "data.source='csv:' names no data: write csv:FILE"),
        ('npz', 'names no data: write npz:FILE'),
        ('memory', 'the images were handed over in Python'),
        ('csv:/no/such/table.csv', 'there is no file /no/such/table.csv'),
        ('hf:/no/such/folder', 'there is no folder /no/such/folder'),
        ('npz:/no/such/file.npz', 'there is no file /no/such/file.npz'),
    ],
)
def test_a_source_that_cannot_be_is_one_line(source, message):
    with pytest.raises(UserError, match=message) as caught:
        open_source(Data(source=source))
    assert '\n' not in str(caught.value)


def test_a_path_alone_is_told_how_to_be_written(here):
    with pytest.raises(UserError, match=rf"Did you mean 'folder:{here}/photos'\?"):
        open_source(Data(source=f'{here}/photos'))


COLUMNS = {
    'image_column': 'path',
    'label_columns': ('label',),
    'group_column': 'path',
    'split_column': 'split',
    'weight_column': 'weight',
}


@pytest.mark.parametrize('field', COLUMNS)
@pytest.mark.parametrize('source', ['digits', 'glyphs', 'folder:photos', 'npz:arrays.npz', 'tfds:mnist'])
def test_columns_are_refused_where_there_are_none(source, field):
    with pytest.raises(
        UserError, match=rf'data\.{field}=.* has no meaning for data\.source={source}: csv, parquet, hf'
    ):
        open_source(Data(source=source, **{field: COLUMNS[field]}))


@pytest.mark.parametrize(
    ('source', 'field', 'value'),
    [
        *[(source, 'task', 'multi_label') for source in ('digits', 'glyphs', 'folder:x', 'tfds:mnist')],
        *[(source, 'data_dir', '/data') for source in ('digits', 'glyphs', 'folder:x', 'hf:x', 'npz:x')],
        *[(source, 'test_split', 'test') for source in ('digits', 'glyphs')],
    ],
)
def test_what_a_source_does_not_read_is_refused(source, field, value):
    with pytest.raises(UserError, match=rf"data\.{field}='{value}' has no meaning for .*{source}"):
        open_source(Data(source=source, **{field: value}))


@pytest.mark.parametrize('form', ['csv', 'parquet', 'hf', 'npz'])
def test_the_task_is_read(here, form):
    with pytest.raises(UserError, match=r'label|number'):
        open_source(Data(source=FORMS[form].format(here), task='regression', classes=('ant', 'bee')))


def array(**options):
    return ArraySource([picture(i) for i in range(6)], NUMBERS, NAMES, **options)


def test_sources_in_python_take_their_classes_from_the_configuration():
    sources = given_sources(Data(classes=('cat', 'ant')), {'train': array(), 'test': array()})
    assert [source.class_names for source in sources.values()] == [('cat', 'ant')] * 2
    assert sources['test'].labels[''].tolist() == [1, 0, 1, 0]
    assert given_sources(Data(), array())['train'].class_names == NAMES


def test_a_part_without_the_chosen_classes_is_named():
    ants = ArraySource([picture(0)], [0], NAMES, every_class=False)
    with pytest.raises(UserError, match=r'no example of these classes \(test part\)'):
        given_sources(Data(classes=('cat', 'bee')), {'train': array(), 'test': ants})


def test_chosen_classes_are_not_those_of_numbers():
    source = ArraySource([picture(0)] * 2, [0.5, 1.5], tasks=(Task('', 'regression', ('size',)),))
    with pytest.raises(UserError, match=r'data\.classes chooses among .* and the labels are numbers'):
        given_sources(Data(classes=('a', 'b')), source)


@pytest.mark.parametrize('fields', [{'task': 'heads'}, {'group_column': 'patient'}, {'data_dir': '/data'}])
def test_sources_in_python_have_no_columns(fields):
    with pytest.raises(
        UserError, match=rf'data\.{next(iter(fields))}=.* has no meaning for images handed over in Python'
    ):
        given_sources(Data(**fields), array())


@pytest.mark.parametrize('form', ['folder', 'csv', 'parquet', 'hf', 'tfds'])
def test_the_range_of_values_reaches_every_source_of_encoded_images(form, tmp_path):
    pixels = np.array([[0, 4095], [1000, 2000]], np.uint16)
    encoded = []
    for index in range(4):
        path = tmp_path / 'photos' / NAMES[index % 2] / f'{index}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        encoded.append(path.read_bytes())
    names = [NAMES[index % 2] for index in range(4)]
    table = {'path': [f'photos/{name}/{index}.png' for index, name in enumerate(names)], 'label': names}
    parquet.write_table(pa.table(table), tmp_path / 'table.parquet')
    with open(tmp_path / 'table.csv', 'w', newline='') as file:
        csv.writer(file).writerows([list(table), *zip(*table.values(), strict=True)])
    (tmp_path / 'hub').mkdir()
    parquet.write_table(pa.table({'image': pa.array(encoded), 'label': names}), tmp_path / 'hub' / 'train-0.parquet')
    data = Data(pixel_range=(0.0, 4095.0))
    if form == 'tfds':
        prepare(tmp_path, {'train': 4})
        source = open_source(replace(data, source='tfds:tiny', data_dir=str(tmp_path)))['train']
        assert source.pixel_range == (0.0, 4095.0)
        return
    data = replace(data, source=FORMS[form].format(tmp_path))
    source = open_source(data)['train']
    assert source.pixel_range == (0.0, 4095.0)
    assert source[0]['narrow'] is None
    np.testing.assert_array_equal(source[0]['image'][..., 0], [[0, 255], [62, 125]])
    plain = open_source(replace(data, pixel_range=()))['train'][0]
    assert plain['image'].max() == 16
    assert plain['narrow'] == (0, 4095, True)


def test_arrays_have_no_range_of_values(here):
    with pytest.raises(UserError, match=r'data\.pixel_range=.* has no meaning for data\.source=digits: folder, csv, '):
        open_source(Data(source='digits', pixel_range=(0.0, 1.0)))


@pytest.mark.parametrize('form', ['folder', 'csv', 'parquet', 'npz', 'hf'])
def test_a_path_alone_is_what_is_there(here, form):
    kind, _, path = FORMS[form].format(here).partition(':')
    assert source_of_path(Path(path)) == f'{kind}:{path}'


def test_a_path_to_nothing_known_is_told(tmp_path):
    (tmp_path / 'a.txt').touch()
    with pytest.raises(UserError, match='there is neither a folder nor a file'):
        source_of_path(tmp_path / 'b')
    with pytest.raises(UserError, match=r'its ending none of \.csv, .*write it as digits, glyphs, folder:PATH'):
        source_of_path(tmp_path / 'a.txt')


def test_what_is_no_source_is_told():
    for given in (7, {'train': 'folder:photos'}):
        with pytest.raises(UserError, match=r'^train is a (int|str), and no source of images, such as jt.ArraySource'):
            given_sources(Data(), given)
