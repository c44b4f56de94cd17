"""Exports as files and as folders: what travels with them, and what their readers are told."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from jtransfer.errors import UserError
from jtransfer.experiments.predict import predict
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.pretrained.export import export_model, export_notes, is_export_folder
from jtransfer.pretrained.files.safetensors import read_safetensors, write_safetensors
from jtransfer.pretrained.model import load_model
from jtransfer.tasks.base import Task

NAMES = ('10', '2', '1')
PREPROCESSING = ImagePreprocessor(32, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 'bilinear', 0.875)


@pytest.fixture(scope='module')
def model(undrawn):
    """A network that calls every image a 10, at another size than usual."""
    model = load_model(architecture='vit_tiny_test', class_names=NAMES, preprocessing=PREPROCESSING)
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: random.normal(0, 0.1, leaf.shape).astype(np.float32), dict(model.variables))
    variables['params']['head']['bias'] = np.float32([100, 0, 0])
    return dataclasses.replace(model, variables=variables)


@pytest.fixture(scope='module')
def exported(model, tmp_path_factory):
    """Exports of that network: `w.safetensors` of timm's form, and a folder a naming."""
    folder = tmp_path_factory.mktemp('exported')
    export_model(model, folder / 'w.safetensors', 'timm')
    for naming in ('timm', 'huggingface', 'deit'):
        export_model(model, folder / naming, naming)
    return folder


@pytest.fixture(scope='module')
def files(model, tmp_path_factory):
    """Exports of two small networks by architecture, from which others are made."""
    folder = tmp_path_factory.mktemp('files')
    export_model(model, folder / 'vit.safetensors', 'timm')
    export_model(load_model(architecture='resnet_tiny', num_classes=2), folder / 'resnet.safetensors', 'timm')
    return {'vit_tiny_test': folder / 'vit.safetensors', 'resnet_tiny': folder / 'resnet.safetensors'}


def same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first.variables, second.variables)
    for name in ('architecture', 'class_names', 'preprocessing', 'tasks', 'options', 'positions'):
        assert getattr(first, name) == getattr(second, name), name
    assert first.network.backbone == second.network.backbone


@pytest.mark.parametrize('path', ['w.safetensors', 'timm', 'huggingface', 'deit'])
def test_all_of_a_model_comes_back_from_the_export_alone(model, exported, path):
    again = load_model(exported / path)
    same(again, model)
    assert again.naming == {'w.safetensors': 'timm'}.get(path, path)
    assert not again.load_report.resized


def test_the_exported_network_predicts_the_names_of_its_classes(exported, tmp_path, nowhere):
    Image.new('RGB', (20, 20), (200, 0, 0)).save(tmp_path / 'red.png')
    predict.predict_folder(str(exported / 'w.safetensors'), tmp_path / 'red.png', 'p.csv')
    assert (nowhere / 'p.csv').read_text().splitlines()[1].startswith('10,')
    assert load_model(exported / 'huggingface', class_names=NAMES).load_report.re_initialised == ()


def test_the_folder_of_timm_says_what_the_network_is(exported):
    assert sorted(path.name for path in (exported / 'timm').iterdir()) == ['config.json', 'model.safetensors']
    assert json.loads((exported / 'timm' / 'config.json').read_text()) == {
        'architecture': 'vit_small_patch8_224',
        'num_classes': 3,
        'label_names': ['10', '2', '1'],
        'model_args': {'embed_dim': 16, 'depth': 2, 'num_heads': 2, 'img_size': 32},
        'pretrained_cfg': {
            'input_size': [3, 32, 32],
            'interpolation': 'bilinear',
            'crop_pct': 0.875,
            'crop_mode': 'center',
            'mean': [0.1, 0.2, 0.3],
            'std': [0.4, 0.5, 0.6],
            'fixed_input_size': True,
            'custom_load': False,
            'num_classes': 3,
            'pool_size': None,
            'first_conv': 'patch_embed.proj',
            'classifier': 'head',
        },
    }


def test_the_folder_of_transformers_says_what_the_network_is(exported):
    config = json.loads((exported / 'huggingface' / 'config.json').read_text())
    assert config['architectures'] == ['ViTForImageClassification']
    assert config['id2label'] == {'0': '10', '1': '2', '2': '1'}
    assert config['label2id'] == {'10': 0, '2': 1, '1': 2}
    assert (config['image_size'], config['patch_size'], config['layer_norm_eps']) == (32, 8, 1e-6)
    processor = json.loads((exported / 'huggingface' / 'preprocessor_config.json').read_text())
    assert processor['size'] == {'shortest_edge': 36}
    assert processor['crop_size'] == {'height': 32, 'width': 32}
    assert processor['image_mean'] == [0.1, 0.2, 0.3]
    assert processor['resample'] == 2


def test_files_without_our_header_are_read_by_their_folder(model, exported, tmp_path):
    """As PyTorch writes them again: the tensors, and nothing that is ours."""
    for naming in ('timm', 'huggingface'):
        folder = tmp_path / naming
        shutil.copytree(exported / naming, folder)
        arrays, _ = read_safetensors(folder / 'model.safetensors')
        write_safetensors(folder / 'model.safetensors', {k: np.array(v) for k, v in arrays.items()}, {'format': 'pt'})
        again = load_model(folder)
        assert again.class_names == NAMES
        assert again.preprocessing.shape == (32, 32)
        jax.tree.map(np.testing.assert_array_equal, again.variables, model.variables)
        assert (again.network.backbone.eps, again.network.backbone.gelu) == (1e-6, 'erf')


