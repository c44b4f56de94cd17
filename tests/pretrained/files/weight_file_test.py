"""Every format gives the same arrays; a hostile or broken file gives one clear line, and runs nothing."""

import json
import os
import pathlib
import pickle
import sys
import types
import zipfile

import flax.serialization
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from jtransfer.errors import UserError
from jtransfer.pretrained.files.safetensors import is_safetensors, write_safetensors
from jtransfer.pretrained.files.unread import is_unread, kind_of
from jtransfer.pretrained.files.weight_file import read_weights

RANDOM = np.random.default_rng(0)
ARRAYS = {'a/kernel': RANDOM.normal(size=(3, 4)).astype(np.float32), 'b/bias': RANDOM.normal(size=4).astype(np.float32)}


class Hostile:
    """A pickle of this runs code where it is loaded."""

    def __init__(self, mark: pathlib.Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


def write_npz(path):
    np.savez(path, **ARRAYS)


def write_msgpack(path):
    nested = {'a': {'kernel': ARRAYS['a/kernel']}, 'b': {'bias': ARRAYS['b/bias']}}
    path.write_bytes(flax.serialization.msgpack_serialize(nested))


def write_shards(path):
    write_safetensors(path.with_name('model-1.safetensors'), {'a/kernel': ARRAYS['a/kernel']})
    write_safetensors(path.with_name('model-2.safetensors'), {'b/bias': ARRAYS['b/bias']})
    shards = {'a/kernel': 'model-1.safetensors', 'b/bias': 'model-2.safetensors'}
    path.write_text(json.dumps({'metadata': {}, 'weight_map': shards}))


WRITERS = {
    'w.safetensors': lambda path: write_safetensors(path, ARRAYS),
    'w.npz': write_npz,
    'w.msgpack': write_msgpack,
    'model.safetensors.index.json': write_shards,
}


@pytest.fixture(params=WRITERS)
def written(request, tmp_path):
    path = tmp_path / request.param
    WRITERS[request.param](path)
    return path


def one_line(caught):
    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 600
    return str(caught.value)


def test_every_format_gives_the_same_arrays(written):
    arrays, _ = read_weights(written)
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize('share', [0.0, 0.3, 0.9])
def test_truncated_files(written, share):
    data = written.read_bytes()
    written.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match=r'is damaged|truncated or damaged') as caught:
        read_weights(written)
    assert str(written) in one_line(caught)


def test_a_missing_shard_is_named(tmp_path):
    path = tmp_path / 'model.safetensors.index.json'
    write_shards(path)
    (tmp_path / 'model-2.safetensors').unlink()
    with pytest.raises(UserError, match=r'model-2\.safetensors: no such file'):
        read_weights(path)


def test_shards_lie_beside_their_index(tmp_path):
    path = tmp_path / 'model.safetensors.index.json'
    path.write_text(json.dumps({'weight_map': {'x': '../../etc/passwd'}}))
    with pytest.raises(UserError, match='must lie beside the index'):
        read_weights(path)


def test_every_tensor_comes_from_the_shard_that_the_index_names(tmp_path):
    path = tmp_path / 'model.safetensors.index.json'
    write_safetensors(tmp_path / '1.safetensors', {'a': np.zeros(2, np.float32)})
    write_safetensors(tmp_path / '2.safetensors', {'a': np.ones(2, np.float32)})
    path.write_text(json.dumps({'weight_map': {'a': '1.safetensors'}}))
    np.testing.assert_array_equal(read_weights(path)[0]['a'], np.zeros(2))
    path.write_text(json.dumps({'weight_map': {'a': '1.safetensors', 'b': '2.safetensors'}}))
    with pytest.raises(UserError, match=r"the tensor 'b' is not in 2\.safetensors"):
        read_weights(path)


@pytest.mark.parametrize('shard', ['', 5, None, 'folder/1.safetensors', '1.pkl'])
def test_an_index_of_something_else(tmp_path, shard):
    path = tmp_path / 'model.safetensors.index.json'
    path.write_text(json.dumps({'weight_map': {'a': shard}}))
    with pytest.raises(UserError, match='must lie beside the index'):
        read_weights(path)


