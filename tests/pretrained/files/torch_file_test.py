"""What becomes of a torch file before torch sees it; `tests/parity/torch_file_test.py` has torch itself."""

import pickle
import sys
import types
import zipfile

import pytest

from jtransfer.errors import UserError
from jtransfer.pretrained.files.torch_file import read_torch

BYTEARRAY = b'\x80\x02c__builtin__\nbytearray\nJ\x00\x00\x00\x40\x85R.'


@pytest.fixture(autouse=True)
def torch(monkeypatch):
    """One that loads nothing."""
    module = types.ModuleType('torch')
    monkeypatch.setitem(sys.modules, 'torch', module)


def archive(path, content, prefix=b'', comment=b''):
    with zipfile.ZipFile(path, 'w') as written:
        written.writestr('archive/data.pkl', content)
        written.comment = comment
    path.write_bytes(prefix + path.read_bytes())
    return path


def one_line(path, match):
    with pytest.raises(UserError, match=match) as caught:
        read_torch(path)
    assert '\n' not in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_pickle_of_an_archive_and_each_of_the_older_form_are_looked_through(tmp_path):
    one_line(archive(tmp_path / 'w.pth', BYTEARRAY), r'never executed \(__builtin__\.bytearray\)')
    older = b''.join(pickle.dumps(value, protocol=2) for value in (0x1950A86A20F9469CFC6C, 1001, {}))
    (tmp_path / 'w.pth').write_bytes(older + BYTEARRAY)
    one_line(tmp_path / 'w.pth', r'never executed \(__builtin__\.bytearray\)')
    (tmp_path / 'w.pth').write_bytes(older)
    one_line(tmp_path / 'w.pth', 'truncated or damaged')


def test_what_readers_of_archives_differ_in_is_refused(tmp_path):
    plain = pickle.dumps({}, protocol=2)
    one_line(archive(tmp_path / 'w.pth', plain, comment=b'x'), 'something precedes or follows')
    one_line(archive(tmp_path / 'w.pth', plain, prefix=b'PK\x03\x04' + bytes(40)), 'something precedes or follows')


@pytest.mark.parametrize('offset', [4, 6, 7, 8], ids=['made by', 'version', 'system', 'flags'])
def test_a_damaged_directory(tmp_path, offset):
    path = archive(tmp_path / 'w.pth', pickle.dumps({}, protocol=2))
    data = bytearray(path.read_bytes())
    data[data.find(b'PK\x01\x02') + offset] = 255
    path.write_bytes(data)
    with pytest.raises(UserError):
        read_torch(path)