@pytest.mark.parametrize('naming', ['timm', 'huggingface'])
def test_what_a_person_writes_into_the_files_is_read(exported, tmp_path, naming):
    shutil.copytree(exported / naming, tmp_path / 'out')
    path = tmp_path / 'out' / 'config.json'
    config = json.loads(path.read_text())
    names = {'timm': {'label_names': ['ten', 'two', 'one']}, 'huggingface': {'id2label': ['ten', 'two', 'one']}}
    if naming == 'timm':
        config['pretrained_cfg']['mean'] = [0.5, 0.5, 0.5]
    else:
        processor = path.with_name('preprocessor_config.json')
        processor.write_text(processor.read_text().replace('0.1', '0.5'))
    path.write_text(json.dumps({**config, **names[naming]}))
    again = load_model(tmp_path / 'out')
    assert again.class_names == ('ten', 'two', 'one')
    assert again.preprocessing.mean[0] == 0.5
    path.write_text(json.dumps({**config, 'label_names': ['a'], 'id2label': {'0': 'a'}}))
    with pytest.raises(UserError, match=r'its config\.json names 1 classes, and the head has 3 outputs'):
        load_model(tmp_path / 'out')
    assert load_model(tmp_path / 'out', checkpoint_classes='a,b,c').class_names == ('a', 'b', 'c')


@pytest.mark.parametrize(
    ('task', 'problem'),
    [
        (Task('', 'multi_label', ('a', 'b')), 'multi_label_classification'),
        (Task('', 'regression', ('years',), offset=(30.0,), scale=(10.0,)), 'regression'),
    ],
)
def test_what_the_head_is_for_travels_too(files, tmp_path, task, problem):
    model = load_model(files['vit_tiny_test'], tasks=[task])
    export_model(model, tmp_path / 'out', 'huggingface')
    assert json.loads((tmp_path / 'out' / 'config.json').read_text())['problem_type'] == problem
    assert load_model(tmp_path / 'out').tasks == (task,)
    arrays, _ = read_safetensors(tmp_path / 'out' / 'model.safetensors')
    write_safetensors(tmp_path / 'out' / 'model.safetensors', {k: np.array(v) for k, v in arrays.items()}, {})
    assert [(one.kind, one.class_names) for one in load_model(tmp_path / 'out').tasks] == [
        (task.kind, task.class_names)
    ]
    told = [note for note in export_notes(model, 'huggingface', folder=True) if 'scale' in note]
    assert told == (
        ['the outputs times the scale [10.0], plus [30.0], are years: readers elsewhere have to compute that']
        if task.scale
        else []
    )


def test_the_notes_say_what_position_embeddings_are_for(model):
    usual = 'the position embeddings are for pictures of 32×32 pixels, and not for the usual 16×16: '
    told = 'readers have to make the network for that size (img_size in timm, image_size in transformers)'
    assert usual + told in export_notes(model, 'timm')
    assert usual + told in export_notes(model, 'huggingface')
    for naming in ('timm', 'huggingface'):
        notes = export_notes(model, naming, folder=True)
        assert usual + 'config.json says so' in notes
        assert not [note for note in notes if 'eps' in note]


@pytest.mark.parametrize(
    ('architecture', 'settings', 'naming', 'message'),
    [
        ('vit_tiny_test', {'options': {'eps': 1e-12}}, 'timm', 'has eps=1e-06, and this network 1e-12'),
        ('vit_tiny_test', {'options': {'pool': 'avg'}}, 'huggingface', 'pools its class token'),
        ('vit_tiny_test', {'num_classes': 0}, 'huggingface', 'adds a pooler'),
        ('vit_tiny_test', {}, 'huggingface_dinov2', 'has pool=token_avg, and this network token'),
        ('resnet_tiny', {}, 'huggingface', "transformers' ResNet has stem=imagenet, and this network cifar"),
        ('resnet_tiny', {}, 'timm', 'timm has no network of the form of resnet_tiny'),
        ('vit_tiny_test', {}, 'deit', "readers of 'deit' files look for none"),
    ],
)
def test_a_config_that_would_not_be_true_is_left_out_and_the_folder_loads(
    files, tmp_path, architecture, settings, naming, message
):
    model = load_model(files[architecture], **settings)
    export_model(model, tmp_path / 'out', naming)
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['model.safetensors']
    [note] = [note for note in export_notes(model, naming, folder=True) if 'there is no config.json' in note]
    assert message in note
    if naming == 'deit':
        same(load_model(tmp_path / 'out'), model)


def test_a_folder_is_named_without_an_ending_and_is_new(model, tmp_path):
    assert is_export_folder(tmp_path)
    assert is_export_folder('~/model.v2/')
    assert not is_export_folder('model.safetensors')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'a').touch()
    for path, message in (
        ('full', 'it exists already; name another folder'),
        ('w.pth', 'the file must end in .safetensors; a folder has no such ending'),
    ):
        with pytest.raises(UserError, match=message):
            export_model(model, tmp_path / path)
    (tmp_path / 'empty').mkdir()
    export_model(model, tmp_path / 'empty')
    assert len(list((tmp_path / 'empty').iterdir())) == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith('.')]
