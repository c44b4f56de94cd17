"""Downloads that are something else than weights are known by their first bytes."""

import io

import numpy as np
import pytest
import safetensors.numpy
from flax import serialization

from jtransfer.pretrained.download.kinds import wrong_kind

ARRAYS = {'a/kernel': np.arange(6.0).reshape(2, 3)}


def written(path, content):
    path.write_bytes(content)
    return path


def npz(save):
    file = io.BytesIO()
    save(file, **ARRAYS)
    return file.getvalue()


@pytest.mark.parametrize(
    ('content', 'what'),
    [
        (b'', 'is empty'),
        (b'<!doctype html>', 'is an HTML page'),
        (b'\xef\xbb\xbf\r\n <!-- portal -->\n<HTML lang=en>', 'is an HTML page'),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', 'is an XML message of the server'),
        (b'version https://git-lfs.github.com/spec/v1', 'is a Git LFS pointer, not the file itself'),
    ],
)
@pytest.mark.parametrize('name', ['w.bin', 'w.npz', 'w.safetensors', 'w.PTH', 'w'])
def test_what_servers_send_instead(tmp_path, name, content, what):
    assert wrong_kind(written(tmp_path / name, content)) == what
    assert wrong_kind(written(tmp_path / 'w.part', content), name) == what


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('w.npz', npz(np.savez)),
        ('w.npz', npz(np.savez_compressed)),
        ('w.safetensors', safetensors.numpy.save(ARRAYS)),
        ('w.msgpack', serialization.msgpack_serialize(ARRAYS)),
        ('w.msgpack', serialization.msgpack_serialize({str(i): np.zeros(1) for i in range(300)})),
        ('w.pth', b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'),
        ('w.th', b'PK\x03\x04\0\0'),
        ('w.h5', b'\x89HDF'),
        ('w', b'anything'),
    ],
)
def test_what_may_be_the_file(tmp_path, name, content):
    assert wrong_kind(written(tmp_path / name, content)) == ''
    others = {'w.npz', 'w.safetensors', 'w.msgpack', 'w.pth'} - {name, {'w.th': 'w.pth'}.get(name)}
    others -= {'w.msgpack'} if name == 'w.h5' else set()  # a map of nine entries
    if name in ('w.npz', 'w.pth', 'w.th'):  # both may be zip archives
        others -= {'w.npz', 'w.pth', 'w.msgpack'}
    assert all('by its first bytes' in wrong_kind(tmp_path / name, other) for other in others)
