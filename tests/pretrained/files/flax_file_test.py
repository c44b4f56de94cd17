"""Flax's files of parameters come back, also those in chunks; anything else in msgpack is one line."""

import flax.serialization
import jax.numpy as jnp
import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.pretrained.files import flax_file
from jtransfer.pretrained.files.flax_file import read_flax

TREE = {
    'a': {'kernel': np.arange(6, dtype=np.float32).reshape(2, 3), 'step': np.array(3, np.int64)},
    'b': {'half': np.ones(3, np.float16), 'scalar': np.float32(2.5), 'empty': np.zeros((0, 2), np.float32)},
}


def _flat(tree):
    return {f'{outer}/{name}': value for outer, inner in tree.items() for name, value in inner.items()}


def test_arrays_come_back(tmp_path):
    (tmp_path / 'w').write_bytes(flax.serialization.msgpack_serialize(TREE))
    arrays = read_flax(tmp_path / 'w')
    assert set(arrays) == set(_flat(TREE))
    for name, array in _flat(TREE).items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_brain_floats_come_back(tmp_path):
    values = jnp.array([1.5, -2.0], jnp.bfloat16)
    (tmp_path / 'w').write_bytes(flax.serialization.msgpack_serialize({'a': values}))
    found = read_flax(tmp_path / 'w')['a']
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def test_chunks_are_joined(tmp_path, monkeypatch):
    monkeypatch.setattr(flax.serialization, 'MAX_CHUNK_SIZE', 40)
    array = np.arange(60, dtype=np.float32).reshape(3, 20)
    (tmp_path / 'w').write_bytes(flax.serialization.msgpack_serialize({'a': {'b': array.copy()}}))
    np.testing.assert_array_equal(read_flax(tmp_path / 'w')['a/b'], array)


RIGHT = flax.serialization.msgpack_serialize({'a': np.ones((3, 4), np.float32)})


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'\x81\xa1a' * 5000 + b'\xc0',
        b'\x91' * 10**5,
        b'\xdd\x7f\xff\xff\xff' + b'\xc0' * 1000,
        b'\xdf\x7f\xff\xff\xff' + b'\xa0\xc0' * 1000,
        RIGHT[:-1],
        RIGHT + b'\xc0',
        RIGHT.replace(b'float32', b'float64'),
        RIGHT.replace(b'float32', b'object0'),
        RIGHT.replace(b'\x92\x03\x04', b'\x92\x03\x7f'),
        RIGHT.replace(b'\x92\x03\x04', b'\x92\xfd\xfc'),
        b'\x81\x01\x80',
        b'\x81\xa1a\xd4\x05x',
    ],
)
def test_damaged_files_are_one_line(tmp_path, content):
    (tmp_path / 'w').write_bytes(content)
    with pytest.raises(UserError, match='truncated or damaged') as caught:
        read_flax(tmp_path / 'w')
    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_what_is_no_dictionary_of_arrays(tmp_path):
    for content in (b'\xc0', b'\x81\xa1a\xc0', b'\x80', flax.serialization.msgpack_serialize({'step': 3})):
        (tmp_path / 'w').write_bytes(content)
        with pytest.raises(UserError, match='not a nested dictionary of arrays'):
            read_flax(tmp_path / 'w')


def test_there_are_so_many_entries_at_most(tmp_path, monkeypatch):
    monkeypatch.setattr(flax_file, '_MAX_OBJECTS', 10)
    tree = {str(index): np.ones(1, np.float32) for index in range(11)}
    (tmp_path / 'w').write_bytes(flax.serialization.msgpack_serialize(tree))
    with pytest.raises(UserError, match='more than 10 entries'):
        read_flax(tmp_path / 'w')
