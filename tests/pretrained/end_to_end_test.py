"""From a name to a network and back into a run: a local server stands in for the hub and the bucket."""

import dataclasses
import functools
import hashlib
import json

import jax
import numpy as np
import pytest

from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.pretrained.catalogue import locate as locate_lib
from jtransfer.pretrained.catalogue.entries import entries
from jtransfer.pretrained.checkpoint import save_model
from jtransfer.pretrained.download.fetch import fetch_hub
from jtransfer.pretrained.export import published_arrays
from jtransfer.pretrained.files.safetensors import write_safetensors
from jtransfer.pretrained.model import load_model
from tests.pretrained.local_server import COMMIT, serve

FRAMING = ImagePreprocessor(16, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 'bilinear', 0.875)


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A hub and a bucket with the same small network, and a catalogue that names both."""
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path / 'hub'))
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', False)
    monkeypatch.setenv('NO_PROXY', '127.0.0.1,localhost')
    monkeypatch.setenv('JTRANSFER_CACHE', str(tmp_path / 'urls'))
    model = load_model(architecture='resnet_tiny', num_classes=4, seed=8)
    write_safetensors(tmp_path / 'w.safetensors', published_arrays(model, 'timm'))
    content = (tmp_path / 'w.safetensors').read_bytes()
    with serve() as running:
        running.add_large('timm/tiny', 'model.safetensors', content)
        config = {'architecture': 'resnet51', 'num_classes': 4, 'pretrained_cfg': {}}
        running.add_small('someone/other', 'config.json', json.dumps(config).encode())
        running.add_large('someone/other', 'model.safetensors', content)
        url = running.add('/bucket/tiny.safetensors', content)
        known = dataclasses.replace(
            entries()['jtransfer/resnet_glyphs'],
            architecture='resnet_tiny',
            naming='timm',
            num_classes=4,
            preprocessing=FRAMING,
        )
        digest = hashlib.sha256(content).hexdigest()
        catalogue = {
            'timm/tiny': dataclasses.replace(known, name='timm/tiny', repo='timm/tiny', file='model.safetensors'),
            'bucket/tiny': dataclasses.replace(known, name='bucket/tiny', file=url, sha256=digest[:8]),
        }
        monkeypatch.setattr(locate_lib, 'entries', lambda: catalogue)
        monkeypatch.setattr(locate_lib, 'fetch_hub', functools.partial(fetch_hub, endpoint=running.url))
        yield running, model


@pytest.mark.parametrize('name', ['timm/tiny', 'bucket/tiny', f'timm/tiny@{COMMIT}'])
def test_a_name_gives_the_network_its_preprocessing_and_the_report(server, name):
    _, original = server
    model = load_model(name)
    jax.tree.map(np.testing.assert_array_equal, model.variables, original.variables)
    assert model.preprocessing == FRAMING
    assert model.architecture == 'resnet_tiny'
    expected = name if name.startswith('bucket') else f'timm/tiny@{COMMIT}'
    assert f'tensors from {expected} (' in model.load_report.summary()


def test_the_second_load_asks_for_nothing(server):
    running, _ = server
    load_model('bucket/tiny')
    before = len(running.gets('/bucket/tiny.safetensors'))
    assert before == 1
    load_model('bucket/tiny', num_classes=2)
    assert len(running.gets('/bucket/tiny.safetensors')) == before


def test_a_finished_model_still_says_where_it_came_from(server, tmp_path):
    model = load_model('timm/tiny', class_names=('a', 'b'))
    save_model(
        tmp_path / 'm.safetensors',
        model.variables,
        architecture=model.architecture,
        class_names=model.class_names,
        preprocessing=model.preprocessing,
        training={'checkpoint': model.load_report.source},
    )
    again = load_model(tmp_path / 'm.safetensors')
    jax.tree.map(np.testing.assert_array_equal, again.variables, model.variables)
    assert again.preprocessing == FRAMING


def test_a_repository_that_says_it_is_of_a_network_nobody_knows(server):
    with pytest.raises(UserError, match='resnet51'):
        load_model('hf://someone/other')


def test_another_architecture_than_the_catalogue_says(server):
    with pytest.raises(UserError, match="is of architecture 'resnet_tiny', not 'resnet18'"):
        load_model('timm/tiny', architecture='resnet18')


def test_a_head_that_is_not_what_the_catalogue_says(server, monkeypatch):
    known = locate_lib.entries()['bucket/tiny']
    wrong = dataclasses.replace(known, num_classes=5)
    monkeypatch.setattr(locate_lib, 'entries', lambda: {'bucket/tiny': wrong})
    with pytest.raises(UserError, match='has a head of 4 classes, the catalogue says 5'):
        load_model('bucket/tiny')
    # None that counts: the features are what was published.
    bare = dataclasses.replace(known, num_classes=0)
    monkeypatch.setattr(locate_lib, 'entries', lambda: {'bucket/tiny': bare})
    model = load_model('bucket/tiny')
    assert set(model.variables['params']) == {'backbone'}
    assert set(model.load_report.ignored) >= {'fc.weight', 'fc.bias'}


def test_a_network_made_with_other_arguments_is_refused(tmp_path):
    framing = {'input_size': [3, 224, 224], 'mean': [0.5] * 3, 'std': [0.5] * 3}
    config = {'architecture': 'resnet18', 'model_args': {'block_args': {}}, 'pretrained_cfg': framing}
    (tmp_path / 'config.json').write_text(json.dumps(config))
    write_safetensors(tmp_path / 'model.safetensors', {'x': np.zeros(1, np.float32)})
    with pytest.raises(UserError, match=r'model_args block_args=\{\}, which is not had here'):
        load_model(tmp_path)
