"""A saved model is whole, comes back bit for bit, and a file that is not one of ours is refused."""

import json

import jax
import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.preprocessing import Preprocessing
from jtransfer.pretrained.checkpoint import open_model, save_model
from jtransfer.pretrained.files import read_safetensors, write_safetensors

VARIABLES = {
    'params': {
        'backbone': {'stem': {'kernel': np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 2, 3, 2)}},
        'head': {'kernel': np.ones((2, 3), np.float32), 'bias': np.arange(3, dtype=np.float32)},
    },
    'batch_stats': {'backbone': {'stem': {'mean': np.array([0.1, 0.2], np.float32)}}},
}
PREPROCESSING = Preprocessing(16, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 'bilinear', 0.875)
FACTS = {'architecture': 'resnet_tiny', 'class_names': ('ä', 'b "c"', ''), 'preprocessing': PREPROCESSING}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / 'model.safetensors'
    save_model(path, VARIABLES, **FACTS, training={'seed': 3, 'source': 'glyphs'})
    return path


def test_round_trip(saved):
    stored = open_model(saved)
    assert jax.tree.structure(stored.variables) == jax.tree.structure(VARIABLES)
    jax.tree.map(np.testing.assert_array_equal, stored.variables, VARIABLES)
    assert (stored.architecture, stored.class_names) == ('resnet_tiny', FACTS['class_names'])
    assert (stored.num_classes, stored.image_size, stored.preprocessing) == (3, 16, PREPROCESSING)
    assert stored.training == {'seed': 3, 'source': 'glyphs'}
    assert stored.path == saved


def test_names_and_metadata_are_the_documented_ones(saved):
    arrays, metadata = read_safetensors(saved)
    assert set(arrays) == {
        'params/backbone/stem/kernel',
        'params/head/kernel',
        'params/head/bias',
        'batch_stats/backbone/stem/mean',
    }
    assert metadata['format'] == 'jtransfer/1'
    assert metadata['architecture'] == 'resnet_tiny'
    assert metadata['num_classes'] == '3'
    assert metadata['image_size'] == '16'
    assert json.loads(metadata['class_names']) == list(FACTS['class_names'])
    assert json.loads(metadata['preprocessing']) == PREPROCESSING.to_dict()


def test_equal_models_give_equal_bytes(saved, tmp_path):
    other = tmp_path / 'other.safetensors'
    on_device = jax.tree.map(jax.numpy.asarray, dict(reversed(VARIABLES.items())))
    save_model(other, on_device, **FACTS, training={'source': 'glyphs', 'seed': 3})
    assert other.read_bytes() == saved.read_bytes()


def test_without_a_training_record(tmp_path):
    save_model(tmp_path / 'm.safetensors', VARIABLES, **FACTS)
    assert open_model(tmp_path / 'm.safetensors').training == {}


def test_class_names_must_fit_the_head(tmp_path):
    with pytest.raises(UserError, match='the head has 3 outputs, but there are 2 class names'):
        save_model(tmp_path / 'm.safetensors', VARIABLES, **{**FACTS, 'class_names': ('a', 'b')})


def test_a_model_without_its_head_is_not_whole(tmp_path):
    headless = {'params': {'backbone': VARIABLES['params']['backbone']}}
    with pytest.raises(UserError, match="no tensor 'params/head/bias'"):
        save_model(tmp_path / 'm.safetensors', headless, **FACTS)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'format': None}, 'not a checkpoint of this library: its metadata states no format'),
        ({'format': 'jtransfer/9'}, "its format is 'jtransfer/9', expected 'jtransfer/1'"),
        ({'architecture': None}, "the metadata has no 'architecture'"),
        ({'preprocessing': None}, "the metadata has no 'preprocessing'"),
        ({'preprocessing': '{"image_size":'}, "'preprocessing' is not a JSON dict"),
        ({'class_names': '3'}, "'class_names' is not a JSON list"),
        ({'image_size': '32'}, 'image_size=32 contradicts its preprocessing, 16'),
        ({'num_classes': '4'}, 'num_classes=4, but 3 class names'),
        ({'num_classes': '2', 'class_names': '["a", "b"]'}, 'the head has 3 outputs, but there are 2'),
    ],
)
def test_metadata_that_is_wrong(saved, changes, message):
    arrays, metadata = read_safetensors(saved)
    metadata = {key: value for key, value in {**metadata, **changes}.items() if value is not None}
    write_safetensors(saved, arrays, metadata)
    with pytest.raises(UserError, match=message) as caught:
        open_model(saved)
    assert '\n' not in str(caught.value)
    assert str(saved) in str(caught.value)
