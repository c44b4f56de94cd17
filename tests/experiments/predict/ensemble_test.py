"""Several networks as one: the file that names them, the mean of what they say, networks that do not go together."""

import json
import shutil

import numpy as np
import pytest
from scipy.special import softmax

from jtransfer.data.part import Part
from jtransfer.errors import UserError
from jtransfer.evaluate import forward as forward_module
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.predict import ensemble
from jtransfer.experiments.run.score import score
from jtransfer.pretrained.checkpoint import save_model
from jtransfer.pretrained.model import load_model
from tests.experiments.crossval.divide_test import noise

CLASSES = ('a', 'b')


def save(folder, seed=0, class_names=CLASSES, **options):
    """A folder with a network of random weights."""
    folder.mkdir(parents=True)
    model = load_model(architecture='resnet_tiny', class_names=class_names, seed=seed, head_init='normal', **options)
    save_model(
        folder / 'model.safetensors',
        model.variables,
        architecture='resnet_tiny',
        class_names=model.class_names,
        preprocessing=model.preprocessing,
        tasks=model.tasks,
    )
    return folder


@pytest.fixture(scope='module')
def members(tmp_path_factory):
    folder = tmp_path_factory.mktemp('members')
    return [save(folder / f'seed{seed}', seed) for seed in range(3)]


@pytest.fixture(scope='module')
def examples(members, tiny_config):
    model = load_model(members[0])
    return read_examples(Part(noise(12), np.arange(12)), model.preprocessing, tiny_config())


def test_the_members_are_named_relative_to_the_folder(members, tmp_path):
    shutil.copytree(members[0].parent, tmp_path / 'runs')
    inside = sorted((tmp_path / 'runs').iterdir())
    ensemble.write_ensemble(tmp_path / 'runs' / 'both', inside)
    assert ensemble.is_ensemble(tmp_path / 'runs' / 'both')
    assert not ensemble.is_ensemble(tmp_path / 'runs')
    shutil.move(tmp_path / 'runs', tmp_path / 'moved')
    found = ensemble.members_of(tmp_path / 'moved' / 'both')
    assert [path.resolve().name for path in found] == [path.name for path in inside]
    assert len(ensemble.load_ensemble(str(tmp_path / 'moved' / 'both'))) == 3


def test_the_probabilities_are_averaged(members, examples, tiny_config):
    models = [load_model(member) for member in members]
    scores = ensemble.ensemble_scores(models, examples, tiny_config())
    own = [softmax(score(model, examples, tiny_config()).logits[''].astype(float), axis=1) for model in models]
    np.testing.assert_allclose(softmax(scores.logits[''].astype(float), axis=1), np.mean(own, axis=0), atol=1e-6)
    assert scores.ids == examples.ids
    assert scores.metrics.top1 == np.mean(np.mean(own, axis=0).argmax(axis=1) == scores.labels[''])
    assert np.abs(own[0] - own[1]).max() > 1e-3


def test_one_network_is_an_ensemble_of_itself(members, examples, tiny_config):
    model = load_model(members[0])
    outputs, _ = ensemble.ensemble_outputs([model], examples, tiny_config())
    np.testing.assert_equal(outputs, score(model, examples, tiny_config()).logits)


def test_networks_that_are_alike_are_compiled_once(members, examples, tiny_config, monkeypatch):
    calls = []
    make = forward_module.make_forward
    monkeypatch.setattr(ensemble, 'make_forward', lambda *arguments: calls.append(arguments) or make(*arguments))
    ensemble.ensemble_outputs([load_model(member) for member in members], examples, tiny_config())
    assert len(calls) == 1


def test_networks_that_do_not_go_together_are_one_line(members, tmp_path):
    others = [save(tmp_path / 'classes', class_names=('a', 'c')), save(tmp_path / 'size', image_size=(24, 24))]
    for other in others:
        ensemble.write_ensemble(tmp_path / 'e', [members[0], other])
        with pytest.raises(UserError, match='differ in their classes or preprocessing') as caught:
            ensemble.load_ensemble(tmp_path / 'e')
        assert '\n' not in str(caught.value)


def test_a_member_that_is_gone_is_one_line(members, tmp_path):
    ensemble.write_ensemble(tmp_path / 'e', [members[0], tmp_path / 'gone'])
    with pytest.raises(UserError, match=r'names the member .*gone, which has no model.safetensors \(1 such\)'):
        ensemble.members_of(tmp_path / 'e')


@pytest.mark.parametrize('text', ['', '[]', '{}', json.dumps({'format': 'other', 'members': []}), '{"format": 1}'])
def test_a_damaged_file_is_one_line(tmp_path, text):
    (tmp_path / 'ensemble.json').write_text(text)
    with pytest.raises(UserError, match=r'is not a list of the members of an ensemble|ensemble\.json is damaged: '):
        ensemble.members_of(tmp_path)


def test_an_ensemble_of_nobody_is_refused(tmp_path):
    ensemble.write_ensemble(tmp_path, [])
    with pytest.raises(UserError, match='is not a list of the members of an ensemble'):
        ensemble.load_ensemble(tmp_path)


@pytest.mark.parametrize(
    'record',
    [[], {}, {'members': []}, {'members': 'ab'}, {'members': [1]}, {'members': {'a': 'b'}}, {'members': ['a'] * 1001}],
)
def test_a_list_that_is_none_is_one_line(tmp_path, record):
    record = {'format': 'jtransfer-ensemble/1', **record} if isinstance(record, dict) else record
    (tmp_path / 'ensemble.json').write_text(json.dumps(record))
    with pytest.raises(UserError, match=r'is not a list of the members|its JSON is no object'):
        ensemble.members_of(tmp_path)
    (tmp_path / 'ensemble.json').write_text('[' * 100_000)
    with pytest.raises(UserError, match='nested too deeply'):
        ensemble.members_of(tmp_path)
