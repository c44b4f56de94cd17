"""Tests of jtransfer/data/sources/folder.py on folders made of tiny images."""

import os
import pickle
import unicodedata

import numpy as np
import pytest
from PIL import Image

from jtransfer.config.data import Data
from jtransfer.data.decode.images import UnreadableImageError
from jtransfer.data.decode.memory import decode_part, readable_part
from jtransfer.data.part import Part
from jtransfer.data.sources.folder import load_folder
from jtransfer.data.sources.opening import open_source
from jtransfer.data.survey import survey_part
from jtransfer.errors import DataWarning, UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import TrainingImage


def fill(root, *paths):
    for i, path in enumerate(paths):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((3, 4, 3), 10 * i, np.uint8)).save(file)


def test_undivided(tmp_path):
    fill(tmp_path, 'dog/2.png', 'cat/b.PNG', 'cat/a.jpg', 'dog/deep/er/1.webp')
    (tmp_path / 'cat' / 'notes.txt').write_text('x')
    (tmp_path / 'cat' / '.hidden.png').write_text('x')
    fill(tmp_path, '.cache/x.png', '__MACOSX/y.png')
    (tmp_path / 'README.md').write_text('x')
    sources = load_folder(str(tmp_path))
    assert list(sources) == ['train']
    source = sources['train']
    assert source.class_names == ('cat', 'dog')
    assert source.ids == ('cat/a.jpg', 'cat/b.PNG', 'dog/2.png', 'dog/deep/er/1.webp')
    np.testing.assert_array_equal(source.labels[''], [0, 0, 1, 1])
    assert source.notes == (
        f"folder '{tmp_path.name}' holds a folder for each class",
        '2 files in the folders are no images and were left out (.md 1, .txt 1)',
        '3 hidden files left out',
    )
    example = pickle.loads(pickle.dumps(source))[1]
    assert example['labels'][''] == 0
    assert example['id'] == 'cat/b.PNG'
    np.testing.assert_array_equal(example['image'], np.full((3, 4, 3), 10))


@pytest.mark.parametrize(
    ('train', 'validation', 'test'),
    [('train', 'val', 'test'), ('Train', 'VALID', 'Test'), ('training', 'validation', 'testing'), ('train', 'dev', '')],
)
def test_divided_by_convention(tmp_path, train, validation, test):
    for part in filter(None, (train, validation, test)):
        fill(tmp_path, f'{part}/cat/1.png', f'{part}/dog/1.png', f'{part}/dog/2.png')
    fill(tmp_path, 'preview.png')
    sources = load_folder(str(tmp_path))
    assert set(sources) == ({'train', 'validation', 'test'} if test else {'train', 'validation'})
    assert all(source.class_names == ('cat', 'dog') and len(source) == 3 for source in sources.values())
    assert sources['validation'].ids[0] == f'{validation}/cat/1.png'


def test_divided_by_name(tmp_path):
    for part in ('a', 'b', 'val', 'val2'):
        fill(tmp_path, f'{part}/cat/1.png', f'{part}/dog/1.png')
    sources = load_folder(str(tmp_path), {'train': 'b', 'validation': '', 'test': 'val2'})
    assert {part: source.ids[0] for part, source in sources.items()} == {
        'train': 'b/cat/1.png',
        'validation': 'val/cat/1.png',
        'test': 'val2/cat/1.png',
    }
    with pytest.raises(UserError, match=r"data.train_split=bb: there is no folder .*bb\. Did you mean '.*b'"):
        load_folder(str(tmp_path), {'train': 'bb'})
    with pytest.raises(UserError, match='no train folder'):
        load_folder(str(tmp_path), {'test': 'a'})


def test_classes_may_be_called_like_parts(tmp_path):
    fill(tmp_path, 'train/1.png', 'bus/1.png', 'car/red/1.png', 'train/wagons/2.png')
    source = load_folder(str(tmp_path))['train']
    assert (source.class_names, len(source), len(source.notes)) == (('bus', 'car', 'train'), 4, 1)


def test_a_stray_image_does_not_turn_parts_into_classes(tmp_path):
    fill(tmp_path, 'train/stray.png', 'train/a/1.png', 'train/b/1.png', 'test/a/1.png', 'test/b/1.png')
    sources = load_folder(str(tmp_path))
    assert set(sources) == {'train', 'test'}
    assert sources['train'].class_names == ('a', 'b')


