"""Files come back as they went, and everything wrong with one is a single clear line."""

import json
import os

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from jtransfer.errors import UserError
from jtransfer.pretrained.files import safetensors as files

ARRAYS = {
    'b/kernel': np.arange(6, dtype=np.float32).reshape(2, 3) - 2.5,
    'a/flags': np.array([True, False, True]),
    'c/half': np.array([1.5, -2.0], np.float16),
    'd/brain': np.array([[3.0], [-0.5]], ml_dtypes.bfloat16),
    'e/scalar': np.array(7, np.int64),
    'f/empty': np.zeros((0, 4), np.float32),
}
METADATA = {'format': 'x', 'name': 'Grüße "quoted"'}


@pytest.fixture
def written(tmp_path):
    path = tmp_path / 'w.safetensors'
    files.write_safetensors(path, ARRAYS, METADATA)
    return path


def test_round_trip_keeps_values_types_and_metadata(written):
    arrays, metadata = files.read_safetensors(written)
    assert metadata == METADATA
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_the_library_reads_what_we_write(tmp_path):
    arrays = {name: array for name, array in ARRAYS.items() if name != 'd/brain'}
    path = tmp_path / 'w.safetensors'
    files.write_safetensors(path, arrays, METADATA)
    for name, array in safetensors.numpy.load_file(path).items():
        np.testing.assert_array_equal(array, arrays[name])
    with safetensors.safe_open(path, 'np') as opened:
        stated = opened.metadata()
        assert len(stated.pop('jtransfer.sha256')) == 64
        assert stated == METADATA


def test_we_read_what_the_library_writes(tmp_path):
    arrays = {'x': np.ones((2, 2), np.float32), 'y': np.array([1, 2], np.int32)}
    path = tmp_path / 'w.safetensors'
    safetensors.numpy.save_file(arrays, path)
    ours, metadata = files.read_safetensors(path)
    assert metadata == {}
    np.testing.assert_array_equal(ours['x'], arrays['x'])
    np.testing.assert_array_equal(ours['y'], arrays['y'])


def test_equal_inputs_give_equal_bytes_in_any_order(written, tmp_path):
    other = tmp_path / 'other.safetensors'
    files.write_safetensors(other, dict(reversed(ARRAYS.items())), dict(reversed(METADATA.items())))
    assert other.read_bytes() == written.read_bytes()


def test_memory_layout_and_byte_order_do_not_show(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    blobs = []
    for i, array in enumerate((values, np.asfortranarray(values), values.astype('>f4'))):
        files.write_safetensors(tmp_path / f'{i}.safetensors', {'x': array})
        blobs.append((tmp_path / f'{i}.safetensors').read_bytes())
    assert blobs[0] == blobs[1] == blobs[2]


def test_every_array_is_aligned(written):
    data = written.read_bytes()
    length = int.from_bytes(data[:8], 'little')
    header = json.loads(data[8 : 8 + length])
    assert length % 8 == 0
    for name, array in ARRAYS.items():
        assert header[name]['data_offsets'][0] % array.itemsize == 0


def test_a_failed_write_leaves_the_old_file_and_nothing_else(written, monkeypatch):
    before = written.read_bytes()

    def full_disk(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full_disk)
    with pytest.raises(UserError, match='cannot be written: No space left'):
        files.write_safetensors(written, {'x': np.zeros(3, np.float32)})
    assert written.read_bytes() == before
    assert os.listdir(written.parent) == [written.name]


def test_the_file_is_readable_as_other_files_are(written):
    plain = written.parent / 'plain'
    plain.write_bytes(b'')
    assert written.stat().st_mode == plain.stat().st_mode


def _one_line(caught):
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match='no such file') as caught:
        files.read_safetensors(tmp_path / 'nothing.safetensors')
    assert 'nothing.safetensors' in _one_line(caught)


def test_a_directory(tmp_path):
    with pytest.raises(UserError, match='cannot be read: Is a directory'):
        files.read_safetensors(tmp_path)


def test_missing_folders_are_made(tmp_path):
    files.write_safetensors(tmp_path / 'no' / 'such' / 'w.safetensors', ARRAYS)
    with pytest.raises(UserError, match=r'cannot be written: (File exists|Not a directory)'):
        files.write_safetensors(tmp_path / 'no' / 'such' / 'w.safetensors' / 'w.safetensors', ARRAYS)
    assert set(files.read_safetensors(tmp_path / 'no' / 'such' / 'w.safetensors')[0]) == set(ARRAYS)


@pytest.mark.parametrize('keep', [0, 5, 8, 40, -1])
def test_truncated_at_any_place(written, keep):
    written.write_bytes(written.read_bytes()[:keep])
    with pytest.raises(UserError, match='truncated or damaged') as caught:
        files.read_safetensors(written)
    _one_line(caught)


def _with_header(path, header, data=b''):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, 'little') + head + data)


@pytest.mark.parametrize(
    'header',
    [
        b'not json',
        b'[1, 2]',
        {'x': {'dtype': 'F32', 'shape': [1000], 'data_offsets': [0, 4000]}},
        {'x': {'dtype': 'F32', 'shape': [3], 'data_offsets': [0, 8]}},
        {'x': {'dtype': 'F32', 'shape': [2], 'data_offsets': [-8, 0]}},
        {'x': {'dtype': 'F1', 'shape': [2], 'data_offsets': [0, 8]}},
    ],
)
def test_a_header_that_lies(tmp_path, header):
    path = tmp_path / 'w.safetensors'
    _with_header(path, header, b'\0' * 8)
    with pytest.raises(UserError, match='not a valid') as caught:
        files.read_safetensors(path)
    _one_line(caught)


