"""A network is read as it was written, or said to be damaged; other readers and older files are not concerned."""

import json
import warnings

import numpy as np
import pytest
import safetensors.numpy

from jtransfer.errors import UserError
from jtransfer.pretrained.files import file_digest
from jtransfer.pretrained.files import safetensors as files
from tests.flips import flip, places

ARRAYS = {'a': np.arange(40, dtype=np.float32) + 1, 'b': np.arange(6, dtype=np.int16).reshape(2, 3)}
METADATA = {'format': 'x', 'name': 'Grüße'}


@pytest.fixture
def path(tmp_path):
    files.write_safetensors(tmp_path / 'w.safetensors', ARRAYS, METADATA)
    return tmp_path / 'w.safetensors'


def same(path):
    arrays, metadata = files.read_safetensors(path)
    assert arrays.keys() == ARRAYS.keys()
    return metadata == METADATA and all(np.array_equal(arrays[name], array) for name, array in ARRAYS.items())


def test_a_flipped_bit_is_never_another_network_in_silence(path):
    content = path.read_bytes()
    noticed = 0
    for position in places(len(content), 120):
        flip(path, position)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                assert same(path), position
        except UserError as error:
            noticed += '\n' not in str(error)
        path.write_bytes(content)
    # But for the key of the digest, and spaces behind the header.
    assert noticed > 100


def test_a_flip_in_the_values_is_one_line_that_says_what_to_do(path):
    flip(path, path.stat().st_size - 1)
    with pytest.raises(UserError, match=r"damaged: its values or its header .*leave 'jtransfer.sha256' out"):
        files.read_safetensors(path)
    with pytest.raises(UserError, match='damaged'):
        files.read_safetensors(path, finite=False)


def test_it_is_checked_in_pieces(path, monkeypatch):
    monkeypatch.setattr(file_digest, '_CHUNK', 7)
    assert same(path)
    flip(path, path.stat().st_size - 9)
    with pytest.raises(UserError, match='damaged'):
        files.read_safetensors(path)


def test_files_without_a_digest_are_read(path, tmp_path):
    loaded = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file(loaded, tmp_path / 'other.safetensors', METADATA)
    assert same(tmp_path / 'other.safetensors')


def test_another_program_may_write_the_same_values_in_another_order(path, tmp_path):
    with safetensors.safe_open(path, 'np') as opened:
        metadata = opened.metadata()
    assert file_digest.KEY in metadata
    assert files.read_metadata(path) == METADATA
    content = path.read_bytes()
    length = int.from_bytes(content[:8], 'little')
    header = json.loads(content[8 : 8 + length])
    head = json.dumps(dict(reversed(header.items())), indent=1).encode()
    other = tmp_path / 'other.safetensors'
    other.write_bytes(len(head).to_bytes(8, 'little') + head + content[8 + length :])
    assert same(other)