def test_spaces_unicode_and_composed_forms(tmp_path):
    fill(tmp_path, 'train/café au lait/été 1.png', 'train/日本/x.png')
    fill(tmp_path, unicodedata.normalize('NFD', 'test/café au lait/1.png'), 'test/日本/x.png')
    sources = load_folder(str(tmp_path))
    assert sources['train'].class_names == ('café au lait', '日本')
    assert sources['train'][0]['image'].shape == (3, 4, 3)
    np.testing.assert_array_equal(sources['test'].labels[''], [0, 1])


def test_links_are_followed_and_loops_end(tmp_path):
    fill(tmp_path, 'all/a/1.png', 'all/b/1.png', 'elsewhere/2.png')
    (tmp_path / 'all/a/loop').symlink_to(tmp_path / 'all')
    (tmp_path / 'all/b/more').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'all/b/self').symlink_to(tmp_path / 'all/b')
    (tmp_path / 'all/b/dead').symlink_to(tmp_path / 'nowhere')
    ids = load_folder(str(tmp_path / 'all'))['train'].ids
    assert {'a/1.png', 'b/1.png', 'b/more/2.png'} <= set(ids)
    assert len(ids) < 10


def test_unreadable_image_is_named(tmp_path):
    fill(tmp_path, 'a/1.png', 'b/1.png')
    (tmp_path / 'a/1.png').write_bytes(b'no image')
    with pytest.raises(UnreadableImageError, match=r'a/1.png is truncated or not an image'):
        load_folder(str(tmp_path))['train'][0]


def test_missing_folder(tmp_path):
    fill(tmp_path, 'clothing/a/1.png')
    with pytest.raises(UserError, match=r"there is no folder .*clothin\. Did you mean '.*clothing'\?"):
        load_folder(str(tmp_path / 'clothin'))
    with pytest.raises(UserError, match='there is no folder'):
        load_folder(str(tmp_path / 'x' / 'y' / 'z'))
    (tmp_path / 'file').write_text('x')
    with pytest.raises(UserError, match='is a file'):
        load_folder(str(tmp_path / 'file'))


@pytest.mark.parametrize(
    ('paths', 'empty', 'message'),
    [
        (['1.png'], [], 'has no class folders'),
        (['a/1.png'], [], r"has 1 class \('a'\)"),
        (['a/1.png', 'b/1.png'], ['c d'], r"class folder '.*c d' has no images \(\.jpg"),
        (['train/a/1.png', 'train/b/1.png', 'test/a/1.png', 'test/z/1.png'], [], "has a class 'z' that the training"),
        (['train/a/1.png', 'train/b/1.png', 'val/a/1.png'], ['train/b2'], "class folder '.*train/b2' has no images"),
        (['train/a/1.png', 'train/b/1.png', 'val/a/1.png', 'valid/a/1.png'], [], r"has both 'val' and 'valid'.*valida"),
        (['test/a/1.png', 'val/b/1.png'], [], "has a folder 'val' but no train folder"),
    ],
)
def test_bad_folders(tmp_path, paths, empty, message):
    fill(tmp_path, *paths)
    for folder in empty:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'notes.txt').write_text('x')
    with pytest.raises(UserError, match=message) as error:
        load_folder(str(tmp_path))
    assert '\n' not in str(error.value)


def test_parts_under_other_common_names_are_no_classes(tmp_path):
    for part in ('training_set', 'test_set'):
        fill(tmp_path, f'{part}/cats/1.png', f'{part}/dogs/1.png')
    sources = load_folder(str(tmp_path))
    assert {part: source.class_names for part, source in sources.items()} == dict.fromkeys(
        ('train', 'test'), ('cats', 'dogs')
    )


def test_the_folder_itself_may_be_the_training_part(tmp_path):
    fill(tmp_path, 'train/a/1.png', 'bus/b/1.png', 'test/bus/1.png', 'test/train/1.png')
    whole = load_folder(str(tmp_path), {'train': '.'})
    assert (list(whole), whole['train'].class_names) == (['train'], ('bus', 'test', 'train'))
    beside = load_folder(str(tmp_path), {'train': '.', 'test': 'test'})
    assert {part: source.class_names for part, source in beside.items()} == dict.fromkeys(
        ('train', 'test'), ('bus', 'train')
    )
    assert beside['train'].notes == (
        "folder '.' holds the train part, 'test' the test part, with a folder for each class",
    )


