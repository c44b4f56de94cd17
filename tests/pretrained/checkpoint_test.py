"""A saved model is whole, comes back bit for bit, and a file that is not one of ours is refused."""

import json

import jax
import numpy as np
import pytest

from jtransfer.adapters import Lora
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.pretrained.checkpoint import open_model, save_model
from jtransfer.pretrained.files.safetensors import read_safetensors, write_safetensors

VARIABLES = {
    'params': {
        'backbone': {'stem': {'kernel': np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 2, 3, 2)}},
        'head': {'kernel': np.ones((2, 3), np.float32), 'bias': np.arange(3, dtype=np.float32)},
    },
    'batch_stats': {'backbone': {'stem': {'mean': np.array([0.1, 0.2], np.float32)}}},
}
PREPROCESSING = ImagePreprocessor(16, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 'bilinear', 0.875)
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
    assert (stored.num_classes, stored.preprocessing) == (3, PREPROCESSING)
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
        ({'preprocessing': '{"image_size":'}, "'preprocessing' is damaged: no JSON"),
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


ADAPTATION = Lora(rank=1, alpha=2.0, targets=('backbone/stem/kernel',), added=())
_LOW_RANK = {'a': {'kernel': np.ones((2, 2, 3, 1), np.float32)}, 'b': {'kernel': np.ones((1, 2), np.float32)}}
ADAPTED = {**VARIABLES, 'params': {**VARIABLES['params'], 'adapters': {'backbone': {'stem': _LOW_RANK}}}}


def test_adapters_are_kept_with_what_they_are_of(tmp_path):
    path = tmp_path / 'm.safetensors'
    save_model(path, ADAPTED, **FACTS, adaptation=ADAPTATION)
    stored = open_model(path)
    assert stored.adaptation == ADAPTATION
    jax.tree.map(np.testing.assert_array_equal, stored.variables, ADAPTED)
    arrays, metadata = read_safetensors(path)
    assert {'params/adapters/backbone/stem/a/kernel', 'params/adapters/backbone/stem/b/kernel'} < set(arrays)
    assert json.loads(metadata['adapters'])['kind'] == 'lora'


def test_a_plain_model_says_nothing_of_adapters(saved):
    assert 'adapters' not in read_safetensors(saved)[1]
    assert open_model(saved).adaptation is None


def test_adapters_and_what_is_said_of_them_must_agree(tmp_path):
    path = tmp_path / 'm.safetensors'
    with pytest.raises(
        UserError, match=r'nothing says what they add to the network: pass adaptation=model\.adaptation'
    ):
        save_model(path, ADAPTED, **FACTS)
    with pytest.raises(UserError, match='the network is adapted, but there are no tensors params/adapters'):
        save_model(path, VARIABLES, **FACTS, adaptation=ADAPTATION)
    save_model(path, ADAPTED, **FACTS, adaptation=ADAPTATION)
    arrays, metadata = read_safetensors(path)
    arrays = {name: np.array(value) for name, value in arrays.items()}
    for said, message in (('{"kind": "lara", "fields": {}}', 'lara'), ('[]', "'adapters' is not a JSON dict")):
        write_safetensors(path, arrays, {**metadata, 'adapters': said})
        with pytest.raises(UserError, match=message) as caught:
            open_model(path)
        assert str(path) in str(caught.value)


def test_what_was_kept_in_bfloat16_is_saved_as_float32(tmp_path):
    path = tmp_path / 'm.safetensors'
    rounded = jax.tree.map(lambda leaf: jax.numpy.asarray(leaf, jax.numpy.bfloat16), VARIABLES)
    save_model(path, rounded, **FACTS)
    arrays, _ = read_safetensors(path)
    assert {value.dtype for value in arrays.values()} == {np.dtype(np.float32)}
    kernel = rounded['params']['backbone']['stem']['kernel']
    np.testing.assert_array_equal(arrays['params/backbone/stem/kernel'], kernel.astype(np.float32))


@pytest.mark.parametrize(
    ('key', 'text', 'message'),
    [
        (
            'preprocessing',
            '{"image_size": 16, "std": [0.5, NaN, 0.5]}',
            r'std=.0\.5, nan, 0\.5. must be finite',
        ),
        ('preprocessing', '{"image_size": 16, "mean": "0.5"}', "mean='0.5' must be finite numbers"),
        ('preprocessing', '{"image_size": true}', 'image_size=True must be a whole number of pixels'),
        (
            'preprocessing',
            '{"image_size": 16, "crop_fraction": 1e-9}',
            'cuts 16 pixels from a picture of 16,000,',
        ),
        ('preprocessing', '[' * 100_000, 'nested too deeply'),
        ('image_size', 'true', 'is not a JSON int'),
        ('num_classes', '9' * 5000, 'a number of 5,000 digits'),
        ('class_names', '["a", 1, "b"]', "'class_names' must be texts"),
        ('class_names', '["a", "b\\u0000", "c"]', 'NUL in a text'),
        ('tasks', '[1]', 'a task has the fields'),
        ('tasks', '[{"name": [], "kind": "single_label", "class_names": []}]', r'a task has name=\[\]'),
        ('adapters', '{"kind": ["lora"], "fields": {}}', 'an adaptation has a kind'),
        ('adapters', '{"kind": "lora", "fields": {"rank": 0, "alpha": 1, "targets": [], "added": []}}', 'lora.rank=0'),
        ('options', '[]', 'is not a JSON dict'),
        ('positions', 'foo', "'positions' must be one of bicubic_antialias, .*: foo"),
    ],
)
def test_metadata_of_a_stranger_is_one_line_that_names_file_and_field(saved, key, text, message):
    arrays, metadata = read_safetensors(saved)
    other = saved.with_name('other.safetensors')
    write_safetensors(other, arrays, {**metadata, key: text})
    with pytest.raises(UserError, match=message) as caught:
        open_model(other)
    assert str(caught.value).startswith(str(other))
    assert '\n' not in str(caught.value)
    assert key in str(caught.value) or key == 'adapters'


@pytest.mark.parametrize('name', ['params', 'params/backbone', 'params/head/bias/x'])
def test_a_tensor_in_the_place_of_a_module(saved, name):
    arrays, metadata = read_safetensors(saved)
    other = saved.with_name('other.safetensors')
    write_safetensors(other, {**arrays, name: np.zeros(2, np.float32)}, metadata)
    with pytest.raises(
        UserError, match=r"other\.safetensors: the tensor 'params.*' cannot be, since there are"
    ) as caught:
        open_model(other)
    assert '\n' not in str(caught.value)
