"""Paths: `~` is the home directory at every door, and what cannot be written is known beforehand."""

import os
import pathlib

import pytest

from jtransfer.errors import UserError
from jtransfer.files.paths import exists, expanded, is_file, output_file, output_folder


@pytest.fixture
def home(nowhere, monkeypatch):
    monkeypatch.setenv('HOME', str(nowhere / 'home'))
    (nowhere / 'home').mkdir()
    (nowhere / 'file').touch()
    return nowhere / 'home'


def test_the_home_directory(home):
    assert expanded('~/p.csv') == home / 'p.csv'
    assert expanded(pathlib.Path('~')) == home
    assert expanded('a/~/b~') == pathlib.Path('a/~/b~')
    with pytest.raises(UserError, match='~nobody-here/x: nobody of that name has a home directory'):
        expanded('~nobody-here/x')


def test_what_can_be_written_is_nowhere_made(home, nowhere):
    before = sorted(nowhere.rglob('*'))
    assert output_file('~/a/b/p.csv') == home / 'a' / 'b' / 'p.csv'
    assert output_file('file') == pathlib.Path('file')
    assert output_folder('~/a/b') == home / 'a' / 'b'
    assert output_folder('home', empty=True) == pathlib.Path('home')
    assert sorted(nowhere.rglob('*')) == before


@pytest.mark.parametrize(
    ('check', 'path', 'message'),
    [
        (output_file, '~', 'output=~ is a folder; name a file$'),
        (output_file, 'new/', 'output=new/ is a folder; name a file$'),
        (output_file, 'file/p.csv', 'output=file/p.csv: .*/file is no folder$'),
        (output_folder, 'file', 'output=file is a file; name a folder$'),
        (output_folder, 'file/new', 'output=file/new: .*/file is no folder$'),
        (output_folder, '~nobody-here', 'nobody of that name'),
    ],
)
@pytest.mark.usefixtures('home')
def test_what_cannot_be_written_is_one_line(check, path, message):
    with pytest.raises(UserError, match=message.replace('.csv', r'\.csv')):
        check(path)


@pytest.mark.usefixtures('home')
def test_the_flag_and_an_example_are_named():
    with pytest.raises(UserError, match=r'^run_dir=file is a file'):
        output_folder('file', 'run_dir')
    with pytest.raises(UserError, match=r'name a file in it: home/p\.csv$'):
        output_file('home', example='p.csv')
    with pytest.raises(UserError, match=r'output=\. exists already; name a new folder'):
        output_folder('.', empty=True)


def test_a_folder_that_may_not_be_written(home, monkeypatch):
    monkeypatch.setattr(os, 'access', lambda path, mode: pathlib.Path(path) != home)
    for check in (output_file, output_folder):
        with pytest.raises(UserError, match=f'nothing may be written in {home}$'):
            check('~/a/b')


def test_what_cannot_be_a_path_is_no_file(tmp_path):
    (tmp_path / 'file').touch()
    assert is_file(tmp_path / 'file')
    assert exists(tmp_path)
    assert not is_file(tmp_path)
    for name in ('absent', 'x' * 10_000, 'a\0b'):
        assert not is_file(tmp_path / name)
        assert not exists(tmp_path / name)