@pytest.mark.parametrize('part', ['', 'train/'])
def test_a_folder_above_the_one_that_was_meant(tmp_path, part):
    fill(tmp_path, f'{part}photos/a/1.png', f'{part}photos/b/1.png')
    right = 'data.train_split=train/photos' if part else f'folder:{tmp_path}/photos'
    with pytest.raises(UserError, match=f'holds a single folder, .photos., and that holds a, b: .* write {right}'):
        load_folder(str(tmp_path))
    if part:
        assert load_folder(str(tmp_path), {'train': 'train/photos'})['train'].class_names == ('a', 'b')


def test_folders_of_one_name_in_two_forms_are_one_class(tmp_path):
    for form in ('NFC', 'NFD'):
        fill(tmp_path, unicodedata.normalize(form, f'café/{form}.png'), f'tea/{form}.png')
    source = load_folder(str(tmp_path))['train']
    assert (source.class_names, source.labels[''].tolist()) == (('café', 'tea'), [0, 0, 1, 1])
    assert len(set(source.ids)) == 4
    assert {source[index]['image'].shape for index in range(4)} == {(3, 4, 3)}
    [_, note] = source.notes
    assert note.startswith("class 'café' is in 2 folders of")


@pytest.mark.parametrize('names', [('a\x1b/1.png', 'a\\x1b/2.png'), ('b/1\x1b.png', 'b/1\\x1b.png')])
def test_names_that_are_written_alike_are_refused(tmp_path, names):
    fill(tmp_path, *names, 'c/1.png')
    with pytest.raises(UserError, match=r"has two f\w+ that are both written '.*\\x1b.*': rename one"):
        load_folder(str(tmp_path))


def test_a_class_folder_may_be_empty_in_other_parts_than_the_training_part_and_to_evaluate_on(tmp_path):
    fill(tmp_path, 'train/a/1.png', 'train/b/1.png', 'val/a/1.png')
    (tmp_path / 'val' / 'b').mkdir()
    assert load_folder(str(tmp_path))['validation'].labels[''].tolist() == [0]
    (tmp_path / 'train' / 'c').mkdir()
    parts = load_folder(str(tmp_path), training=False)
    assert {part: source.class_names for part, source in parts.items()} == {
        'train': ('a', 'b', 'c'),
        'validation': ('a', 'b'),
    }
    fill(tmp_path, 'one/train/1.png')  # a class called train
    assert load_folder(str(tmp_path / 'one'), training=False)['train'].class_names == ('train',)


def test_what_is_no_file_of_bounded_size_can_be_skipped(tmp_path):
    fill(tmp_path, 'cat/a.png', 'cat/b.png', 'dog/a.png')
    os.mkfifo(tmp_path / 'cat' / 'pipe.png')
    (tmp_path / 'dog' / 'endless.png').symlink_to('/dev/zero')
    part = Part(source := load_folder(str(tmp_path))['train'], np.arange(5))
    pixels = TrainingImage(ImagePreprocessor(image_size=4), crops=False)
    with pytest.warns(DataWarning, match='2 unreadable images left out: .*pipe.png is no regular file'):
        assert decode_part(part, pixels, skip_unreadable=True).skipped == ('cat/pipe.png', 'dog/endless.png')
    with pytest.warns(DataWarning, match='2 unreadable images left out: .*pipe.png is no regular file'):
        assert readable_part(part, workers=2, skip_unreadable=True)[1] == ('cat/pipe.png', 'dog/endless.png')
    assert [name for name, _ in survey_part(source).unreadable] == ['cat/pipe.png', 'dog/endless.png']
    with pytest.raises(UnreadableImageError, match=r'pipe\.png is no regular file'):
        decode_part(part, pixels, cache=tmp_path / 'cache')


def test_links_out_of_the_folder_are_followed_unless_that_is_forbidden(tmp_path):
    fill(tmp_path, 'data/cat/a.png', 'data/dog/a.png', 'other/b.png')
    (tmp_path / 'data' / 'cat' / 'b.png').symlink_to(tmp_path / 'other' / 'b.png')
    source = f'folder:{tmp_path / "data"}'
    assert len(open_source(Data(source=source))['train']) == 3
    with pytest.raises(UserError, match=r'cat/b\.png leads out of .*data, which data\.confine_paths forbids'):
        open_source(Data(source=source, confine_paths=True))
    (tmp_path / 'data' / 'cat' / 'b.png').unlink()
    assert len(open_source(Data(source=source, confine_paths=True))['train']) == 2