def test_what_a_file_is_its_content_says(tmp_path):
    write_npz(tmp_path / 'w.npz')
    (tmp_path / 'w.npz').rename(tmp_path / 'downloaded')
    assert set(read_weights(tmp_path / 'downloaded')[0]) == set(ARRAYS)
    np.save(tmp_path / 'w.npy', np.ones(3))
    (tmp_path / 'w.npy').rename(tmp_path / 'w.npz')
    with pytest.raises(UserError, match='a single array without a name'):
        read_weights(tmp_path / 'w.npz')


def test_values_that_are_not_finite_are_named(tmp_path):
    np.savez(tmp_path / 'w.npz', good=np.ones(2), bad=np.array([1, np.nan]))
    with pytest.raises(UserError, match="tensor 'bad' holds 1 values that are NaN or infinite"):
        read_weights(tmp_path / 'w.npz')


def test_brain_floats_in_an_npz_are_two_opaque_bytes(tmp_path):
    values = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    np.savez(tmp_path / 'w.npz', x=values.view('V2'))
    arrays, _ = read_weights(tmp_path / 'w.npz')
    assert arrays['x'].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(arrays['x'], values)


def test_objects_in_an_npz_are_refused_unexecuted(tmp_path):
    mark = tmp_path / 'executed'
    objects = np.empty(1, object)
    objects[0] = Hostile(mark)
    np.savez(tmp_path / 'w.npz', x=objects)
    with pytest.raises(UserError, match='pickled Python objects, which are never executed') as caught:
        read_weights(tmp_path / 'w.npz')
    one_line(caught)
    assert not mark.exists()


@pytest.mark.parametrize('name', ['w.pth', 'w.bin', 'w.th', 'w'])
def test_without_torch_a_torch_file_says_what_it_needs(tmp_path, monkeypatch, name):
    mark = tmp_path / 'executed'
    (tmp_path / name).write_bytes(pickle.dumps(Hostile(mark)))
    monkeypatch.setitem(sys.modules, 'torch', None)
    with pytest.raises(UserError, match=r"needs torch \(pip install 'jtransfer\[torch\]'\)") as caught:
        read_weights(tmp_path / name)
    one_line(caught)
    assert not mark.exists()


def test_an_unknown_format_lists_the_known_ones(tmp_path):
    (tmp_path / 'w.onnx').write_bytes(b'\x08\x07' * 20)
    with pytest.raises(UserError, match=r'known: safetensors, \.npz, \.msgpack, torch'):
        read_weights(tmp_path / 'w.onnx')
    with pytest.raises(UserError, match='no such file'):
        read_weights(tmp_path / 'nothing.npz')
    with pytest.raises(UserError, match='cannot be read'):
        read_weights(tmp_path)


def test_a_msgpack_of_something_else(tmp_path):
    (tmp_path / 'w.msgpack').write_bytes(flax.serialization.msgpack_serialize({'step': 3}))
    with pytest.raises(UserError, match='not a nested dictionary of arrays'):
        read_weights(tmp_path / 'w.msgpack')


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    """What the index names is the stranger's; where a link leads, too."""
    folder, secret = tmp_path / 'folder', tmp_path / 'secret'
    folder.mkdir()
    write_safetensors(secret, {'a': np.ones(2, np.float32)})
    (folder / 'link.safetensors').symlink_to(secret)
    index = folder / 'model.safetensors.index.json'
    index.write_text(json.dumps({'weight_map': {'a': 'link.safetensors'}}))
    with pytest.raises(UserError, match=r'link\.safetensors is a link to a file outside of its folder'):
        read_weights(index)
    secret.rename(folder / 'inside')
    (folder / 'link.safetensors').unlink()
    (folder / 'link.safetensors').symlink_to('inside')
    np.testing.assert_array_equal(read_weights(index)[0]['a'], np.ones(2))


