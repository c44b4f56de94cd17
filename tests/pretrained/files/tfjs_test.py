"""TensorFlow.js models: values, memory, and what can be wrong with the files."""

import itertools
import json

import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.pretrained.files import tfjs
from jtransfer.pretrained.files.tfjs import read_tfjs

TENSORS = {
    'conv/kernel': np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    'conv/bias': np.asarray([0.5, -1.5], np.float32),
    'scale': np.asarray(7.0, np.float32),
    'none': np.zeros((0, 3), np.float32),
    'dense/kernel': np.linspace(-1, 1, 10, dtype=np.float32).reshape(5, 2),
}


def specs(tensors=TENSORS, **fields):
    """Entries of a manifest."""
    return [{'name': name, 'shape': list(value.shape), 'dtype': 'float32', **fields} for name, value in tensors.items()]


def write(folder, cuts=(), **changes):
    """A model whose bytes are cut at these places; returns its model.json."""
    data = b''.join(value.tobytes() for value in TENSORS.values())
    edges = [0, *cuts, len(data)]
    shards = {f'shard{i}.bin': data[a:b] for i, (a, b) in enumerate(itertools.pairwise(edges))}
    for name, part in shards.items():
        (folder / name).write_bytes(part)
    group = {'paths': list(shards), 'weights': specs(), **changes}
    return manifest(folder, [group])


def manifest(folder, groups):
    """Writes a model.json with these groups."""
    path = folder / 'model.json'
    path.write_text(json.dumps({'modelTopology': {'class_name': 'anything'}, 'weightsManifest': groups}))
    return path


def fails(path, message):
    """Reading ends in one line that fits the expression."""
    with pytest.raises(UserError, match=message) as error:
        read_tfjs(path)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('cuts', [(), (96,), (40, 97, 97, 103), (1, 2, 3)])
def test_tensors_are_those_that_were_written(tmp_path, cuts):
    arrays = read_tfjs(write(tmp_path, cuts))
    assert list(arrays) == list(TENSORS)
    for name, value in TENSORS.items():
        assert arrays[name].dtype == np.float32
        np.testing.assert_array_equal(arrays[name], value)
    assert arrays['scale'].shape == ()


def test_a_folder_stands_for_its_model(tmp_path):
    write(tmp_path)
    assert list(read_tfjs(tmp_path)) == list(TENSORS)


def test_groups_have_files_of_their_own(tmp_path):
    first, second = dict(list(TENSORS.items())[:2]), {'other': np.asarray([1, 2, 3], np.float32)}
    groups = []
    for name, tensors in (('a.bin', first), ('b.bin', second)):
        (tmp_path / name).write_bytes(b''.join(value.tobytes() for value in tensors.values()))
        groups.append({'paths': [name], 'weights': specs(tensors)})
    arrays = read_tfjs(manifest(tmp_path, groups))
    for name, value in (first | second).items():
        np.testing.assert_array_equal(arrays[name], value)


def test_tensors_are_views_of_the_mapped_file(tmp_path):
    arrays = read_tfjs(write(tmp_path, cuts=(100,)))
    bases = {name: _root(value) for name, value in arrays.items() if value.size}
    assert isinstance(bases['conv/kernel'], np.memmap)
    assert bases['dense/kernel'] is bases['scale'] is not bases['conv/kernel']
    # This one lies across the cut.
    assert not isinstance(bases['conv/bias'], np.memmap)
    assert not arrays['conv/kernel'].flags.writeable


