"""Crafted files of strangers by kind: what somebody with bad intentions, or a bad disk, may hand a person.

A kind is a function from a random generator and an empty folder to what a person would then call. It writes its files
from what is right (`_ORDINARY` and so on), one thing of which it makes wrong; now and then all of it is right, so that
what is refused is not everything. `KINDS` is all that `benchmarks.hostile` knows of them.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import os
import pathlib
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import flax.serialization
import jax
import numpy as np
from PIL import Image

from jtransfer import models
from jtransfer.config import Config, Data, to_dict
from jtransfer.data.parts import load_parts
from jtransfer.experiments.ensemble import members_of
from jtransfer.experiments.run_dir import read_config, read_result
from jtransfer.preprocessing import Preprocessing
from jtransfer.pretrained.files import write_safetensors
from jtransfer.pretrained.model import load_model, merge_model
from jtransfer.pretrained.names import namings
from jtransfer.pretrained.weight_file import read_weights
from jtransfer.rules import flatten

Action = Callable[[], Any]
Kind = Callable[[np.random.Generator, pathlib.Path], Action]

# Written into JSON as they stand: what no writer of JSON would write.
RAW = {
    'deep list': '[' * 100_000,
    'deep object': '{"a":' * 100_000,
    'deep and closed': '[' * 50_000 + ']' * 50_000,
    'digits': '9' * 5000,
    'NUL': '"a\\u0000b"',
    'surrogate': '"\\ud800"',
    'NaN': 'NaN',
    'infinite': '1e999',
    'not closed': '"',
    'nothing': '',
    'control': '"\x01"',
}
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    3.5,
    1e-9,
    -1e300,
    10**6,
    10**9,
    30_000,
    10**39,
    '',
    'a',
    '../../../etc/passwd',
    '/etc/passwd',
    'é' * 300,
    'x' * 200_000,
    '\x1b[31mred\n',
    [],
    [[]],
    [0],
    [10**6],
    [10**6] * 4,
    [1.5, 'x'],
    [3, 10**9, 10**9],
    list(range(5000)),
    {},
    {'a': 1},
    {'height': 10**9, 'width': True},
    {str(index): str(index) for index in range(2000)},
]
_ARCHITECTURE = 'resnet_tiny'


def mangled(random: np.random.Generator, value: Any) -> str:
    """A JSON text of a value, one field of which, at any depth, holds something else; one time in ten as it is."""
    value = json.loads(json.dumps(value))
    if random.random() < 0.1:
        return json.dumps(value)
    holder, key = _place(random, value)
    way = random.random()
    if holder is None:
        value = _any(random)
    elif way < 0.1 and isinstance(holder, dict):
        holder.pop(key)
    elif way < 0.2 and isinstance(holder, dict):
        holder[str(_any(random))[:300]] = holder[key]
    elif way < 0.4:
        name = list(RAW)[random.integers(len(RAW))]
        holder[key] = '@@@'
        return json.dumps(value).replace('"@@@"', RAW[name])
    else:
        holder[key] = _any(random)
    return json.dumps(value, ensure_ascii=bool(random.integers(2)))


def _any(random: np.random.Generator) -> Any:
    return VALUES[random.integers(len(VALUES))]


def _place(random: np.random.Generator, value: Any) -> tuple[Any, Any]:
    """A container in a value, and a key of it; None for the value itself."""
    places: list[tuple[Any, Any]] = [(None, None)]

    def walk(one: Any) -> None:
        keys = one.keys() if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            places.append((one, key))
            walk(one[key])

    walk(value)
    return places[random.integers(len(places))]


@functools.cache
def _arrays(architecture: str = _ARCHITECTURE, classes: int = 3) -> dict[str, np.ndarray]:
    network = models.create(architecture, num_classes=classes)
    side = models.describe(architecture).image_size
    shapes = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct((1, side, side, 3), np.float32))
    return {path: np.full(leaf.shape, 0.5, np.float32) for path, leaf in flatten(shapes).items()}


@functools.cache
def _timm_arrays() -> dict[str, np.ndarray]:
    """The same under timm's names."""
    backbone = models.create(_ARCHITECTURE, num_classes=3).backbone
    [naming] = [one for one in namings('resnet', backbone) if one.name == 'timm']
    return naming.to_theirs(_arrays())


