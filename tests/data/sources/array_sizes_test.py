"""Arrays are measured by their headers before a byte is inflated."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from jtransfer.data.sources import array_sizes
from jtransfer.data.sources.array_sizes import check_array_sizes
from jtransfer.errors import UserError


def refusal(file):
    tracemalloc.start()
    with pytest.raises(UserError) as raised:
        check_array_sizes(file)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
    assert '\n' not in str(raised.value)
    return str(raised.value)


def header_of(shape, dtype='|u1'):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {'descr': dtype, 'fortran_order': False, 'shape': shape})
    return file.getvalue()


def zipped(file, content, name='images.npy'):
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file


def test_a_bomb_is_refused_by_what_its_directory_says(tmp_path, monkeypatch):
    monkeypatch.setattr(array_sizes, '_ALWAYS_ALLOWED', 2**20)
    np.savez_compressed(tmp_path / 'bomb.npz', images=np.zeros((16, 512, 512), np.uint8), labels=np.arange(16))
    size = (tmp_path / 'bomb.npz').stat().st_size
    assert refusal(tmp_path / 'bomb.npz') == (
        f'{tmp_path}/bomb.npz is {size:,} bytes, but its arrays are 4,194,688 (a decompression bomb?); 1,048,576 are '
        'allowed: save them without compression (numpy.savez) if they are meant'
    )
    np.savez(tmp_path / 'plain.npz', images=np.zeros((16, 512, 512), np.uint8))
    check_array_sizes(tmp_path / 'plain.npz')


def test_black_images_of_a_modest_size_are_fine(tmp_path):
    np.savez_compressed(tmp_path / 'black.npz', images=np.zeros((8, 512, 512), np.uint8))
    check_array_sizes(tmp_path / 'black.npz')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (header_of((10**12,)), "the header of its array 'images' states 1,000,000,000,128 bytes, but the file has 128"),
        (header_of((10**30, 10**30)), "the header of its array 'images' states"),
        (header_of((2,), '<U100000000'), "the header of its array 'images' states 800,000,128 bytes"),
        (header_of((-1,)), r'is no .npz file of plain arrays (an array of shape (-1,))'),
        (b'\x93NUMPY\x03\x00' + header_of((1,))[8:], 'an array in version 3.0 of the format'),
        (b'\x93NUMPY\x01\x00v\x00{[[[[', 'is no .npz file of plain arrays'),
        (b'no array', 'is no .npz file of plain arrays'),
        (b'', 'is no .npz file of plain arrays'),
    ],
)
def test_headers_that_lie(tmp_path, content, message):
    assert message in refusal(zipped(tmp_path / 'a.npz', content))


def test_what_is_no_archive(tmp_path):
    (tmp_path / 'a.npz').write_bytes(header_of((10**12,)))
    assert 'is no .npz file of plain arrays (File is not a zip file)' in refusal(tmp_path / 'a.npz')


def test_any_number_of_nothing_is_refused(tmp_path):
    file = zipped(tmp_path / 'empty.npz', header_of((10**12, 0, 0, 3)))
    assert 'an array of shape (1000000000000, 0, 0, 3)' in refusal(file)