def _root(array):
    """The array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


@pytest.mark.parametrize('missing', [1, 4, 100])
def test_truncated(tmp_path, missing):
    path = write(tmp_path)
    data = (tmp_path / 'shard0.bin').read_bytes()
    (tmp_path / 'shard0.bin').write_bytes(data[:-missing])
    fails(path, rf'model\.json: shard0\.bin has {148 - missing} bytes, the tensors listed need 148: truncated$')


def test_too_many_bytes(tmp_path):
    path = write(tmp_path)
    (tmp_path / 'shard0.bin').write_bytes(bytes(152))
    fails(path, 'shard0.bin has 152 bytes, the tensors listed need 148: of another model')


def test_a_missing_shard(tmp_path):
    path = write(tmp_path, cuts=(96,))
    (tmp_path / 'shard1.bin').unlink()
    fails(path, r'shard1\.bin: no such file; model\.json names it as a shard')


def test_no_shards_at_all(tmp_path):
    fails(write(tmp_path, paths=[]), 'no file has 0 bytes')


@pytest.mark.parametrize('name', ['../weights.bin', '/etc/passwd', 'a/b.bin', '..', '', 3])
def test_shards_elsewhere_are_not_touched(tmp_path, name):
    fails(write(tmp_path, paths=[name]), 'must be the name of a file in the same folder')


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'dtype': 'int32'}, "tensor 'conv/kernel' has type int32; only float32 is read"),
        ({'dtype': None}, 'has type None'),
        ({'quantization': {'dtype': 'uint8'}}, "tensor 'conv/kernel' has type float32, quantised"),
        ({'shape': [2, -3, 4]}, r"tensor 'conv/kernel' has the shape \[2, -3, 4\]; expected a list of whole numbers"),
        ({'shape': None}, 'has the shape None'),
        ({'shape': [True]}, 'has the shape'),
        ({'name': 5}, 'has no name'),
        ({'name': 'same'}, "lists the tensor 'same' twice"),
    ],
)
def test_tensors_that_make_no_sense(tmp_path, fields, message):
    fails(write(tmp_path, weights=specs(**fields)), message)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"weightsManifest": [', 'is damaged'),
        ('\udcff', 'is damaged'),
        ('[]', "no list 'weightsManifest'"),
        ('{"weightsManifest": {}}', "no list 'weightsManifest'"),
        ('{"weightsManifest": []}', 'lists no tensors'),
        ('{"weightsManifest": [7]}', "needs the lists 'paths' and 'weights'"),
        ('{"weightsManifest": [{"paths": ["a"]}]}', "needs the lists 'paths' and 'weights'"),
        ('{"weightsManifest": [{"paths": [], "weights": [3]}]}', 'has no name'),
    ],
)
def test_other_files_than_a_model(tmp_path, text, message):
    path = tmp_path / 'model.json'
    path.write_bytes(text.encode(errors='surrogateescape'))
    fails(path, message)


def test_no_file(tmp_path):
    fails(tmp_path, r'model\.json: no such file; expected the model\.json of a TensorFlow\.js model')
    (tmp_path / 'model.json').mkdir()
    fails(tmp_path, 'is no regular file, but a folder')


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    folder, secret = tmp_path / 'folder', tmp_path / 'secret'
    folder.mkdir()
    secret.write_bytes(bytes(8))
    (folder / 'shard').symlink_to(secret)
    weights = [{'name': 'a', 'shape': [2], 'dtype': 'float32'}]
    (folder / 'model.json').write_text(json.dumps({'weightsManifest': [{'paths': ['shard'], 'weights': weights}]}))
    with pytest.raises(UserError, match='is a link to a file outside of its folder'):
        read_tfjs(folder)


def test_a_shard_is_named_once(tmp_path):
    """Not thirty times by thirty tensors, each of which would be a copy of it, or as many open files."""
    (tmp_path / 's').write_bytes(bytes(4))
    group = {'paths': ['s'] * 3, 'weights': specs({'a': np.zeros(3, np.float32)})}
    fails(manifest(tmp_path, [group]), "names the shard 's' twice")
    groups = [{'paths': ['s'], 'weights': specs({name: np.zeros(1, np.float32)})} for name in 'ab']
    fails(manifest(tmp_path, groups), "names the shard 's' twice")


def test_very_many_shards(tmp_path, monkeypatch):
    path = write(tmp_path, cuts=(1, 2, 3, 40, 97))
    monkeypatch.setattr(tfjs, '_MAX_MAPPED', 2)
    for name, value in read_tfjs(path).items():
        np.testing.assert_array_equal(value, TENSORS[name])
    monkeypatch.setattr(tfjs, '_MAX_SHARDS', 5)
    fails(path, 'names 6 shards; at most 5 are read')


def test_more_files_than_may_be_open(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(24, 'Too many open files')

    monkeypatch.setattr(np, 'memmap', full)
    fails(write(tmp_path), r'shard0\.bin: cannot be read: Too many open files')
