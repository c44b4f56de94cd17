"""Random configurations and headers of strangers: a model or one line, at once, and nothing large is made.

What is drawn is small and repeatable: a right file, one field of which holds something else. The long form, over more
kinds of files, is `benchmarks/hostile.py`.
"""

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.shapes import variable_shapes
from jtransfer.pretrained import foreign
from jtransfer.pretrained.catalogue.locate import locate
from jtransfer.pretrained.checkpoint import open_model
from jtransfer.pretrained.files.safetensors import read_safetensors, write_safetensors
from jtransfer.rules import flatten
from tests.pretrained.ordinary import PROCESSOR, TIMM, TIMM_VIT, TRANSFORMERS

[_MOBILENET] = [config for config in TRANSFORMERS if config['model_type'] == 'mobilenet_v2']
_FUZZ = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)
_RAW = ['[' * 50_000, '{"a":' * 50_000, '9' * 5000, '"a\\u0000b"', '"\\ud800"', 'NaN', '1e999', '', '"']
_values = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1e-9,
        10**9,
        30_000,
        10**39,
        '',
        '../../etc/passwd',
        'x' * 5000,
        '\x1b[31m\n',
        [],
        [10**6],
        [[1]],
        ['a', 1.5],
        [3, 10**9, 10**9],
        {},
        {'a': 1},
        {'height': 10**9, 'width': True},
    ]
)


def _places(value, path=()):
    yield path
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from _places(value[key], (*path, key))


@st.composite
def mangled(draw, value):
    """A JSON text of a value, one part of which is something else, missing or raw."""
    value = copy.deepcopy(value)
    *above, key = draw(st.sampled_from([path for path in _places(value) if path]))
    holder = value
    for step in above:
        holder = holder[step]
    raw = draw(st.sampled_from([None, None, *_RAW]))
    if raw is not None:
        holder[key] = '@'
        return json.dumps(value).replace('"@"', raw)
    holder[key] = draw(_values)
    return json.dumps(value)


def _judged(action):
    """There is a result, or a refusal in one line of a length that a person reads."""
    try:
        action()
    except UserError as error:
        line = str(error)
    else:
        return
    assert '\n' not in line
    assert len(line) < 1000


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder as hubs have them."""
    path = tmp_path_factory.mktemp('folder')
    write_safetensors(path / 'model.safetensors', {'x': np.ones(3, np.float32)})
    return path


@settings(_FUZZ, max_examples=150)
@given(
    config=st.one_of(*map(mangled, (TIMM, TIMM_VIT, *TRANSFORMERS))),
    processor=st.just('') | mangled(PROCESSOR),
)
def test_configurations(config, processor, folder):
    (folder / 'config.json').write_text(config, encoding='utf-8', errors='surrogatepass')
    if processor:
        (folder / 'config.json').write_text(json.dumps(_MOBILENET), encoding='utf-8')
        (folder / 'preprocessor_config.json').write_text(processor, encoding='utf-8', errors='surrogatepass')

    def read():
        known = foreign.identify(locate(folder))
        # What was understood can be had: a network of bounded size, without tracing it.
        network = models.create(known.architecture, num_classes=1, options=known.options)
        assert network.backbone.blocks_in_all < 1100
        assert max(known.preprocessing.shape) <= 8192

    _judged(read)
    (folder / 'preprocessor_config.json').unlink(missing_ok=True)


_METADATA = {
    'num_classes': 2,
    'class_names': ['ant', 'bee'],
    'image_size': 16,
    'preprocessing': ImagePreprocessor(16).to_dict(),
    'options': {'widths': [8, 16]},
    'tasks': [{'name': '', 'kind': 'single_label', 'class_names': ['ant', 'bee'], 'weight': 1.0}],
    'adapters': {'kind': 'lora', 'fields': {'rank': 4, 'alpha': 4.0, 'targets': ['x'], 'added': []}},
}


@pytest.fixture(scope='module')
def arrays():
    shapes = flatten(variable_shapes(models.create('resnet_tiny', num_classes=2), ImagePreprocessor(16).spec()))
    return {path: np.zeros(leaf.shape, np.float32) for path, leaf in shapes.items() if '/head/' in path}


@settings(_FUZZ, max_examples=80)
@given(
    field=st.sampled_from(list(_METADATA)).flatmap(lambda key: st.tuples(st.just(key), mangled({'': _METADATA[key]})))
)
def test_metadata_of_checkpoints(field, folder, arrays):
    key, text = field
    metadata = {name: json.dumps(value) for name, value in _METADATA.items() if name != 'adapters'}
    metadata |= {'format': 'jtransfer/1', 'architecture': 'resnet_tiny', key: text[len('{"": ') : -1]}
    write_safetensors(folder / 'ours.safetensors', arrays, metadata)
    _judged(lambda: open_model(folder / 'ours.safetensors'))


_HEADER = {
    'a': {'dtype': 'F32', 'shape': [2, 3], 'data_offsets': [0, 24]},
    'b': {'dtype': 'F16', 'shape': [4], 'data_offsets': [24, 32]},
    '__metadata__': {'format': 'pt'},
}


@settings(_FUZZ, max_examples=80)
@given(header=mangled(_HEADER) | st.just(json.dumps(_HEADER)), wrong=st.sampled_from([0, 0, 0, 1, -1, 2**40, 2**62]))
def test_headers_of_weights(header, wrong, folder):
    head = header.encode('utf-8', 'surrogatepass')
    data = max(0, len(head) + wrong).to_bytes(8, 'little') + head + bytes(32)
    (folder / 'w.safetensors').write_bytes(data)
    _judged(lambda: read_safetensors(folder / 'w.safetensors'))
