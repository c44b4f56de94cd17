"""JSON from outside is read within bounds, and what cannot be read is one line."""

import json
import os

import pytest

from jtransfer.errors import UserError
from jtransfer.files.reading import parse_json, read_bytes, read_json, read_json_object, require_regular


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'an empty file'),
        (b'{"a": 1', 'no JSON at line 1, column 8'),
        (b'[' * 200_000, 'nested too deeply'),
        (b'{"a":' * 200_000, 'nested too deeply'),
        (b'1' * 5000, 'a number of 5,000 digits'),
        (b'"\\ud800"', 'it is not UTF-8 text'),
        (b'"\xff"', 'it is not UTF-8 text'),
        (b'{"a\\u0000b": 1}', 'NUL in a text'),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, content, message):
    path = tmp_path / 'file.json'
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        read_json(path, remedy='write it again')
    assert str(raised.value).startswith(f'{path} is damaged: ')
    assert str(raised.value).endswith('; write it again')
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('value', [None, True, -1.5, 2**64, 'häß😀\\u0000', {'a': [1, {'b': '\\'}]}, [[]] * 3])
@pytest.mark.parametrize('ascii_only', [True, False])
def test_what_was_written_is_read(value, ascii_only):
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only), 'text') == value


def test_only_regular_files_of_a_bounded_size(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(UserError, match='pipe is no regular file'):
        read_json(tmp_path / 'pipe')
    with pytest.raises(UserError, match='is no regular file'):
        read_bytes('/dev/zero', 10)
    with pytest.raises(UserError, match=r'cannot be read: Is a directory|is no regular file'):
        read_json(tmp_path)
    with pytest.raises(UserError, match='cannot be read: No such file'):
        read_json(tmp_path / 'absent')
    with pytest.raises(UserError, match='cannot be read: embedded null byte'):
        read_json('a\0b')
    (tmp_path / 'long').write_bytes(b'1' * 11)
    with pytest.raises(UserError, match='has 11 bytes, more than the 10 that are read'):
        read_bytes(tmp_path / 'long', 10)
    (tmp_path / 'list.json').write_text('[]')
    assert read_json(tmp_path / 'list.json') == []
    with pytest.raises(UserError, match='its JSON is no object'):
        read_json_object(tmp_path / 'list.json')


def test_what_is_no_regular_file_is_known_without_opening_it(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'file').write_bytes(b'12')
    (tmp_path / 'link').symlink_to('file')
    assert require_regular(tmp_path / 'file') == require_regular(tmp_path / 'link') == 2
    for name, message in (
        ('pipe', 'cannot be read: no regular file; name another'),
        ('', 'cannot be read: Is a directory'),
        ('absent', 'no such file'),
        ('a\0b', 'cannot be read: embedded null byte'),
    ):
        with pytest.raises(UserError, match=message):
            require_regular(tmp_path / name, remedy='name another')
    with pytest.raises(UserError, match='no regular file'):
        require_regular('/dev/zero')