def test_the_blobs_of_the_hub_cache_are_not_outside(tmp_path):
    blobs, folder = tmp_path / 'blobs', tmp_path / 'snapshots' / 'commit' / 'sub'
    blobs.mkdir()
    folder.mkdir(parents=True)
    write_safetensors(blobs / '0a', {'a': np.ones(2, np.float32)})
    (blobs / '0b').write_text(json.dumps({'weight_map': {'a': '1.safetensors'}}))
    (folder / '1.safetensors').symlink_to(blobs / '0a')
    (folder / 'model.safetensors.index.json').symlink_to(blobs / '0b')
    assert set(read_weights(folder / 'model.safetensors.index.json')[0]) == {'a'}


@pytest.mark.parametrize('name', ['w.npz', 'w.safetensors', 'w', 'model.safetensors.index.json'])
def test_a_pipe_does_not_hang(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match='no regular file'):
        read_weights(tmp_path / name)
    index = tmp_path / 'other.safetensors.index.json'
    os.mkfifo(tmp_path / 'shard.safetensors')
    index.write_text(json.dumps({'weight_map': {'a': 'shard.safetensors'}}))
    with pytest.raises(UserError, match='no regular file'):
        read_weights(index)


def test_too_many_tensors_and_too_long_names(tmp_path):
    write_safetensors(tmp_path / 'w.safetensors', {'x' * 501: np.ones(1)})
    with pytest.raises(UserError, match='has a name of 501 letters; at most 500') as caught:
        read_weights(tmp_path / 'w.safetensors')
    one_line(caught)
    np.savez(tmp_path / 'w.npz', **{'x' * 501: np.ones(1)})
    with pytest.raises(UserError, match='has a name of 501 letters'):
        read_weights(tmp_path / 'w.npz')
    none = np.zeros(0, np.float32)
    write_safetensors(tmp_path / 'w.safetensors', dict.fromkeys(map(str, range(16_385)), none))
    with pytest.raises(UserError, match='16,385 tensors; at most 16,384 are read'):
        read_weights(tmp_path / 'w.safetensors')


def test_a_tensor_of_another_type_is_no_error_until_it_is_needed(tmp_path):
    path = tmp_path / 'w.safetensors'
    safetensors.numpy.save_file({'a': np.ones(2, np.float32), 'table': np.ones(2, np.complex64)}, path)
    arrays, _ = read_weights(path)
    np.testing.assert_array_equal(arrays['a'], np.ones(2))
    assert is_unread(arrays['table'])
    assert kind_of(arrays['table']) == 'C64'


@pytest.mark.parametrize('name', ['w.th', 'w.safetensors', 'w.npz'])
def test_a_file_that_may_not_be_read(tmp_path, monkeypatch, name):
    def refuse(path, *arguments):
        raise PermissionError(13, 'Permission denied', str(path))

    (tmp_path / name).write_bytes(b'x' * 20)
    monkeypatch.setattr(pathlib.Path, 'open', refuse)
    with pytest.raises(UserError, match='cannot be read: Permission denied'):
        read_weights(tmp_path / name)
    with pytest.raises(UserError, match='cannot be read: Permission denied'):
        is_safetensors(tmp_path / 'w.th' if name == 'w.th' else (tmp_path / name).rename(tmp_path / 'w'))


def test_a_packed_torch_archive_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'torch', types.ModuleType('torch'))
    path = tmp_path / 'w.pth'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data.pkl', bytes(1000))
    with pytest.raises(UserError, match=r"its member 'archive/data\.pkl' is compressed"):
        read_weights(path)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data.pkl', bytes(80 * 2**20))
    with pytest.raises(UserError, match='more than the 67,108,864 that are unpacked'):
        read_weights(path)


def test_arrays_of_text_and_names_of_several_lines(tmp_path):
    np.savez(tmp_path / 'w.npz', a=np.array(['x']), b=np.array([np.inf]))
    with pytest.raises(UserError, match="tensor 'b' holds 1 values that are NaN or infinite"):
        read_weights(tmp_path / 'w.npz')
    np.savez(tmp_path / 'w.npz', **{'a\nb': np.ones(1)})
    with pytest.raises(UserError, match='has a name with letters that cannot be shown') as caught:
        read_weights(tmp_path / 'w.npz')
    one_line(caught)
