"""A file that asks for a huge network, or huge images, is one line that names it, before anything is made."""

import json

import numpy as np
import pytest

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models.shapes import variable_shapes
from jtransfer.pretrained.files.safetensors import write_safetensors
from jtransfer.pretrained.model import load_model
from jtransfer.rules import flatten


@pytest.fixture(scope='module')
def arrays():
    shapes = flatten(variable_shapes(models.create('resnet_tiny', num_classes=2), ImagePreprocessor(16).spec()))
    return {path: np.zeros(leaf.shape, np.float32) for path, leaf in shapes.items()}


@pytest.mark.parametrize(
    ('size', 'options', 'message'),
    [
        (10**9, {}, 'image_size=1000000000 must be at most 8,192 pixels'),
        (30_000, {}, 'image_size=30000 must be at most 8,192 pixels'),
        (16, {'depths': [10**6]}, r'option depths=\[1000000\] of resnet_tiny must be at least 1 and at most 65,536'),
        (16, {'depths': [500, 500]}, 'its 32 tensors cannot be those of a network of 1,001 blocks'),
        (16, {'widths': [2**16, 2**16]}, r'the network would have 120,266,0\d\d,\d+ parameters'),
        (8192, {'widths': [16, 16]}, 'its tensors are not those of the network'),
    ],
)
def test_what_a_file_asks_for(tmp_path, arrays, size, options, message):
    path = tmp_path / 'w.safetensors'
    metadata = {
        'num_classes': 2,
        'class_names': ['a', 'b'],
        'image_size': size,
        'preprocessing': {**ImagePreprocessor(16).to_dict(), 'image_size': size},
        'options': options,
    }
    texts = {name: json.dumps(value) for name, value in metadata.items()}
    write_safetensors(path, arrays, {**texts, 'format': 'jtransfer/1', 'architecture': 'resnet_tiny'})
    with pytest.raises(UserError, match=message) as caught:
        load_model(path, num_classes=3)
    assert str(caught.value).startswith(str(path))
