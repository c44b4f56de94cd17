"""An archive is opened only where it stays within its limits."""

import zipfile

import pytest

from jtransfer.errors import UserError
from jtransfer.pretrained.files import archive


def _write(path, content, method=zipfile.ZIP_DEFLATED, names=('a',)):
    with zipfile.ZipFile(path, 'w', method) as written:
        for name in names:
            written.writestr(name, content)
    return path


def test_a_bomb_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, 'MAX_INFLATED', 10_000)
    monkeypatch.setattr(archive, 'MAX_RATIO', 2)
    path = _write(tmp_path / 'bomb.zip', bytes(10_001))
    with (
        pytest.raises(UserError, match=r'its \d+ bytes would become 10,001, more than the 10,000 that are unpacked'),
        archive.opened(path),
    ):
        raise AssertionError('opened')
    # Many small ones are as bad as a large one.
    path = _write(tmp_path / 'many.zip', bytes(400), names=map(str, range(100)))
    with pytest.raises(UserError, match='would become 40,000'), archive.opened(path):
        raise AssertionError('opened')
    with archive.opened(_write(tmp_path / 'small.zip', bytes(10_000))) as opened:
        assert opened.read('a') == bytes(10_000)


@pytest.mark.parametrize('method', [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_ways_of_packing_are_refused(tmp_path, method):
    path = _write(tmp_path / 'w.zip', b'x', method)
    with pytest.raises(UserError, match=r"'a' is encrypted, or packed in an unknown way"), archive.opened(path):
        raise AssertionError('opened')


@pytest.mark.filterwarnings('ignore:Duplicate name')
def test_two_members_of_one_name(tmp_path):
    path = _write(tmp_path / 'w.zip', b'x', names=('a', 'a'))
    with pytest.raises(UserError, match='two members have one name'), archive.opened(path):
        raise AssertionError('opened')


def test_a_huge_directory_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, '_MAX_DIRECTORY', 100_000)
    path = _write(tmp_path / 'w.zip', b'', names=[f'{index:0500}' for index in range(200)])
    with pytest.raises(zipfile.BadZipFile, match='a directory of'), archive.opened(path):
        raise AssertionError('opened')


def test_what_an_archive_holds(tmp_path):
    path = _write(tmp_path / 'w', b'x', names=('a.npy', 'b.npy'))
    assert archive.has_members(path, '.npy')
    assert not archive.has_members(_write(tmp_path / 'w', b'x', names=('a.npy', 'b')), '.npy')
    path.write_bytes(b'PK\3\4')
    assert not archive.has_members(path, '.npy')
