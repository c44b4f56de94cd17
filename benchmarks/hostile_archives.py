"""Crafted files of weights: headers that lie, bombs, archives with code in them, names that lead elsewhere."""

from __future__ import annotations

import argparse
import io
import json
import os
import pathlib
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import flax.serialization
import numpy as np

from benchmarks.hostile_values import Action, mangled
from jtransfer.pretrained.files.safetensors import write_safetensors
from jtransfer.pretrained.files.weight_file import read_weights
from jtransfer.pretrained.model import load_model
from tests.pretrained.ordinary import ARCHITECTURE


def safetensors_header(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A safetensors file whose header lies: of offsets, shapes, types, lengths, names."""
    header: dict[str, Any] = {
        'a': {'dtype': 'F32', 'shape': [2, 3], 'data_offsets': [0, 24]},
        'b': {'dtype': 'F16', 'shape': [4], 'data_offsets': [24, 32]},
        '__metadata__': {'format': 'pt'},
    }
    ways: list[Callable[[], Any]] = [
        lambda: header['b'].update(data_offsets=[0, 8]),
        lambda: header['b'].update(data_offsets=[2**63, 2**63 + 8]),
        lambda: header['a'].update(shape=[2**40, 2**40]),
        lambda: header['a'].update(shape=[0, 2**62], data_offsets=[0, 0]),
        lambda: header['a'].update(shape=[1] * 100 + [6]),
        lambda: header['a'].update(dtype='F8_E4M3'),
        lambda: header.update({'x' * 100_000: header['a']}),
        lambda: header.update(
            {f'x{i}': {'dtype': 'U8', 'shape': [0], 'data_offsets': [32, 32]} for i in range(20_000)}
        ),
        lambda: header.update({'a\0b': header.pop('a')}),
        lambda: header.update({'__metadata__': {'format': 'jtransfer/1', 'class_names': '[' * 100_000}}),
    ]
    text = None
    if random.random() < 0.6:
        ways[random.integers(len(ways))]()
    else:
        text = mangled(random, header)
    head = (text if text is not None else json.dumps(header)).encode('utf-8', 'surrogatepass')
    lengths = [len(head)] * 6 + [0, 2**40, 2**63, len(head) - 1]
    data = lengths[random.integers(len(lengths))].to_bytes(8, 'little') + head + bytes(32)
    (folder / 'w.safetensors').write_bytes(data[: len(data) - int(random.integers(0, 40) * (random.random() < 0.2))])
    if random.integers(2):
        return lambda: read_weights(folder / 'w.safetensors')
    return lambda: load_model(folder / 'w.safetensors', architecture=ARCHITECTURE)


def _npy(shape: object, dtype: str, content: bytes, fortran: bool = False) -> bytes:
    text = f"{{'descr': {dtype!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(text)) + text + content


def npz_archive(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A `.npz`: bombs, headers that lie, objects, damaged archives."""
    path, rest = folder / 'w.npz', bytes(48)
    members: list[tuple[str, bytes]] = [
        ('bomb', bytes(150 * 2**20)),
        ('bomb with a header', _npy((40 * 2**20,), '<f4', bytes(160 * 2**20))),
        ('larger than its bytes', _npy((10**12,), '<f4', rest)),
        ('of negative length', _npy((-1, 3), '<f4', rest)),
        ('overflow', _npy((2**62, 4), '<f4', rest)),
        ('objects', _npy((2,), '|O', b'cos\nsystem\n(S"touch executed"\ntR.')),
        ('text', _npy((3,), '<U4', rest)),
        ('code in the header', b'\x93NUMPY\x01\x00\x20\x00' + b"__import__('os').getcwd()      \n"),
        ('a long header', b'\x93NUMPY\x02\x00' + struct.pack('<I', 10**8) + b' ' * 10**6),
        ('deep', b'\x93NUMPY\x01\x00\xff\xff' + b'(' * 65535),
        ('right', _npy((3, 4), '<f4', rest)),
        ('right, in the other order', _npy((3, 4), '<f4', rest, True)),
    ]
    name, content = members[random.integers(len(members))]
    buffer = io.BytesIO()
    method = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_LZMA)[random.choice(3, p=[0.7, 0.2, 0.1])]
    with zipfile.ZipFile(buffer, 'w', method if 'bomb' not in name else zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('../' * int(random.integers(2)) + 'a.npy', content)
    data = bytearray(buffer.getvalue())
    if random.random() < 0.3:
        for _ in range(3):
            data[random.integers(len(data))] ^= 1 << random.integers(8)
    path.write_bytes(bytes(data[: len(data) - (int(random.integers(60)) if random.random() < 0.2 else 0)]))
    return lambda: read_weights(path)


def torch_archive(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A torch file: code in the pickle, bombs, damaged archives. Without torch, all are told what they need."""
    path = folder / 'w.pth'
    way = random.integers(8)
    if way >= 4 and (written := _by_torch(random, path)):
        _flip(random, path, 0.5 if written == 'right' else 0.0)
        return lambda: read_weights(path)
    code = b'\x80\x02cposix\nsystem\nX\x10\x00\x00\x00touch executed!!\x85R.'
    if way == 0:
        path.write_bytes(code)
        return lambda: read_weights(path)
    content = {1: code, 2: bytes(200 * 2**20), 3: b'\x80\x02}.'}.get(int(way), b'\x80\x02' + b'(' * 10**6)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED if way == 2 else zipfile.ZIP_STORED) as archive:
        archive.writestr('archive/data.pkl', content)
        archive.writestr('archive/version', b'3')
        archive.writestr('archive/data/0', bytes(16))
    _flip(random, path, 0.3)
    return lambda: read_weights(path)


def _flip(random: np.random.Generator, path: pathlib.Path, chance: float) -> None:
    """Now and then, another byte in the file's place of one."""
    if random.random() < chance:
        data = bytearray(path.read_bytes())
        data[random.integers(len(data))] ^= 255
        path.write_bytes(data)


class _Makes:
    """A pickle of this calls a function where it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.made = function, arguments

    def __reduce__(self) -> Any:
        return self.made


def _by_torch(random: np.random.Generator, path: pathlib.Path) -> str:
    """A file as torch writes it, right or with something in it; '' where torch is not there."""
    try:
        import torch
    except ImportError:
        return ''
    itself: dict[str, Any] = {}
    itself['model'] = {'state_dict': itself}
    doubled: Any = ()
    for _ in range(40):
        doubled = doubled, doubled
    beside = {
        'right': 3,
        'settings': argparse.Namespace(lr=0.1),
        'itself': itself,
        'bytearray': _Makes(bytearray, 2**30),
        'tensor': _Makes(torch.Tensor, 2**28),
        'storage': _Makes(torch.UntypedStorage, 2**30),
        'tuples': [doubled],
        'code': _Makes(exec, "open('executed', 'w')"),
    }
    way = [*beside, 'strides', 'copies'][random.integers(len(beside) + 2)]
    tensors = {'a': torch.ones(2, 3), 'b': torch.ones(4, dtype=torch.bfloat16)}
    if way == 'strides':
        tensors['a'] = torch.zeros(1).as_strided((2**46,), (0,))
    elif way == 'copies':
        tensors |= {f'{index}': torch.zeros(2**20).view(-1) for index in range(1)}
        tensors |= {f'copy{index}': tensors['0'].view(-1) for index in range(300)}
    new = bool(random.integers(2))
    torch.save({'state_dict': tensors, 'beside': beside.get(way)}, path, _use_new_zipfile_serialization=new)
    return way


def msgpack_file(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A Flax msgpack file: nested and wide structures, arrays that lie."""
    right = flax.serialization.msgpack_serialize({'a': {'kernel': np.ones((3, 4), np.float32)}})
    contents = [
        b'\x81\xa1a' * 5000 + b'\xc0',
        b'\xdf\x00\x98\x96\x80' + b'\xa0\xc0' * 10**6,
        b'\xdd\x7f\xff\xff\xff' + b'\xc0' * 10**6,
        b'\x91' * 10**5,
        b'\xde\xff\xff' + b''.join(b'\xa4%04x\x80' % index for index in range(65535)) + b'',
        flax.serialization.msgpack_serialize({'step': 3}),
        right.replace(b'float32', b'float64'),
        right.replace(b'float32', b'object0'),
        right.replace(b'\x92\x03\x04', b'\x92\x03\x7f'),
        right.replace(b'\x92\x03\x04', b'\x92\xff\xfc'),
        b'\x81\xa1a\xc7\x05\x01hello',
        right,
        b'',
    ]
    data = bytearray(contents[random.integers(len(contents))])
    if data and random.random() < 0.3:
        data[random.integers(len(data))] ^= 1 << random.integers(8)
    (folder / 'w.msgpack').write_bytes(data)
    return lambda: read_weights(folder / 'w.msgpack')


def shards(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """An index of shards, or the manifest of a TensorFlow.js model, with names that lead elsewhere."""
    secret = folder.parent / f'{folder.name}.secret'
    write_safetensors(secret, {'a': np.ones(3, np.float32)})
    names = ['s.safetensors', '../' + secret.name, str(secret), 'link.safetensors', 'pipe.safetensors', '.', '..', '']
    name = names[random.integers(len(names))]
    write_safetensors(folder / 's.safetensors', {'a': np.ones(3, np.float32)})
    (folder / 'link.safetensors').symlink_to(secret)
    os.mkfifo(folder / 'pipe.safetensors')
    if random.integers(2):
        file, record = 'model.safetensors.index.json', {'metadata': {}, 'weight_map': {'a': name}}
    else:
        size = (folder / 's.safetensors').stat().st_size // 4
        times = int(random.choice([1, 1, 3, 70_000])) if name == 's.safetensors' else 1
        tensor = {'name': 'a', 'shape': [size * times], 'dtype': 'float32'}
        file, record = 'model.json', {'weightsManifest': [{'paths': [name] * times, 'weights': [tensor]}]}
    text = json.dumps(record) if random.random() < 0.5 else mangled(random, record)
    (folder / file).write_text(text, 'utf-8')

    def read() -> Any:
        found, _ = read_weights(folder / file)
        # What is read must be the file that lies there.
        assert name == 's.safetensors' or not found or text != json.dumps(record)
        return found

    return read
