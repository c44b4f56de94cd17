"""Files appear whole or not at all, and what cannot be written is one line that names it."""

import errno
import json
import os
import subprocess
import sys

import pytest

from jtransfer.errors import UserError, WritingError
from jtransfer.files.writing import atomic_path, atomic_text, make_folder, sweep_partials, told_plainly
from tests.full_disk import files_up_to


def test_text_appears_only_when_whole(tmp_path):
    path = tmp_path / 'deep' / 'note.txt'
    with atomic_text(path) as file:
        file.write('é\n')
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == 'é\n'.encode()


def test_half_a_character_is_spelt_out(tmp_path):
    with atomic_text(tmp_path / 'x.json') as file:
        json.dump(['\udcff', 'ü'], file, ensure_ascii=False)
    assert (tmp_path / 'x.json').read_bytes() == '["\\udcff", "ü"]'.encode()
    assert json.loads((tmp_path / 'x.json').read_text('utf-8')) == ['\udcff', 'ü']


def test_a_file_follows_the_umask_and_an_interruption_leaves_nothing(tmp_path):
    with atomic_text(tmp_path / 'a') as file:
        file.write('before')
    (tmp_path / 'plain').touch()
    assert (tmp_path / 'a').stat().st_mode == (tmp_path / 'plain').stat().st_mode

    def interrupted():
        with atomic_path(tmp_path / 'a') as partial:
            partial.write_text('half')
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sorted(os.listdir(tmp_path)) == ['a', 'plain']
    assert (tmp_path / 'a').read_text() == 'before'


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('before')
    with files_up_to(10_000), pytest.raises(WritingError) as caught, atomic_text(path) as file:
        file.write('x' * 20_000)
    assert str(caught.value).startswith(f'{path} cannot be written: File too large; raise the limit on the size')
    assert os.listdir(tmp_path) == ['a.txt']
    assert path.read_text() == 'before'


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (OSError(errno.ENOSPC, 'x'), 'No space left on device; make room, or name a folder on another disk'),
        (OSError(errno.EDQUOT, 'x'), 'Disk quota exceeded; make room, or name a folder on another disk'),
        (OSError(errno.EROFS, 'x'), 'Read-only file system; name a folder that you may write to'),
        (PermissionError(errno.EACCES, 'x'), 'Permission denied; name a folder that you may write to'),
        (OSError(errno.EIO, 'Input/output error'), 'Input/output error'),
        # TensorStore, as Orbax passes it on.
        (ValueError('Error writing "a/b": [OS error 28: ENOSPC No space left on device] [x=1]'), 'No space left'),
        (RuntimeError('lmdb: Disk quota exceeded'), 'Disk quota exceeded; make room'),
    ],
)
def test_what_stands_in_the_way_is_said_with_a_remedy(error, line):
    with pytest.raises(WritingError) as caught, told_plainly('a/b'):
        raise error
    assert str(caught.value).startswith(f'a/b cannot be written: {line}')
    assert caught.value.__cause__ is error


@pytest.mark.parametrize('error', [ValueError('too large'), UserError('no space left'), WritingError('c: no space')])
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as caught, told_plainly('a/b'):
        raise error
    assert caught.value is error or isinstance(error, UserError)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(WritingError, match='file/in it cannot be written: Not a directory'):
        make_folder(tmp_path / 'file' / 'in it')


def test_what_killed_processes_left_is_swept_and_nothing_else(tmp_path):
    dead = subprocess.Popen([sys.executable, '-c', ''])
    dead.wait()
    (tmp_path / 'evaluation').mkdir()
    theirs = [f'.{dead.pid}.partial.a.json', f'evaluation/.{dead.pid}.partial.b.csv', f'.{os.getpid()}.partial.c']
    kept = [f'.{os.getppid()}.partial.a.json', 'a.json', '.x.partial.a', f'.{dead.pid}.partial', 'evaluation/b.csv']
    for name in (*theirs, *kept):
        (tmp_path / name).touch()
    sweep_partials(tmp_path)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*') if p.is_file()) == sorted(kept)


def test_links_and_devices_stay(tmp_path):
    (tmp_path / 'real').write_text('before')
    (tmp_path / 'link').symlink_to('real')
    with atomic_text(tmp_path / 'link') as file:
        file.write('after')
    assert (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'real').read_text() == 'after'
    os.mkfifo(tmp_path / 'pipe')
    reader = os.open(tmp_path / 'pipe', os.O_RDONLY | os.O_NONBLOCK)
    with atomic_text(tmp_path / 'pipe') as file:
        file.write('through')
    assert os.read(reader, 100) == b'through'
    os.close(reader)
    assert (tmp_path / 'pipe').is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['link', 'pipe', 'real']
