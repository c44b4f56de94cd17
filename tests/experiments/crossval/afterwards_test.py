"""What becomes of the folds: an ensemble, a soup, a network on everything; each made once, and tested once."""

import io
import json
import shutil

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file
from scipy.special import softmax

from jtransfer.data.part import Part
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.experiments.crossval import afterwards, crossval, results
from jtransfer.experiments.data.read import read_examples
from jtransfer.experiments.predict.ensemble import load_ensemble, members_of
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import read_result
from jtransfer.experiments.run.outputs import OUTPUTS, read_outputs
from jtransfer.experiments.run.score import score
from jtransfer.pretrained.model import load_model
from jtransfer.train.saving.checkpoints import Checkpoints
from tests.experiments.crossval.divide_test import noise

pytestmark = pytest.mark.usefixtures('compile_once')
SETTINGS = {
    'transfer.strategy': 'fine_tune',
    'crossval.folds': 3,
    'train.steps': 4,
    'train.evaluate_every': 1,
    'data.duplicates': 'ignore',
}
KINDS = ('ensemble', 'soup', 'refit')


def pictures(count, start):
    """Two classes that differ in colour, not without overlap."""
    random = np.random.default_rng(start)
    labels = np.arange(count) % 2
    images = random.integers(0, 200, (count, 12, 12, 3))
    images[..., 0] += 40 * labels[:, None, None]
    ids = [f'p{start + index}' for index in range(count)]
    return ArraySource(np.clip(images, 0, 255).astype(np.uint8), labels, ('a', 'b'), ids=ids)


SOURCES = {'train': pictures(30, 0), 'validation': pictures(10, 100), 'test': pictures(12, 200)}


@pytest.fixture(scope='module')
def make(tiny_config):
    return lambda folder, **settings: tiny_config(**SETTINGS | settings, run_dir=str(folder))


@pytest.fixture(scope='module')
def done(make, tmp_path_factory, compile_once):
    """Three folds and all that comes afterwards, on a source with parts of its own; what was said of each."""
    folder = tmp_path_factory.mktemp('done') / 'run'
    said = {}
    for kind in KINDS:
        said[kind] = []
        crossval.run(make(folder, **{'crossval.afterwards': kind}), SOURCES, say=said[kind].append)
    return folder, said


def content(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob('*') if path.is_file()}


def folds_of(folder):
    return [folder / f'fold-{number}' for number in range(3)]


def part_outputs(model, source, config):
    """What a network says of all pictures of a source."""
    return score(model, read_examples(Part(source, np.arange(len(source))), model.preprocessing, config), config)


def test_the_folds_are_trained_once_for_all_of_them(done):
    _, said = done
    assert sum(line.startswith('fold-') for line in said['ensemble']) == 3
    assert not any(line.startswith('fold-') for kind in ('soup', 'refit') for line in said[kind])
    for kind in KINDS:
        assert any(line.startswith(f'{kind}, tested on 12 images that no fold has seen') for line in said[kind])
        assert said[kind][-1].endswith(f'is the {kind} of the folds, a checkpoint for launch.predict')


@pytest.mark.parametrize('kind', KINDS)
def test_each_is_tested_on_the_part_that_no_fold_has_seen(done, kind):
    folder, _ = done
    outputs = read_outputs(folder / kind / 'evaluation' / OUTPUTS)
    assert outputs.ids == SOURCES['test'].ids
    result = read_result(folder / kind)
    assert result['part'] == 'test'
    assert result['examples'] == 12
    assert result['score'] == np.mean(np.argmax(outputs.outputs[''], axis=1) == SOURCES['test'].labels)
    assert (folder / kind / 'report.html').exists()


@pytest.mark.parametrize('kind', KINDS)
def test_a_second_call_changes_nothing(done, make, kind):
    folder, _ = done
    before = content(folder / kind)
    said = []
    crossval.run(make(folder, **{'crossval.afterwards': kind}), SOURCES, say=said.append)
    assert content(folder / kind) == before
    assert f'is the {kind} of the folds' in said[-1]


def test_an_ensemble_says_the_mean_of_the_probabilities(done, make):
    folder, _ = done
    assert [path.resolve() for path in members_of(folder / 'ensemble')] == folds_of(folder)
    said = read_outputs(folder / 'ensemble' / 'evaluation' / OUTPUTS)
    config = make(folder / 'x')
    own = [
        softmax(part_outputs(load_model(path), SOURCES['test'], config).logits[''], axis=1) for path in folds_of(folder)
    ]
    np.testing.assert_allclose(softmax(said.outputs[''], axis=1), np.mean(own, axis=0), atol=1e-6)
    assert len(load_ensemble(folder / 'ensemble')) == 3


