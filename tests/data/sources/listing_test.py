"""The files below a folder."""

import os

import pytest

from jtransfer.data.sources.listing import entries, has_images, list_files, subfolders
from jtransfer.errors import UserError


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_every_file_is_an_image_another_or_hidden(tmp_path):
    touch(tmp_path, 'b.PNG', 'a/1.jpg', 'a/x.txt', 'c', '.x.png', '.git/a/b', '__MACOSX/._1.jpg', 'a/.ipynb/1-copy.png')
    files = list_files(tmp_path)
    assert [os.path.relpath(path, tmp_path) for path in files.images] == ['a/1.jpg', 'b.PNG']
    assert [os.path.relpath(path, tmp_path) for path in files.others] == ['a/x.txt', 'c']
    assert files.hidden == 4
    assert (files + files).hidden == 8
    assert [path.name for path in subfolders(tmp_path)] == ['a']
    assert has_images(tmp_path)


def test_what_leads_back_holds_no_images(tmp_path):
    touch(tmp_path, 'photos/a/1.jpg', 'photos/b/.1.jpg', 'photos/b/1.txt')
    (tmp_path / 'photos/loop').symlink_to(tmp_path)
    root = tmp_path / 'photos'
    assert [has_images(root / name, root) for name in ('a', 'b', 'loop')] == [True, False, False]
    assert list_files(root / 'loop', root).images == ()


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, 'Permission denied', str(folder))

    monkeypatch.setattr(os, 'scandir', refuse)
    for look in (entries, list_files):
        with pytest.raises(UserError, match=r'cannot be read: Permission denied'):
            look(tmp_path)


def test_links_that_lead_nowhere_are_no_folders(tmp_path):
    touch(tmp_path, 'a/1.jpg')
    (tmp_path / 'self').symlink_to(tmp_path / 'self')
    (tmp_path / 'gone').symlink_to(tmp_path / 'nowhere')
    assert [path.name for path in subfolders(tmp_path)] == ['a']
    assert len(list_files(tmp_path).others) == 2
