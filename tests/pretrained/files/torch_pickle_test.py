"""What a pickle asks for is known before any of it is done; what torch and training scripts write passes."""

import argparse
import collections
import io
import pathlib
import pickle

import numpy as np
import pytest

from jtransfer.pretrained.files import torch_pickle
from jtransfer.pretrained.files.torch_pickle import ForeignError, RefusedError, check_pickle


class Calls:
    """A pickle of this calls a function where it is loaded."""

    def __init__(self, function, *arguments):
        self.made = function, arguments

    def __reduce__(self):
        return self.made


def check(value):
    content = pickle.dumps(value, protocol=2)
    file = io.BytesIO(content + b'behind')
    assert check_pickle(file) == len(content)
    assert file.read() == b'behind'


BESIDE = {
    'a namespace': argparse.Namespace(lr=0.1, folder=pathlib.PurePosixPath('x')),
    'a scalar of NumPy': np.float64(93.2),
    'an array of NumPy': np.arange(3),
    'an ordered dictionary': collections.OrderedDict(a=1),
    'a dictionary with a default': collections.defaultdict(list, a=[1]),
    'a counter': collections.Counter('aab'),
    'a set': {1, 2, (3, 4)},
    'bytes': b'\x00\xff',
    'tuples': {(1, (2, 3)): ((1, 2),) * 10},
    'large and small numbers': [10**30, -1, 300, 70_000, 0.5, True, None],
}


@pytest.mark.parametrize('value', BESIDE.values(), ids=BESIDE)
def test_what_lies_beside_weights_passes(value):
    check({'args': value})


@pytest.mark.parametrize('function', [exec, print, bytearray, getattr, pathlib.os.system])
def test_other_names_are_refused(function):
    with pytest.raises(ForeignError, match=function.__name__):
        check([Calls(function, 'x')])


def test_what_is_of_torch_is_called_only_to_build_a_tensor():
    content = b'\x80\x02ctorch\nTensor\nK\x05\x85R.'
    with pytest.raises(ForeignError, match=r'torch\.Tensor'):
        check_pickle(io.BytesIO(content))
    # Named, it is a type.
    check_pickle(io.BytesIO(content.replace(b'K\x05\x85R', b'')))
    # Nor may something else be called in its place.
    rebuild = b'\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(c%s\nctorch\nTensor\n)}tR.'
    check_pickle(io.BytesIO(rebuild % b'torch._utils\n_rebuild_tensor_v2'))
    with pytest.raises(RefusedError, match='arguments that no file of weights has'):
        check_pickle(io.BytesIO(rebuild % b'torch.storage\nUntypedStorage'))


def test_encodings_that_grow_are_refused():
    with pytest.raises(RefusedError, match=r'_codecs\.encode with arguments'):
        check_pickle(io.BytesIO(b'\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.'))


def test_tuples_that_unfold_without_end_are_refused():
    doubled = ()
    for _ in range(40):
        doubled = doubled, doubled
    with pytest.raises(RefusedError, match='unfold to over 1,048,576 values'):
        check([doubled])
    deep = b'\x80\x02)' + b'\x85' * 100_000 + b'.'
    with pytest.raises(RefusedError, match='nested over 64 deep'):
        check_pickle(io.BytesIO(deep))


def test_a_list_is_not_made_a_set_again_and_again():
    content = b'\x80\x02(c__builtin__\nset\nq\x01]q\x02(K\x01K\x02e\x85Rh\x01h\x02\x85Rt.'
    with pytest.raises(RefusedError, match=r'__builtin__\.set with arguments'):
        check_pickle(io.BytesIO(content))


def test_a_long_description_is_refused(monkeypatch):
    with pytest.raises(RefusedError, match='over 100 bytes'):
        check_pickle(io.BytesIO(pickle.dumps('x' * 101, protocol=2)), limit=100)
    # A length that the file has not.
    with pytest.raises(RefusedError, match='has over'):
        check_pickle(io.BytesIO(b'\x80\x02X\xff\xff\xff\xff'))
    monkeypatch.setattr(torch_pickle, '_MAX_OPERATIONS', 100)
    with pytest.raises(RefusedError, match='over 100 operations'):
        check([None] * 200)


@pytest.mark.parametrize('content', [b'', b'\x80', b'\x80\x02', b'\x80\x02t.', b'\x80\x02h\x05.', b'PK'])
def test_damaged_pickles(content):
    with pytest.raises((ValueError, LookupError)):
        check_pickle(io.BytesIO(content))
