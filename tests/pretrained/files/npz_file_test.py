"""Arrays come back as NumPy saved them; a header that lies, a bomb and objects are one line."""

import struct
import zipfile

import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.pretrained.files.npz_file import read_npz

ARRAYS = {
    'a/kernel': np.arange(6, dtype=np.float32).reshape(2, 3),
    'fortran': np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    'scalar': np.array(3, np.int64),
    'none': np.zeros((0, 4), np.float32),
    'swapped': np.arange(3, dtype='>f4'),
    'text': np.array(['a', 'bc']),
}


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path, save):
    save(tmp_path / 'w.npz', **ARRAYS)
    arrays = read_npz(tmp_path / 'w.npz')
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def _npy(shape, dtype, content):
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(text)) + text + content


@pytest.mark.parametrize(
    ('member', 'message'),
    [
        (_npy((10**12,), '<f4', bytes(8)), 'not what its header needs'),
        (_npy((-2,), '<f4', bytes(8)), 'truncated or damaged'),
        (_npy((2**62, 4), '<f4', bytes(8)), 'not what its header needs'),
        (_npy((1,), '<f4', bytes(8)), 'not what its header needs'),
        (_npy((1,) * 100, '<f4', bytes(4)), 'truncated or damaged'),
        (_npy((1,), '|O', b'cos\nsystem\n.'), 'pickled Python objects, which are never executed'),
        (_npy("__import__('os')", '<f4', b''), 'truncated or damaged'),
        (b'\x93NUMPY\x03\x00', 'of version'),
        (b'\x93NUMPY\x01\x00\xff\xff' + b'(' * 65535, 'truncated or damaged'),
        (b'', 'truncated or damaged'),
    ],
)
def test_an_array_that_lies(tmp_path, member, message):
    with zipfile.ZipFile(tmp_path / 'w.npz', 'w') as archive:
        archive.writestr('a.npy', member)
    with pytest.raises(UserError, match=message) as caught:
        read_npz(tmp_path / 'w.npz')
    assert '\n' not in str(caught.value)


def test_flipped_bytes_are_noticed(tmp_path):
    np.savez(tmp_path / 'w.npz', a=np.ones(1000, np.float32))
    data = bytearray((tmp_path / 'w.npz').read_bytes())
    data[2000] ^= 1
    (tmp_path / 'w.npz').write_bytes(data)
    with pytest.raises(UserError, match='Bad CRC-32'):
        read_npz(tmp_path / 'w.npz')


def test_a_bomb_takes_no_memory(tmp_path):
    content = _npy((20 * 2**20,), '<f4', bytes(80 * 2**20))
    with zipfile.ZipFile(tmp_path / 'w.npz', 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr('a.npy', content)
    with pytest.raises(UserError, match='more than the 67,108,864 that are unpacked'):
        read_npz(tmp_path / 'w.npz')