def test_a_soup_is_chosen_on_the_part_for_choosing(done, make):
    folder, _ = done
    result = read_result(folder / 'soup')
    config = make(folder / 'x')
    chosen = {
        path.name: part_outputs(load_model(path), SOURCES['validation'], config).metrics.top1
        for path in folds_of(folder)
    }
    assert result['chooser_scores'] == chosen
    assert result['chosen_on'] == 10
    assert result['members'][0] == max(chosen, key=chosen.get)
    soup = load_model(folder / 'soup')
    measured = part_outputs(soup, SOURCES['validation'], config).metrics.top1
    assert measured == result['chooser_score'] >= max(chosen.values())
    if len(result['members']) > 1:
        assert result['recalibrated_on'] == 30
    files = [load_file(path / 'model.safetensors') for path in folds_of(folder) if path.name in result['members']]
    for name, value in load_file(folder / 'soup' / 'model.safetensors').items():
        if name.startswith('params/'):
            np.testing.assert_allclose(value, np.mean([file[name] for file in files], axis=0), atol=1e-6)


def test_a_refit_trains_on_everything_for_the_mean_of_the_best_steps(done):
    folder, _ = done
    steps = read_result(folder)['chosen_steps']
    result = read_result(folder / 'refit')
    assert result['step'] == max(1, round(np.mean(steps)))
    assert result['steps'] == 4
    assert result['train_examples'] == 30
    split = json.loads((folder / 'refit' / 'split.json').read_text())
    assert sorted(split['train']['ids']) == sorted(SOURCES['train'].ids)
    assert 'validation' not in split
    checkpoints = Checkpoints(folder / 'refit' / 'checkpoints')
    assert checkpoints.last_step == result['step']
    checkpoints.close()


def test_a_refit_that_was_cut_short_goes_on(done, make, tmp_path):
    folder, _ = done
    shutil.copytree(folder, tmp_path / 'run')
    for name in ('result.json', 'model.safetensors'):
        (tmp_path / 'run' / 'refit' / name).unlink()
    crossval.run(make(tmp_path / 'run', **{'crossval.afterwards': 'refit'}), SOURCES)
    first, second = (load_file(path / 'refit' / 'model.safetensors') for path in (folder, tmp_path / 'run'))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize('kind', KINDS)
def test_without_a_test_part_there_is_a_network_and_no_evaluation(done, make, tmp_path, kind):
    folder, _ = done
    shutil.copytree(folder, tmp_path / 'run', ignore=lambda path, names: [name for name in names if name in KINDS])
    sources = {name: SOURCES[name] for name in ('train', 'validation')}
    config = make(tmp_path / 'run', **{'crossval.afterwards': kind})
    crossval.run(config, sources)
    made = tmp_path / 'run' / kind
    assert not (made / 'evaluation').exists()
    assert not (made / 'report.html').exists()
    assert 'score' not in read_result(made)
    models = load_ensemble(made) if kind == 'ensemble' else (load_model(made),)
    assert part_outputs(models[0], SOURCES['test'], config).metrics.examples == 12


def test_everything_that_is_set_apart_stays_apart(make, tmp_path):
    own = {'crossval.test_fraction': 0.25, 'crossval.soup_fraction': 0.25, 'crossval.afterwards': 'soup'}
    result = crossval.run(make(tmp_path / 'run', **own, **{'train.steps': 1}), pictures(48, 0))
    tested = read_outputs(tmp_path / 'run' / 'soup' / 'evaluation' / OUTPUTS).ids
    folds = read_outputs(tmp_path / 'run' / 'evaluation' / OUTPUTS).ids
    assert (len(tested), len(folds)) == (12, 24)
    assert not set(tested) & set(folds)
    assert read_result(tmp_path / 'run' / 'soup')['chosen_on'] == 12
    for path in folds_of(tmp_path / 'run'):
        split = json.loads((path / 'split.json').read_text())
        assert set(split['train']['ids']) | set(split['test']['ids']) == set(folds)
    console = Console(file=io.StringIO(), width=120)
    console.print(results.describe(result))
    assert 'out of fold' in console.file.getvalue()


def test_adapters_that_stay_beside_the_network_are_no_soup(make, checkpoints, tmp_path):
    own = {'model.checkpoint': checkpoints['vit'], 'transfer.strategy': 'prompt', 'crossval.afterwards': 'soup'}
    with pytest.raises(UserError, match=r'crossval.afterwards=ensemble') as caught:
        crossval.run(make(tmp_path / 'run', **own), noise())
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'run').exists()


def test_nothing_comes_after_the_folds_unless_it_is_asked_for(done, make):
    folder, _ = done
    crossing = crossval.divide(make(folder), folder, SOURCES)
    result = results.gather(make(folder), crossing, folder)
    assert afterwards.after_folds(make(folder), crossing, result) is None
    assert finetune.versions() == read_result(folder / 'soup')['versions']