_PREPROCESSING = Preprocessing(32).to_dict()
_METADATA = {
    'format': 'jtransfer/1',
    'architecture': _ARCHITECTURE,
    'num_classes': 3,
    'class_names': ['ant', 'bee', 'cat'],
    'image_size': 32,
    'preprocessing': _PREPROCESSING,
    'options': {'widths': [8, 16], 'stem_width': 8},
    'training': {'note': 'none'},
    'tasks': [{'name': '', 'kind': 'single_label', 'class_names': ['ant', 'bee', 'cat'], 'weight': 1.0}],
}


def checkpoint(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A checkpoint of ours, one of whose texts of metadata is mangled."""
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in _METADATA.items()}
    if random.random() < 0.4:
        metadata.pop('tasks')
    if random.random() < 0.5:
        metadata.pop('options')
    key = list(metadata)[random.integers(len(metadata))]
    value = _METADATA[key]
    metadata[key] = str(_any(random))[:300] if isinstance(value, str) else mangled(random, value)
    write_safetensors(folder / 'model.safetensors', _arrays(), metadata)
    return lambda: load_model(folder / 'model.safetensors')


def export_header(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """The header of an export of ours."""
    texts = {
        'architecture': _ARCHITECTURE,
        'naming': 'timm',
        'options': json.dumps({}),
        'preprocessing': json.dumps(_PREPROCESSING),
        'tasks': json.dumps(_METADATA['tasks']),
        'image_shape': '32x32',
    }
    key = list(texts)[random.integers(len(texts))]
    texts[key] = mangled(random, json.loads(texts[key])) if texts[key][:1] in '[{' else f'{"9" * 5000}x{_any(random)}'
    metadata = {f'jtransfer.{name}': text for name, text in texts.items()}
    write_safetensors(folder / 'model.safetensors', _timm_arrays(), metadata)
    return lambda: load_model(folder / 'model.safetensors')


_HUGGINGFACE = [
    {
        'model_type': 'vit',
        'architectures': ['ViTForImageClassification'],
        'hidden_size': 192,
        'num_hidden_layers': 12,
        'num_attention_heads': 3,
        'intermediate_size': 768,
        'image_size': 224,
        'patch_size': 16,
        'hidden_act': 'gelu',
        'layer_norm_eps': 1e-12,
        'qkv_bias': True,
        'id2label': {'0': 'ant', '1': 'bee'},
    },
    {
        'model_type': 'resnet',
        'embedding_size': 64,
        'hidden_sizes': [64, 128, 256, 512],
        'depths': [2, 2, 2, 2],
        'layer_type': 'basic',
        'hidden_act': 'relu',
        'problem_type': 'single_label_classification',
    },
    {'model_type': 'convnext', 'hidden_sizes': [96, 192, 384, 768], 'depths': [3, 3, 9, 3], 'image_size': 224},
    {'model_type': 'mobilenet_v2', 'depth_multiplier': 0.35, 'tf_padding': True, 'layer_norm_eps': 1e-3},
    {'model_type': 'dinov2', 'hidden_size': 384, 'num_attention_heads': 6, 'mlp_ratio': 4, 'use_swiglu_ffn': False},
    {'model_type': 'clip', 'vision_config': {'hidden_size': 768, 'image_size': 224, 'patch_size': 32}},
]
_PROCESSOR = {
    'image_processor_type': 'ViTImageProcessor',
    'do_resize': True,
    'size': {'height': 224, 'width': 224},
    'resample': 2,
    'do_rescale': True,
    'rescale_factor': 1 / 255,
    'do_normalize': True,
    'image_mean': [0.5, 0.5, 0.5],
    'image_std': [0.5, 0.5, 0.5],
}


def transformers_config(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A config.json or preprocessor_config.json of transformers."""
    config = _HUGGINGFACE[random.integers(len(_HUGGINGFACE))]
    whole = random.random() < 0.4
    (folder / 'config.json').write_text(json.dumps(config) if whole else mangled(random, config), 'utf-8')
    processor = mangled(random, _PROCESSOR) if whole else json.dumps(_PROCESSOR)
    (folder / 'preprocessor_config.json').write_text(processor, 'utf-8')
    write_safetensors(folder / 'model.safetensors', {'x': np.ones(3, np.float32)})
    return lambda: load_model(folder, num_classes=2)


_TIMM = {
    'architecture': _ARCHITECTURE,
    'num_classes': 3,
    'label_names': ['ant', 'bee', 'cat'],
    'model_args': {},
    'pretrained_cfg': {
        'tag': 'a1_in1k',
        'input_size': [3, 32, 32],
        'interpolation': 'bicubic',
        'crop_pct': 0.95,
        'crop_mode': 'center',
        'mean': [0.485, 0.456, 0.406],
        'std': [0.229, 0.224, 0.225],
    },
}
_TIMM_VIT = {
    **_TIMM,
    'architecture': 'vit_tiny_patch16_224',
    'model_args': {
        'img_size': 64,
        'embed_dim': 48,
        'depth': 2,
        'num_heads': 3,
        'mlp_ratio': 4,
        'init_values': 1e-5,
        'global_pool': 'avg',
        'act_layer': 'gelu',
        'no_embed_class': True,
    },
}


def timm_config(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A config.json of timm."""
    text = mangled(random, _TIMM if random.random() < 0.5 else _TIMM_VIT)
    (folder / 'config.json').write_text(text, 'utf-8')
    write_safetensors(folder / 'model.safetensors', _timm_arrays())
    return lambda: load_model(folder, num_classes=2)


def options(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A whole checkpoint of ours that asks for a network of other sizes."""
    fields = {
        'resnet_tiny': ['depths', 'widths', 'inner_width', 'groups', 'stem', 'stem_width', 'shortcut', 'block'],
        'vit_tiny_test': ['patch', 'dim', 'blocks', 'heads', 'mlp_ratio', 'reg_tokens', 'layer_scale', 'pool', 'eps'],
        'convnext_tiny': ['depths', 'widths', 'eps', 'grn'],
    }
    name = list(fields)[random.integers(len(fields))]
    field = fields[name][random.integers(len(fields[name]))]
    sizes: list[Any] = [10**6, [10**6], [2**16] * 4, [0, 0], [1] * 60, 2**16, 1024, [900] * 2, 7, *VALUES]
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in _METADATA.items()}
    metadata |= {'architecture': name, 'options': json.dumps({field: sizes[random.integers(len(sizes))]})}
    preprocessing = {**_PREPROCESSING, 'image_size': [32, 224, 8192][random.integers(3)]}
    metadata |= {'preprocessing': json.dumps(preprocessing), 'image_size': str(preprocessing['image_size'])}
    write_safetensors(folder / 'model.safetensors', _arrays(), metadata)
    fresh = {'num_classes': 2} if random.integers(2) else {}
    return lambda: load_model(folder / 'model.safetensors', **fresh)


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
    return lambda: load_model(folder / 'w.safetensors', architecture=_ARCHITECTURE)


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
    code = b'\x80\x02cposix\nsystem\nX\x10\x00\x00\x00touch executed!!\x85R.'
    path = folder / 'w.pth'
    way = random.integers(5)
    if way == 0:
        path.write_bytes(code)
        return lambda: read_weights(path)
    content = {1: code, 2: bytes(200 * 2**20), 3: b'\x80\x02}.', 4: b'\x80\x02' + b'(' * 10**6}[int(way)]
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED if way == 2 else zipfile.ZIP_STORED) as archive:
        archive.writestr('archive/data.pkl', content)
        archive.writestr('archive/version', b'3')
        archive.writestr('archive/data/0', bytes(16))
    if random.random() < 0.3:
        data = bytearray(path.read_bytes())
        data[random.integers(len(data))] ^= 255
        path.write_bytes(data)
    return lambda: read_weights(path)


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
        tensor = {'name': 'a', 'shape': [size], 'dtype': 'float32'}
        file, record = 'model.json', {'weightsManifest': [{'paths': [name], 'weights': [tensor]}]}
    text = json.dumps(record) if random.random() < 0.5 else mangled(random, record)
    (folder / file).write_text(text, 'utf-8')

    def read() -> Any:
        found, _ = read_weights(folder / file)
        # What is read must be the file that lies there.
        assert name == 's.safetensors' or not found or text != json.dumps(record)
        return found

    return read


