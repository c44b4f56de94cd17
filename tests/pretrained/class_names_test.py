"""Names of a head's outputs: as files state them, as a person gives them, and what becomes of the head."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from jtransfer.api import configure
from jtransfer.config import validate
from jtransfer.errors import UserError
from jtransfer.experiments.predict import predict
from jtransfer.experiments.run.start import make_model
from jtransfer.pretrained.class_names import given_names, stated_by_huggingface, stated_by_timm
from jtransfer.pretrained.export import published_arrays
from jtransfer.pretrained.files.safetensors import write_safetensors
from jtransfer.pretrained.model import load_model

# Of vit_tiny_test, as transformers writes it.
VIT = {
    'model_type': 'vit',
    'architectures': ['ViTForImageClassification'],
    'hidden_size': 16,
    'intermediate_size': 64,
    'num_hidden_layers': 2,
    'num_attention_heads': 2,
    'patch_size': 8,
    'image_size': 16,
    'layer_norm_eps': 1e-6,
}
NUMBERS = ('1', '2', '3', '4', '5')
LABELS = dict(enumerate(NUMBERS))


@pytest.fixture(scope='module')
def arrays(undrawn):
    """The tensors of a network of five classes, and its head."""
    model = load_model(architecture='vit_tiny_test', num_classes=5)
    random = np.random.default_rng(3)
    drawn = jax.tree.map(lambda leaf: random.normal(0, 0.1, leaf.shape).astype(np.float32), dict(model.variables))
    model = dataclasses.replace(model, variables=drawn)
    head = {name: np.asarray(value) for name, value in model.variables['params']['head'].items()}
    return published_arrays(model, 'huggingface'), head


@pytest.fixture
def folder(arrays, tmp_path):
    """Writes a folder as transformers has them, with a config.json that says more."""

    def write(**more):
        write_safetensors(tmp_path / 'model.safetensors', arrays[0], {'format': 'pt'})
        (tmp_path / 'config.json').write_text(json.dumps({**VIT, **more}))
        return tmp_path

    return write


def same_head(model, head):
    np.testing.assert_array_equal(model.variables['params']['head']['kernel'], head['kernel'])
    np.testing.assert_array_equal(model.variables['params']['head']['bias'], head['bias'])
    return not model.load_report.re_initialised


def test_classes_that_are_called_by_number_keep_their_names_and_their_head(folder, arrays):
    path = folder(id2label=LABELS)
    model = load_model(path)
    assert model.class_names == NUMBERS
    assert same_head(load_model(path, class_names=NUMBERS), arrays[1])
    # These are other classes, though they are as many.
    assert load_model(path, class_names=('0', '1', '2', '3', '4')).load_report.re_initialised


def test_predictions_have_the_names_that_the_files_state(folder, photos, nowhere):
    predict.predict_folder(str(folder(id2label={k: str(10 * k) for k in range(5)})), photos / 'ant', 'p.csv')
    found = {line.split(',')[0] for line in (nowhere / 'p.csv').read_text().splitlines()[1:]}
    assert found
    assert found <= {'0', '10', '20', '30', '40'}
    metrics, _ = predict.evaluate_checkpoint(
        str(folder()), 'out', source=f'folder:{photos}', checkpoint_classes=['ant', 'bee', 'cat', 'd', 'e']
    )
    assert 0 <= metrics.top1 <= 1


def test_placeholders_are_what_the_file_states_too(folder):
    path = folder(id2label={index: f'LABEL_{index}' for index in range(5)})
    assert load_model(path).class_names[1] == 'LABEL_1'
    report = load_model(path, class_names='abcde').load_report
    assert 'the file calls its classes LABEL_0, …; checkpoint_classes names them' in report.summary()


@pytest.mark.parametrize(
    ('config', 'names'),
    [
        ({'label_names': ['7', '8']}, ('7', '8')),
        ({'pretrained_cfg': {'label_names': ['a', 'b']}}, ('a', 'b')),
        ({'labels': {'1': 'b', '0': 'a'}}, ('a', 'b')),
        ({'num_classes': 2}, ()),
    ],
)
def test_timm_states_names_in_several_places(config, names):
    assert stated_by_timm(config) == names


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        ({'1': 'a', '2': 'b'}, 'has 2 names and none for output 0: its keys must be the numbers from 0 to 1'),
        ({'0': 'a', '2': 'b'}, 'none for output 1'),
        ({'0': 'a', '00': 'b'}, 'none for output 1'),
        ({'0': 'a', 'b': 'c'}, "has the key 'b', where the number of an output belongs"),
        ({'0': None}, 'holds no class names'),
        ('ants', 'holds no class names'),
    ],
)
def test_names_that_do_not_number_the_outputs_are_one_line(labels, message):
    with pytest.raises(UserError, match=message) as caught:
        stated_by_huggingface({'id2label': labels})
    assert '\n' not in str(caught.value)
    assert str(caught.value).endswith('checkpoint_classes names them instead')


def test_who_names_the_classes_needs_no_names_that_can_be_read(folder):
    path = folder(id2label={'0': 'a', '2': 'b'})
    with pytest.raises(UserError, match=r'config\.json: id2label has 2 names and none for output 1'):
        load_model(path)
    assert load_model(path, checkpoint_classes=NUMBERS).class_names == NUMBERS


def test_the_order_of_the_numbers_counts_and_not_that_of_the_file():
    labels = {str(index): f'c{index}' for index in (10, 2, 0, 1, 3, 4, 5, 6, 7, 8, 9)}
    assert stated_by_huggingface({'id2label': labels}) == tuple(f'c{index}' for index in range(11))


def test_another_number_of_names_is_said_and_no_error(folder):
    model = load_model(folder(id2label={0: 'a', 1: 'b'}))
    assert model.class_names == ('0', '1', '2', '3', '4')
    assert 'config.json names 2 classes and the head has 5 outputs, which are numbered' in model.load_report.summary()


def test_the_classes_of_a_kept_head_are_named_without_a_change_of_values(folder, arrays):
    path = folder()
    assert load_model(path).class_names == ('0', '1', '2', '3', '4')
    names = ('ant', 'bee', 'cat', 'dog', 'elk')
    report = load_model(path, class_names=names).load_report
    assert 'the file does not name its classes; checkpoint_classes names them' in report.summary()
    named = load_model(path, checkpoint_classes=names)
    assert named.class_names == names
    assert named.tasks[0].class_names == names
    assert same_head(named, arrays[1])
    assert same_head(load_model(path, checkpoint_classes=names, class_names=names), arrays[1])
    (path / 'names.txt').write_text('\n'.join(names), encoding='utf-8')
    assert load_model(path, checkpoint_classes=path / 'names.txt').class_names == names


def test_the_outputs_follow_the_order_of_the_classes_asked_for(folder, arrays):
    path = folder(id2label=LABELS)
    model = load_model(path, class_names=('5', '1', '2', '3', '4'))
    np.testing.assert_array_equal(model.variables['params']['head']['bias'], arrays[1]['bias'][[4, 0, 1, 2, 3]])
    np.testing.assert_array_equal(model.variables['params']['head']['kernel'], arrays[1]['kernel'][:, [4, 0, 1, 2, 3]])
    assert 'the outputs of the head are put in the order of the classes asked for' in model.load_report.summary()
    # Of two classes of one name nobody knows which is meant.
    twice = folder(id2label={**LABELS, 4: '1'})
    assert load_model(twice).class_names == ('1', '2', '3', '4', '1')


def test_a_run_takes_the_names_from_its_configuration(folder, arrays):
    config = configure(checkpoint=str(folder()), checkpoint_classes='5,4,3,2,1')
    model = make_model(config, NUMBERS)
    np.testing.assert_array_equal(model.variables['params']['head']['bias'], arrays[1]['bias'][::-1])
    with pytest.raises(UserError, match=r'names 2 classes \(a, b\), and the head of .* has 5 outputs'):
        make_model(configure(config, checkpoint_classes='a,b'), NUMBERS)
    with pytest.raises(UserError, match=r'name model\.checkpoint too'):
        validate(configure(name='vit_tiny_test', **{'model.name': 'vit_tiny_test'}, checkpoint_classes='a,b'))


@pytest.mark.parametrize(
    ('text', 'names'),
    [
        ('[" a", "1"]', (' a', '1')),
        ('{"1": "b", "0": "a"}', ('a', 'b')),
        ('{"id2label": {"0": "a", "1": "b"}}', ('a', 'b')),
        ('{"label_names": ["a"]}', ('a',)),
    ],
)
def test_names_in_a_json_file(tmp_path, text, names):
    (tmp_path / 'names.json').write_text(text)
    assert given_names(str(tmp_path / 'names.json')) == names


def test_what_names_no_class_is_one_line(tmp_path):
    (tmp_path / 'none.json').write_text('{"epochs": 1}')
    (tmp_path / 'empty.txt').write_text('\n')
    for names, message in (
        ('a,,b', 'one of the names is empty'),
        (str(tmp_path / 'empty.txt'), 'must name a class for every output'),
        (str(tmp_path / 'names.txt'), 'no such file'),
        (str(tmp_path / 'none.json'), 'neither id2label nor label_names'),
    ):
        with pytest.raises(UserError, match=message):
            given_names(names)
    with pytest.raises(UserError, match='no checkpoint is named'):
        load_model(architecture='vit_tiny_test', num_classes=2, checkpoint_classes='a,b')
    model = load_model(architecture='vit_tiny_test', num_classes=0)
    write_safetensors(tmp_path / 'w.safetensors', published_arrays(model, 'timm'), {})
    with pytest.raises(UserError, match=r'and .* has no head'):
        load_model(tmp_path / 'w.safetensors', architecture='vit_tiny_test', checkpoint_classes='a,b')
