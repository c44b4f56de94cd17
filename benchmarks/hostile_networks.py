"""Crafted files that say what a network is: checkpoints, exports, configurations of others, adapters."""

from __future__ import annotations

import functools
import json
import pathlib
from typing import Any

import jax
import numpy as np

from benchmarks.hostile_values import VALUES, Action, any_value, mangled
from jtransfer import models
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.pretrained.files.safetensors import write_safetensors
from jtransfer.pretrained.model import load_model, merge_model
from jtransfer.pretrained.names import namings
from jtransfer.rules import flatten
from tests.pretrained.ordinary import ARCHITECTURE, PROCESSOR, TIMM, TIMM_VIT, TRANSFORMERS


@functools.cache
def ordinary_arrays(architecture: str = ARCHITECTURE, classes: int = 3) -> dict[str, np.ndarray]:
    network = models.create(architecture, num_classes=classes)
    side = models.describe(architecture).image_size
    shapes = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct((1, side, side, 3), np.float32))
    return {path: np.full(leaf.shape, 0.5, np.float32) for path, leaf in flatten(shapes).items()}


@functools.cache
def timm_arrays() -> dict[str, np.ndarray]:
    """The same under timm's names."""
    backbone = models.create(ARCHITECTURE, num_classes=3).backbone
    [naming] = [one for one in namings('resnet', backbone) if one.name == 'timm']
    return naming.to_theirs(ordinary_arrays())


PREPROCESSING = ImagePreprocessor(32).to_dict()
METADATA = {
    'format': 'jtransfer/1',
    'architecture': ARCHITECTURE,
    'num_classes': 3,
    'class_names': ['ant', 'bee', 'cat'],
    'image_size': 32,
    'preprocessing': PREPROCESSING,
    'options': {'widths': [8, 16], 'stem_width': 8},
    'training': {'note': 'none'},
    'tasks': [{'name': '', 'kind': 'single_label', 'class_names': ['ant', 'bee', 'cat'], 'weight': 1.0}],
}


def checkpoint(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A checkpoint of ours, one of whose texts of metadata is mangled."""
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in METADATA.items()}
    if random.random() < 0.4:
        metadata.pop('tasks')
    if random.random() < 0.5:
        metadata.pop('options')
    key = list(metadata)[random.integers(len(metadata))]
    value = METADATA[key]
    metadata[key] = str(any_value(random))[:300] if isinstance(value, str) else mangled(random, value)
    write_safetensors(folder / 'model.safetensors', ordinary_arrays(), metadata)
    return lambda: load_model(folder / 'model.safetensors')


def export_header(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """The header of an export of ours."""
    texts = {
        'architecture': ARCHITECTURE,
        'naming': 'timm',
        'options': json.dumps({}),
        'preprocessing': json.dumps(PREPROCESSING),
        'tasks': json.dumps(METADATA['tasks']),
        'image_shape': '32x32',
    }
    key = list(texts)[random.integers(len(texts))]
    texts[key] = (
        mangled(random, json.loads(texts[key])) if texts[key][:1] in '[{' else f'{"9" * 5000}x{any_value(random)}'
    )
    metadata = {f'jtransfer.{name}': text for name, text in texts.items()}
    write_safetensors(folder / 'model.safetensors', timm_arrays(), metadata)
    return lambda: load_model(folder / 'model.safetensors')


def transformers_config(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A config.json or preprocessor_config.json of transformers."""
    config = TRANSFORMERS[random.integers(len(TRANSFORMERS))]
    whole = random.random() < 0.4
    (folder / 'config.json').write_text(json.dumps(config) if whole else mangled(random, config), 'utf-8')
    processor = mangled(random, PROCESSOR) if whole else json.dumps(PROCESSOR)
    (folder / 'preprocessor_config.json').write_text(processor, 'utf-8')
    write_safetensors(folder / 'model.safetensors', {'x': np.ones(3, np.float32)})
    return lambda: load_model(folder, num_classes=2)


def timm_config(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A config.json of timm."""
    text = mangled(random, TIMM if random.random() < 0.5 else TIMM_VIT)
    (folder / 'config.json').write_text(text, 'utf-8')
    write_safetensors(folder / 'model.safetensors', timm_arrays())
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
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in METADATA.items()}
    metadata |= {'architecture': name, 'options': json.dumps({field: sizes[random.integers(len(sizes))]})}
    preprocessing = {**PREPROCESSING, 'image_size': [32, 224, 8192][random.integers(3)]}
    metadata |= {'preprocessing': json.dumps(preprocessing), 'image_size': str(preprocessing['image_size'])}
    write_safetensors(folder / 'model.safetensors', ordinary_arrays(), metadata)
    fresh = {'num_classes': 2} if random.integers(2) else {}
    return lambda: load_model(folder / 'model.safetensors', **fresh)


def adapter(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """An adapter file whose base or adaptation is mangled, or which is its own base."""
    path = folder / 'adapter.safetensors'
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in METADATA.items()}
    base = {'checkpoint': str(path), 'beside': 'adapter.safetensors', 'sha256': '0' * 64, 'frozen_dtype': 'float32'}
    lora = {'kind': 'lora', 'fields': {'rank': 4, 'alpha': 4.0, 'targets': ['backbone/stem/conv/kernel'], 'added': []}}
    metadata |= {'format': 'jtransfer-adapter/1', 'options': '{}', 'base': json.dumps(base)}
    arrays = {name: value for name, value in ordinary_arrays().items() if '/head/' in name}
    way = random.integers(3)
    if way == 0:
        metadata['base'] = mangled(random, {**base, 'checkpoint': ARCHITECTURE})
    elif way == 1:
        metadata['adapters'] = mangled(random, lora)
        arrays['params/adapters/backbone/stem/conv/a/kernel'] = np.ones((2, 2), np.float32)
    write_safetensors(path, arrays, metadata)
    return lambda: merge_model(load_model(path))
