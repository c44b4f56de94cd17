"""Odd data: one clear line before anything is written, or a counted skip when asked."""

import csv
import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from jtransfer.data.parts import load_parts
from jtransfer.errors import UserError
from jtransfer.experiments.crossval import crossval
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import read_result

pytestmark = pytest.mark.usefixtures('compile_once')
CLASSES = ('ant', 'bee', 'cat')


def photos(folder, classes=CLASSES, count=6):
    """Small pictures, no two of which are alike."""
    random = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(random.integers(0, 256, (20, 24, 3), np.uint8)).save(folder / name / f'{index}.png')
    return folder


def table(path, rows, header=('path', 'label')):
    with open(path, 'w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows([header, *rows] if header else rows)
    return f'csv:{path}'


@pytest.fixture
def make(tiny_config, tmp_path):
    """A run of two steps on a source, from no weights; keyword arguments set further fields."""

    def config(source, **settings):
        fields = {
            'data.source': source if str(source).startswith('csv:') else f'folder:{source}',
            'data.test_fraction': 0.25,
            'data.cache_dir': str(tmp_path / 'cache'),
            'train.steps': 2,
            'run_dir': str(tmp_path / 'run'),
        }
        return tiny_config(**fields | settings)

    return config


def refused(run, config, tmp_path):
    """The one line in which it ends, with nothing written."""
    with pytest.raises(UserError) as caught:
        run(config)
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'run').exists()
    return str(caught.value)


@pytest.mark.parametrize('splitter', ['auto', 'stratified', 'k_fold'])
def test_one_image_in_a_class_with_five_folds(make, tmp_path, splitter):
    folder = photos(tmp_path / 'photos')
    for path in sorted((folder / 'cat').iterdir())[1:]:
        path.unlink()
    config = make(folder, **{'crossval.folds': 5, 'crossval.splitter': splitter, 'data.duplicates': 'ignore'})
    line = refused(crossval.run, config, tmp_path)
    assert "class 'cat' has " in line
    assert ('1 example, so that no fold can both train on it and test it' in line) == (splitter != 'k_fold')
    assert "class 'cat' has 1 example: too few to hold some out for test" in refused(
        finetune.run, make(folder), tmp_path
    )


@pytest.mark.parametrize('run', [finetune.run, crossval.run])
def test_an_empty_class(make, tmp_path, run):
    folder = photos(tmp_path / 'photos')
    (folder / 'dog').mkdir()
    assert refused(run, make(folder), tmp_path).startswith(f"class folder '{folder}/dog' has no images (.jpg, ")


PLACEMENTS = ('device', 'host', 'stream')


@pytest.fixture
def torn(tmp_path):
    """Pictures of which one is cut off and one is empty."""
    folder = photos(tmp_path / 'torn')
    cut = folder / 'ant' / '3.png'
    cut.write_bytes(cut.read_bytes()[:100])
    (folder / 'bee' / 'zero.jpg').touch()
    return folder


@pytest.mark.filterwarnings('ignore:.*unreadable images? left out:jtransfer.errors.DataWarning')
@pytest.mark.parametrize('placement', PLACEMENTS)
def test_unreadable_files_stop_a_run_or_are_counted(make, tmp_path, torn, placement):
    config = make(torn, **{'data.placement': placement})
    line = refused(finetune.run, config, tmp_path)
    assert line.startswith(f'{torn}/')
    assert 'is a truncated or damaged PNG; data.skip_unreadable skips such files' in line
    result = finetune.run(make(torn, **{'data.placement': placement, 'data.skip_unreadable': True}))
    record = read_result(result.directory.path)
    assert record['skipped_images'] == result.skipped == 2
    assert record['train_examples'] + record['examples'] == 17


@pytest.mark.filterwarnings('ignore:.*unreadable images? left out:jtransfer.errors.DataWarning')
def test_unreadable_files_are_counted_over_all_folds(make, torn):
    result = crossval.run(make(torn, **{'crossval.folds': 3, 'data.skip_unreadable': True}))
    assert result.skipped == 2
    assert result.pooled.examples == 17


@pytest.mark.filterwarnings('ignore:.*unreadable images? left out:jtransfer.errors.DataWarning')
@pytest.mark.parametrize('placement', ['device', 'stream'])
def test_a_class_that_loses_all_images_by_skipping(make, tmp_path, placement):
    folder = photos(tmp_path / 'photos')
    for path in (folder / 'cat').iterdir():
        path.write_bytes(b'no picture')
    config = make(folder, **{'data.placement': placement, 'data.skip_unreadable': True})
    assert refused(finetune.run, config, tmp_path) == "every image of class 'cat' is unreadable"


NAMES = (' a b.png', 'ünï.png', unicodedata.normalize('NFD', 'é.png'), '目.png', 'it\'s, "so".png', '100% #1?.png')


def test_names_with_spaces_and_of_any_script(make, tmp_path):
    folder = tmp_path / 'my pictures' / unicodedata.normalize('NFD', 'été')
    photos(folder, (unicodedata.normalize('NFD', 'fenêtre'), 'porte cochère'), count=0)
    random = np.random.default_rng(0)
    for name in os.listdir(folder):
        for own in NAMES:
            Image.fromarray(random.integers(0, 256, (20, 24, 3), np.uint8)).save(folder / name / own)
    for placement in PLACEMENTS:
        result = finetune.run(make(folder, **{'data.placement': placement, 'run_dir': str(tmp_path / placement)}))
        assert result.model.class_names == ('fenêtre', 'porte cochère')
        assert read_result(result.directory.path)['train_examples'] + result.metrics.examples == 12