def adapter(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """An adapter file whose base or adaptation is mangled, or which is its own base."""
    path = folder / 'adapter.safetensors'
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in _METADATA.items()}
    base = {'checkpoint': str(path), 'beside': 'adapter.safetensors', 'sha256': '0' * 64, 'frozen_dtype': 'float32'}
    lora = {'kind': 'lora', 'fields': {'rank': 4, 'alpha': 4.0, 'targets': ['backbone/stem/conv/kernel'], 'added': []}}
    metadata |= {'format': 'jtransfer-adapter/1', 'options': '{}', 'base': json.dumps(base)}
    arrays = {name: value for name, value in _arrays().items() if '/head/' in name}
    way = random.integers(3)
    if way == 0:
        metadata['base'] = mangled(random, {**base, 'checkpoint': _ARCHITECTURE})
    elif way == 1:
        metadata['adapters'] = mangled(random, lora)
        arrays['params/adapters/backbone/stem/conv/a/kernel'] = np.ones((2, 2), np.float32)
    write_safetensors(path, arrays, metadata)
    return lambda: merge_model(load_model(path))


def ensemble(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """The list of an ensemble's members."""
    record = {'format': 'jtransfer-ensemble/1', 'average': 'probabilities', 'members': ['../fold-0', '../fold-1']}
    (folder / 'ensemble.json').write_text(mangled(random, record), 'utf-8')
    return lambda: members_of(folder)


def run_directory(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """The records of a run."""
    write_safetensors(folder / 'model.safetensors', _arrays(), {})
    config = json.dumps(to_dict(Config()))
    way = random.integers(2)
    (folder / 'config.json').write_text(mangled(random, json.loads(config)) if way else config, 'utf-8')
    result = {'score': 0.5, 'metrics': {'accuracy': 0.5}, 'steps': 3}
    (folder / 'result.json').write_text(json.dumps(result) if way else mangled(random, result), 'utf-8')
    return lambda: (read_config(folder), read_result(folder))


def _picture(random: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(buffer, 'PNG')
    return buffer.getvalue()


def table(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A table of pictures: cells, paths and bytes that are none."""
    for index in range(4):
        (folder / f'{index}.png').write_bytes(_picture(random))
    rows = [[f'{index}.png', ('ant', 'bee')[index % 2]] for index in range(4)]
    strange = ['', '\0', '\x1b[31m', '=cmd()', 'x' * 200_000, 'é', '\ud800', '/dev/zero', '.', '"', 'NaN', '9' * 5000]
    if random.random() < 0.8:
        rows[random.integers(4)][random.integers(2)] = strange[random.integers(len(strange))]
    text = io.StringIO()
    csv.writer(text).writerows([['image', 'label'], *rows])
    content = bytearray(text.getvalue().encode('utf-8', 'surrogatepass'))
    if random.random() < 0.3:
        content[random.integers(len(content))] = (0, 255, 34, 10)[random.integers(4)]
    (folder / 'table.csv').write_bytes(content)
    data = Data(source=f'csv:{folder / "table.csv"}', test_fraction=0.0, batch_size=1, cache=False)
    return lambda: load_parts(data, 0)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def picture(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A folder of pictures, one of which is a bomb, a pipe, a link or damaged."""
    for name in ('ant', 'bee'):
        (folder / name).mkdir()
        for index in range(3):
            (folder / name / f'{index}.png').write_bytes(_picture(random))
    odd, way = folder / 'ant' / 'odd.png', random.integers(6)
    if way == 0:
        os.mkfifo(odd)
    elif way == 1:
        odd.symlink_to('/dev/zero')
    elif way == 2:
        size = struct.pack('>IIBBBBB', *((100_000_000, 1), (60_000, 60_000))[random.integers(2)], 8, 2, 0, 0, 0)
        odd.write_bytes(b'\x89PNG\r\n\x1a\n' + _chunk(b'IHDR', size) + _chunk(b'IDAT', zlib.compress(bytes(1000))))
    else:
        data = bytearray(_picture(random))
        for _ in range(int(way)):
            data[random.integers(len(data))] ^= 1 << random.integers(8)
        odd.write_bytes(data)
    skip = bool(random.integers(2))

    def read() -> Any:
        data = Data(source=f'folder:{folder}', test_fraction=0.0, batch_size=1, cache=False, skip_unreadable=skip)
        parts = load_parts(data, 0)
        return [parts.train.source[index] for index in range(len(parts.train.source))]

    return read


KINDS: dict[str, Kind] = {
    'checkpoint metadata': checkpoint,
    'export header': export_header,
    'config.json of transformers': transformers_config,
    'config.json of timm': timm_config,
    'options of a network': options,
    'safetensors': safetensors_header,
    'npz': npz_archive,
    'torch': torch_archive,
    'msgpack': msgpack_file,
    'shards and manifests': shards,
    'adapter': adapter,
    'ensemble': ensemble,
    'run directory': run_directory,
    'table': table,
    'pictures': picture,
}
