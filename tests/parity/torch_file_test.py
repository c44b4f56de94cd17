"""Torch files: what torch writes is read, in every wrapping; code in them is refused unexecuted."""

import pathlib
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.pretrained.weight_file import read_weights

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