def test_a_table_that_composes_names_otherwise_than_the_disk(make, tmp_path):
    random = np.random.default_rng(0)
    rows = []
    for index, name in enumerate(NAMES * 2):
        folder = tmp_path / str(index // len(NAMES))
        folder.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (20, 24, 3), np.uint8)).save(
            folder / unicodedata.normalize('NFD', name)
        )
        rows.append((f'{folder.name}/{unicodedata.normalize("NFC", name)}', 'ab'[index % 2]))
    source = table(tmp_path / 'table ü.csv', rows)
    parts = load_parts(make(source).data, 0)
    assert {*parts.train.ids, *parts.test.ids} == {path for path, _ in rows}
    assert finetune.run(make(source)).skipped == 0


def test_links_that_lead_back_are_not_followed(make, tmp_path):
    folder = photos(tmp_path / 'photos')
    (folder / 'ant' / 'up').symlink_to(folder)
    (folder / 'ant' / 'further up').symlink_to(tmp_path)
    (folder / 'bee' / 'self').symlink_to(folder / 'bee')
    (folder / 'dangling').symlink_to(folder / 'dangling')
    parts = load_parts(make(folder).data, 0)
    ids = [*parts.train.ids, *parts.test.ids]
    assert sorted(ids) == [f'{name}/{index}.png' for name in CLASSES for index in range(6)]
    (folder / 'loop').symlink_to(folder)
    assert refused(finetune.run, make(folder), tmp_path).startswith(f"class folder '{folder}/loop' has no images")


@pytest.mark.filterwarnings('ignore:.*unreadable images? left out:jtransfer.errors.DataWarning')
def test_links_to_pictures_elsewhere_are_followed(make, tmp_path):
    elsewhere = photos(tmp_path / 'elsewhere' / 'photos')
    folder = tmp_path / 'links'
    folder.mkdir()
    for name in CLASSES:
        (folder / name).symlink_to(elsewhere / name)
    (folder / 'ant' / 'gone.png').symlink_to(tmp_path / 'nowhere.png')
    assert 'ant/gone.png: no such file' in refused(finetune.run, make(folder), tmp_path)
    result = finetune.run(make(folder, **{'data.skip_unreadable': True}))
    assert (result.skipped, read_result(result.directory.path)['train_examples'] + result.metrics.examples) == (1, 18)


def test_a_folder_that_is_called_like_a_picture_is_none(make, tmp_path):
    folder = photos(tmp_path / 'photos')
    (folder / 'ant' / 'folder.png').mkdir()
    parts = load_parts(make(folder).data, 0)
    assert len(parts.train) + len(parts.test) == 18


@pytest.fixture
def rows(tmp_path):
    photos(tmp_path / 'photos')
    return [(f'photos/{name}/{index}.png', name) for name in CLASSES for index in range(6)]


def test_a_table_with_files_that_are_missing(make, tmp_path, rows):
    (tmp_path / 'photos' / 'ant' / 'folder.png').mkdir()
    source = table(tmp_path / 'table.csv', [*rows, ('no such.png', 'bee'), ('photos/ant/folder.png', 'ant')])
    line = refused(finetune.run, make(source), tmp_path)
    assert line.startswith(f'{tmp_path}/table.csv, row 19: there is no file {tmp_path}/no such.png')
    assert 'data.skip_unreadable leaves such rows out' in line
    said = []
    result = finetune.run(make(source, **{'data.skip_unreadable': True}), say=said.append)
    assert '2 files of the table are missing and were left out' in said
    assert read_result(result.directory.path)['train_examples'] + result.metrics.examples == 18


def test_a_table_whose_class_or_part_is_missing_altogether(make, tmp_path, rows):
    skip = {'data.skip_unreadable': True}
    source = table(tmp_path / 'table.csv', [*rows, ('no such.png', 'dog')])
    assert "class 'dog' has no examples" in refused(finetune.run, make(source, **skip), tmp_path)
    source = table(tmp_path / 'gone.csv', [('x.png', 'ant'), ('y.png', 'bee')])
    line = refused(finetune.run, make(source, **skip), tmp_path)
    assert 'all 2 files of the train part are missing' in line


@pytest.mark.filterwarnings('ignore:.*unreadable images? left out:jtransfer.errors.DataWarning')
def test_a_table_of_files_that_cannot_be_read(make, tmp_path, rows):
    (tmp_path / 'photos' / 'ant' / '0.png').write_bytes(b'')
    source = table(tmp_path / 'table.csv', rows)
    assert 'photos/ant/0.png is an empty file, not an image' in refused(finetune.run, make(source), tmp_path)
    assert finetune.run(make(source, **{'data.skip_unreadable': True})).skipped == 1


@pytest.mark.parametrize(
    ('header', 'message'),
    [(('path', 'label'), 'has no rows below its header'), ((), 'Empty CSV file'), (('path',), 'has no column called')],
)
def test_a_table_with_nothing_in_it(make, tmp_path, header, message):
    line = refused(finetune.run, make(table(tmp_path / 'table.csv', [], header)), tmp_path)
    assert message in line
    assert f'{tmp_path}/table.csv' in line
