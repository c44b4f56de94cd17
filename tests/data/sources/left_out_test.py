"""Every file of a folder is used or said to be left out."""

import pathlib
import re

import pytest
from PIL import Image

from jtransfer.data.sources.folder import load_folder
from jtransfer.data.sources.left_out import beside

PATHS = (
    *(f'{part}/{name}/{index}.png' for part in ('train', 'test', 'eval') for name in ('a', 'b') for index in (1, 2)),
    *('root.png', 'train/stray.png', 'train/a/notes.txt', 'docs/read.me', 'docs/deep/.x', 'Thumbs.db', '.git/config'),
    *('__MACOSX/train/._1.png', 'test/a/.DS_Store', 'more/x/1.png', 'more/x/2.png', 'more/y.csv', 'empty.d/none'),
)


@pytest.fixture
def root(tmp_path):
    for path in PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (2, 2)).save(tmp_path / path, 'PNG')
    return tmp_path


@pytest.mark.parametrize(
    ('splits', 'used'),
    [({'train': 'train'}, 12), ({'train': 'train', 'validation': 'test'}, 8), ({'train': 'more', 'test': 'x'}, 0)],
)
def test_the_counts_add_up(root, splits, used):
    if not used:  # a part within another folder
        splits, used = {'train': 'deep/er/train', 'validation': 'test', 'test': 'eval'}, 12
        (root / 'deep/er').mkdir(parents=True)
        (root / 'train').rename(root / 'deep/er/train')
    sources = load_folder(str(root), splits)
    assert sum(map(len, sources.values())) == used
    notes = [note for source in sources.values() for note in source.notes]
    counted = sum(int(number) for note in notes if (number := re.match(r'\d+ (?!folder)', note) and note.split()[0]))
    assert used + counted == len(PATHS)


def test_what_is_left_out_is_named(root):
    assert load_folder(str(root), {'train': 'train', 'validation': 'test'})['train'].notes == (
        "folder 'train' holds the train part, 'test' the validation part, with a folder for each class",
        '2 images beside the class folders left out: root.png, train/stray.png',
        "4 images in 'eval' left out, which is no part",
        "2 images in 'more' left out, which is no part",
        '2 folders without images left out: docs, empty.d',
        '5 files in the folders are no images and were left out (no ending 1, .csv 1, .db 1, .me 1, .txt 1)',
        '4 hidden files left out',
    )


def test_parts_within_folders(root):
    found = beside(root, [root / 'train', root / 'more' / 'x'], root)
    assert [pathlib.Path(path).name for path in found.strays.others] == ['Thumbs.db', 'y.csv']
    assert set(found.folders) == {'docs', 'empty.d', 'eval', 'test'}


def test_links_that_lead_back_hold_nothing_of_their_own(root):
    splits = {'train': 'train', 'validation': 'test'}
    before = load_folder(str(root), splits)['train'].notes
    for name in ('self0', 'self1', 'more/back', 'docs/deep/back'):
        (root / name).symlink_to(root, target_is_directory=True)
    (root / 'above').symlink_to(root.parent, target_is_directory=True)
    (root / 'class').symlink_to(root / 'train' / 'a', target_is_directory=True)
    (root / 'again').symlink_to(root / 'more', target_is_directory=True)
    assert load_folder(str(root), splits)['train'].notes == before


def test_links_among_folders_above_the_parts_are_followed_once(root):
    (root / 'deep').mkdir()
    for part in ('train', 'test'):
        (root / part).rename(root / 'deep' / part)
    splits = {'train': 'deep/train', 'validation': 'deep/test'}
    before = load_folder(str(root), splits)['train'].notes
    for name, target in (('again', 'deep'), ('deep/back', ''), ('deep/here', 'deep'), ('here', '')):
        (root / name).symlink_to(root / target, target_is_directory=True)
    assert load_folder(str(root), splits)['train'].notes == before
