"""Torch files: what torch writes is read, in every wrapping; code in them is refused unexecuted."""

import argparse
import collections
import datetime
import pathlib
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.pretrained.files.unread import is_unread, kind_of
from jtransfer.pretrained.files.weight_file import read_weights
from jtransfer.pretrained.load.namemap import NameMap, Rule

pytestmark = pytest.mark.parity
torch = pytest.importorskip('torch')


class Hostile:
    """A pickle of this runs code where it is loaded."""

    def __init__(self, mark: pathlib.Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


def tensors():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(6, 4, generator=generator)
    # A transposed view and a slice are stored with strides and an offset.
    return {'a.weight': base.t(), 'b.weight': base[2:4], 'c.weight': base.to(torch.bfloat16), 'd.half': base.half()}


@pytest.mark.parametrize('new', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize(
    'wrap',
    [
        lambda state: state,
        lambda state: {'model': state, 'optimizer': {'lr': 0.1}, 'epoch': 3},
        lambda state: {'state_dict': state, 'best_prec1': 93.2},
        lambda state: {'model': {'state_dict': state}},
        lambda state: {name: torch.nn.Parameter(tensor) for name, tensor in state.items()},
    ],
)
def test_what_torch_writes_is_read(tmp_path, new, wrap):
    torch.save(wrap(tensors()), tmp_path / 'w.pth', _use_new_zipfile_serialization=new)
    arrays, _ = read_weights(tmp_path / 'w.pth')
    assert set(arrays) == set(tensors())
    for name, tensor in tensors().items():
        np.testing.assert_array_equal(arrays[name].astype(np.float32), tensor.float().numpy())
    assert arrays['c.weight'].dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize('new', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize(
    'beside',
    [
        argparse.Namespace(lr=0.1, folder=pathlib.Path('x')),
        np.float64(93.2),
        np.arange(3),
        collections.defaultdict(list, a=[1]),
        collections.deque([1, 2], maxlen=5),
        {'classes': {1, 2}, 'time': datetime.datetime(2020, 1, 1), 'device': torch.device('cpu')},
        torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))]).state_dict(),
        np.random.default_rng(0).bytes(5),
    ],
)
def test_what_training_scripts_keep_beside_the_weights_is_passed_over(tmp_path, new, beside):
    torch.save({'state_dict': tensors(), 'beside': beside}, tmp_path / 'w.pth', _use_new_zipfile_serialization=new)
    assert set(read_weights(tmp_path / 'w.pth')[0]) == set(tensors())


@pytest.mark.filterwarnings('ignore:Sparse invariant checks:UserWarning')
def test_a_tensor_of_another_type_is_no_error_until_it_is_needed(tmp_path):
    others = {
        'float8': torch.ones(2).to(torch.float8_e4m3fn),
        'sparse': torch.sparse_coo_tensor([[0]], [1.0], (3,)),
        'meta': torch.ones(2, device='meta'),
        'conjugate': torch.ones(2, dtype=torch.complex64).conj(),
        'expanded': torch.zeros(1).as_strided((2**46,), (0,)),
    }
    torch.save({**tensors(), **others}, tmp_path / 'w.pth')
    arrays, _ = read_weights(tmp_path / 'w.pth')
    assert {name for name, array in arrays.items() if is_unread(array)} == set(others)
    assert kind_of(arrays['float8']) == 'float8_e4m3fn'
    assert arrays['expanded'].shape == (2**46,)
    mapping = NameMap('x', (Rule('float8', 'params/kernel'),))
    with pytest.raises(UserError, match=r"tensor 'float8' holds float8_e4m3fn, where floating-point numbers belong"):
        mapping.to_ours(arrays, {'params/kernel': (2,)})


def test_the_same_values_many_times_over(tmp_path):
    """Each of the tensors is as large as the file, which holds one."""
    values = torch.zeros(2**20)
    torch.save({f'{index}': values.view(-1) for index in range(100)}, tmp_path / 'w.pth')
    with pytest.raises(UserError, match=r'would become tensors of 419,430,400 bytes'):
        read_weights(tmp_path / 'w.pth')


def test_a_storage_that_a_tensor_would_make_larger(tmp_path):
    """torch gives the tensor of the older form as much as it asks for."""
    path = tmp_path / 'w.pth'
    torch.save({'a': torch.zeros(5)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b'K\x00K\x05\x85', b'K\x00J\x00\x00\x00\x10\x85'))
    with pytest.raises(UserError, match=r'would become tensors|truncated or damaged'):
        read_weights(path)


@pytest.mark.parametrize('new', [True, False], ids=['zip', 'legacy'])
def test_a_file_that_holds_itself(tmp_path, new):
    content = {'a': torch.ones(2)}
    content['model'] = {'state_dict': content}
    torch.save(content, tmp_path / 'w.pth', _use_new_zipfile_serialization=new)
    assert set(read_weights(tmp_path / 'w.pth')[0]) == {'a'}
    del content['a']
    torch.save(content, tmp_path / 'w.pth', _use_new_zipfile_serialization=new)
    with pytest.raises(UserError, match='no tensors by name'):
        read_weights(tmp_path / 'w.pth')


@pytest.mark.parametrize('name', ['w.pth', 'w.bin', 'w.th'])
def test_code_is_refused_unexecuted(tmp_path, name):
    mark = tmp_path / 'executed'
    path = tmp_path / name
    torch.save({'state_dict': {**tensors(), 'x': Hostile(mark)}}, path)
    with pytest.raises(UserError, match='holds code or objects beside tensors, which are never executed') as caught:
        read_weights(path)
    assert '\n' not in str(caught.value)
    assert 'weights_only' not in str(caught.value), 'a person must not be told to switch the protection off'
    path.write_bytes(pickle.dumps(Hostile(mark)))
    with pytest.raises(UserError, match=r'never executed|truncated or damaged'):
        read_weights(path)
    assert not mark.exists()


@pytest.mark.parametrize('new', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('share', [0.1, 0.6, 0.99])
def test_truncated_files(tmp_path, new, share):
    path = tmp_path / 'w.pth'
    torch.save(tensors(), path, _use_new_zipfile_serialization=new)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    # Half a name of the file's reads like the name of something else.
    with pytest.raises(UserError, match=r'truncated or damaged|objects beside tensors') as caught:
        read_weights(path)
    assert '\n' not in str(caught.value)


@pytest.mark.filterwarnings('ignore:`torch.jit.script` is deprecated:DeprecationWarning')
def test_a_script_module_is_refused(tmp_path):
    path = tmp_path / 'w.pt'
    torch.jit.script(torch.nn.Linear(2, 3)).save(path)
    assert zipfile.is_zipfile(path)
    with pytest.raises(UserError, match='a TorchScript archive, which is a program') as caught:
        read_weights(path)
    assert '\n' not in str(caught.value)


def test_a_file_without_tensors(tmp_path):
    torch.save({'epoch': 3}, tmp_path / 'w.pth')
    with pytest.raises(UserError, match='no tensors by name'):
        read_weights(tmp_path / 'w.pth')