def test_a_header_longer_than_the_file(tmp_path):
    path = tmp_path / 'w.safetensors'
    path.write_bytes((2**40).to_bytes(8, 'little') + b'{}')
    with pytest.raises(UserError, match='not a valid'):
        files.read_safetensors(path)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('dtype', [np.float32, np.float16, ml_dtypes.bfloat16])
def test_values_that_are_not_finite_are_refused_by_name(tmp_path, bad, dtype):
    path = tmp_path / 'w.safetensors'
    values = np.array([0, bad, bad], dtype)
    with pytest.raises(UserError, match=r"tensor 'head/kernel' holds 2 values that are NaN or infinite"):
        files.write_safetensors(path, {'head/kernel': values})
    assert not path.exists()
    name = {2: 'BF16' if dtype is ml_dtypes.bfloat16 else 'F16', 4: 'F32'}[values.itemsize]
    header = {'head/kernel': {'dtype': name, 'shape': [3], 'data_offsets': [0, values.nbytes]}}
    _with_header(path, header, values.tobytes())
    with pytest.raises(UserError, match=r"tensor 'head/kernel' holds 2 values"):
        files.read_safetensors(path)


def test_unsupported_types_are_refused_by_name(tmp_path):
    path = tmp_path / 'w.safetensors'
    with pytest.raises(UserError, match="tensor 'x' has type complex64"):
        files.write_safetensors(path, {'x': np.zeros(2, np.complex64)})
    _with_header(path, {'x': {'dtype': 'F8_E4M3', 'shape': [2], 'data_offsets': [0, 2]}}, b'\0\0')
    with pytest.raises(UserError, match="tensor 'x' has type F8_E4M3"):
        files.read_safetensors(path)


def test_writing_leaves_arrays_alone_that_were_changed_in_memory(tmp_path):
    """Their pages are not the file's any more: the system must not be told that it may have them back."""
    np.save(tmp_path / 'x.npy', np.zeros(5000, np.float32))
    changed = np.load(tmp_path / 'x.npy', mmap_mode='c')
    changed += 1
    files.write_safetensors(tmp_path / 'w.safetensors', {'x': changed})
    np.testing.assert_array_equal(changed, np.ones(5000, np.float32))
    np.testing.assert_array_equal(files.read_safetensors(tmp_path / 'w.safetensors')[0]['x'], changed)


def test_released_arrays_can_be_read_again(tmp_path):
    values = np.arange(10_000, dtype=np.float32)
    files.write_safetensors(tmp_path / 'w.safetensors', {'x': values, 'y': values + 1})
    arrays, _ = files.read_safetensors(tmp_path / 'w.safetensors')
    for name in ('x', 'y', 'x'):
        files.release(arrays[name])
        np.testing.assert_array_equal(arrays[name], values + (name == 'y'))


@pytest.mark.parametrize('shape', [[0, 2**62], [1] * 100 + [0], [2**63, 0]])
def test_shapes_that_no_array_has(tmp_path, shape):
    path = tmp_path / 'w.safetensors'
    _with_header(path, {'x': {'dtype': 'F32', 'shape': shape, 'data_offsets': [0, 0]}})
    with pytest.raises(UserError, match=r'a shape that cannot be|not a valid') as caught:
        files.read_safetensors(path)
    _one_line(caught)


def test_overlapping_tensors(tmp_path):
    path = tmp_path / 'w.safetensors'
    tensor = {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]}
    _with_header(path, {'x': tensor, 'y': tensor}, b'\0' * 8)
    with pytest.raises(UserError, match='not a valid'):
        files.read_safetensors(path)


def test_a_header_of_many_megabytes_is_not_parsed(tmp_path):
    path = tmp_path / 'w.safetensors'
    with path.open('wb') as file:
        file.write((17 * 2**20).to_bytes(8, 'little'))
        file.truncate(18 * 2**20)
    with pytest.raises(UserError, match='a header of 17,825,792 bytes; at most 16,777,216 are read'):
        files.read_safetensors(path)


def test_a_name_with_nothing_in_it_is_no_name(tmp_path):
    path = tmp_path / 'w.safetensors'
    _with_header(path, {'x\0': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]}}, b'\0' * 8)
    with pytest.raises(UserError, match='NUL in a text'):
        files.read_safetensors(path)


def test_values_that_are_not_finite_are_found_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(files, '_PIECE', 4)
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    assert sorted(np.concatenate([piece.ravel() for piece in files._pieces(array)])) == list(range(60))
    assert max(piece.size for piece in files._pieces(array)) <= 4
    array[1, 2, 3] = array[2, 0, 0] = np.nan
    for made in (array, array.T, array[:, ::2]):
        with pytest.raises(UserError, match="'x' holds 2 values"):
            files.check_finite(tmp_path, {'x': made})
    files.check_finite(tmp_path, {'x': np.zeros((0, 3), np.float32), 'y': np.zeros((), np.float32)})
