"""Cross-validation from end to end: the same start for every fold, folds run again alone, one line of error."""

import dataclasses
import hashlib
import json
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from jtransfer import rules
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.data.sources.folder import load_folder
from jtransfer.errors import UserError
from jtransfer.experiments.crossval import crossval, plans
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import read_config, read_result
from jtransfer.experiments.run.outputs import OUTPUTS, read_outputs
from jtransfer.pretrained.checkpoint import open_model
from tests.experiments.crossval.divide_test import planted

pytestmark = pytest.mark.usefixtures('compile_once')
SETTINGS = {
    'transfer.strategy': 'fine_tune',
    'data.validation_fraction': 0.25,
    'crossval.folds': 3,
    'train.steps': 2,
}
FOLDS = [f'fold-{number}' for number in range(3)]


@pytest.fixture(scope='module')
def make(tiny_config):
    """A configuration of three folds of two steps; keyword arguments set further fields."""
    return lambda **settings: tiny_config(**SETTINGS | settings)


@pytest.fixture(scope='module')
def crossed(make, tmp_path_factory, compile_once):
    """A finished cross-validation, and what it said on its way."""
    folder = tmp_path_factory.mktemp('crossed') / 'all'
    said = []
    return crossval.run(make(run_dir=str(folder)), say=said.append), said


@pytest.fixture
def copied(crossed, tmp_path):
    """A copy of it, to spoil."""
    shutil.copytree(crossed[0].folder, tmp_path / 'copy')
    return tmp_path / 'copy'


def tensors(folder, name='fold-0'):
    return load_file(folder / name / 'model.safetensors')


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def signed(record):
    """Folds without the fields that are None, with the hash of the rest."""
    record = {name: value for name, value in record.items() if name != 'sha256' and value is not None}
    text = json.dumps(record, sort_keys=True, separators=(',', ':'))
    return json.dumps({**record, 'sha256': hashlib.sha256(text.encode()).hexdigest()})


def numbers_of(result):
    """What a result says, apart from how long it took."""
    return {name: value for name, value in result.items() if name != 'seconds'}


def starts_of(config, monkeypatch):
    """What every fold starts from, as arrays of its own by path."""
    starts = []
    train = finetune.train_model

    def spy(prepared, **options):
        starts.append({path: np.array(leaf) for path, leaf in rules.flatten(prepared.model.variables).items()})
        return train(prepared, **options)

    with monkeypatch.context() as patch:
        patch.setattr(finetune, 'train_model', spy)
        crossval.run(config)
    return starts


def assert_all_start_alike(starts, checkpoint):
    stored = rules.flatten(open_model(checkpoint).variables)
    for start in starts:
        assert_same(start, starts[0])
        for path, value in stored.items():
            if '/head/' not in path:
                np.testing.assert_array_equal(start[path], value)


def test_each_fold_starts_from_the_same_pretrained_weights(make, checkpoints, tmp_path, monkeypatch):
    starts = starts_of(make(run_dir=str(tmp_path / 'run'), **{'train.steps': 1}), monkeypatch)
    assert len(starts) == 3
    assert_all_start_alike(starts, checkpoints['resnet'])
    assert np.abs(starts[0]['params/head/kernel']).max() > 0  # drawn, not zeros, which would be alike anyway


def test_weights_that_leak_from_fold_to_fold_are_noticed(make, checkpoints, tmp_path, monkeypatch):
    last = []
    run = finetune.run

    def leak(config, *, prepared, **options):
        prepared = dataclasses.replace(prepared, model=last[-1]) if last else prepared
        result = run(config, prepared=prepared, **options)
        last.append(result.model)
        return result

    monkeypatch.setattr(finetune, 'run', leak)
    few = {'train.steps': 1, 'crossval.folds': 2}
    starts = starts_of(make(run_dir=str(tmp_path / 'run'), **few), monkeypatch)
    with pytest.raises(AssertionError):
        assert_all_start_alike(starts, checkpoints['resnet'])


def test_every_example_is_predicted_once_by_a_network_that_did_not_see_it(crossed, photos):
    result, _ = crossed
    tested = []
    for name in FOLDS:
        split = json.loads((result.folder / name / 'split.json').read_text())
        parts = {part: set(split[part]['ids']) for part in ('train', 'validation', 'test')}
        assert sum(map(len, parts.values())) == len(set.union(*parts.values())) == 36
        assert set(read_outputs(result.folder / name / 'evaluation' / OUTPUTS).ids) == parts['test']
        tested += sorted(parts['test'])
    assert sorted(tested) == sorted(load_folder(photos)['train'].ids)


def test_it_leaves_a_folder_that_explains_itself(crossed):
    result, said = crossed
    there = {path.name for path in result.folder.iterdir()}
    assert there == {
        *('config.py', 'config.json', 'duplicates.json', 'folds.json', 'folds.csv', 'result.json', 'report.html'),
        *('evaluation', *FOLDS),
    }
    assert '3 classes (ant, bee, cat); 36 images in 3 folds (stratified)' in said[0]
    assert 'no duplicates were found' in said
    assert [line.split(':')[0] for line in said[-3:]] == FOLDS


def test_a_fold_alone_is_the_fold_of_all_of_them(crossed, make, tmp_path):
    config = make(run_dir=str(tmp_path / 'run'))
    said = []
    assert crossval.run(config, fold=1, say=said.append) is None
    assert said[-1] == '2 of 3 folds are still to be run'
    assert sorted(path.name for path in (tmp_path / 'run').glob('fold-*')) == ['fold-1']
    assert not (tmp_path / 'run' / 'result.json').exists()
    assert_same(tensors(tmp_path / 'run', 'fold-1'), tensors(crossed[0].folder, 'fold-1'))

    before = content(tmp_path / 'run' / 'fold-1')
    result = crossval.run(config)
    assert content(tmp_path / 'run' / 'fold-1') == before
    assert result.scores == crossed[0].scores
    for name in FOLDS:
        assert_same(tensors(tmp_path / 'run', name), tensors(crossed[0].folder, name))


def test_a_lost_fold_is_run_again_alone(crossed, copied, make):
    shutil.rmtree(copied / 'fold-1')
    before = {name: content(copied / name) for name in ('fold-0', 'fold-2')}
    times = {path: path.stat().st_mtime_ns for name in before for path in (copied / name).rglob('*')}
    folds = (copied / 'folds.json').stat().st_mtime_ns
    said = []
    result = crossval.run(make(run_dir=str(copied)), say=said.append)
    assert [line.split(':')[0] for line in said if line.startswith('fold-')] == ['fold-1']
    assert {name: content(copied / name) for name in before} == before
    assert {path: path.stat().st_mtime_ns for name in before for path in (copied / name).rglob('*')} == times
    assert (copied / 'folds.json').stat().st_mtime_ns == folds
    assert_same(tensors(copied, 'fold-1'), tensors(crossed[0].folder, 'fold-1'))
    assert result.scores == crossed[0].scores
    assert numbers_of(read_result(copied)) == numbers_of(read_result(crossed[0].folder))
    assert (copied / 'folds.csv').exists()


def test_a_fold_that_was_cut_short_goes_on(crossed, copied, make):
    for name in ('result.json', 'model.safetensors', 'report.html'):
        (copied / 'fold-2' / name).unlink()
    result = crossval.run(make(run_dir=str(copied)))
    assert_same(tensors(copied, 'fold-2'), tensors(crossed[0].folder, 'fold-2'))
    assert result.scores == crossed[0].scores


def test_what_folds_amounted_to_is_withdrawn_while_one_is_missing(copied, make):
    shutil.rmtree(copied / 'fold-0')
    shutil.rmtree(copied / 'fold-1')
    assert crossval.run(make(run_dir=str(copied)), fold=0) is None
    assert not (copied / 'result.json').exists()


def test_finished_folds_are_put_together_again_without_training(copied, make, monkeypatch):
    monkeypatch.setattr(finetune, 'run', None)
    monkeypatch.setattr(plans, 'prepare', None)
    for name in ('result.json', 'folds.csv', 'report.html'):
        (copied / name).unlink()
    crossval.run(make(run_dir=str(copied)))
    assert (copied / 'report.html').exists()


@pytest.mark.parametrize(
    ('record', 'damage', 'message'),
    [
        ('folds.json', lambda text: signed({**json.loads(text), 'seed': None}), 'but not its fields'),
        ('folds.json', lambda text: text[:-20], r'folds\.json is damaged: no JSON'),
        ('fold-0/result.json', lambda text: '[]', r'fold-0/result\.json is damaged: its JSON is no object; delete it'),
        ('fold-0/result.json', lambda text: text.replace('"chosen_step"', '"other"'), "it has no 'chosen_step'"),
        ('fold-0/metrics.jsonl', lambda text: 'x' + text, r'line 1 of .*fold-0/metrics\.jsonl is damaged'),
        ('fold-0/evaluation/outputs.npz', lambda text: 'x', r'outputs\.npz is damaged'),
        ('duplicates.json', lambda text: '{"pairs": 5}', r'duplicates\.json does not list the duplicates'),
        ('config.json', lambda text: '{', r'config\.json is damaged'),
    ],
)
def test_damaged_records_are_told_before_a_missing_fold_is_trained(copied, make, monkeypatch, record, damage, message):
    shutil.rmtree(copied / 'fold-1')
    monkeypatch.setattr(finetune, 'run', lambda *arguments, **options: pytest.fail('a fold was trained'))
    path = copied / record
    path.write_text(damage(path.read_text(errors='replace')))
    with pytest.raises(UserError, match=message) as told:
        crossval.run(make(run_dir=str(copied)))
    assert '\n' not in str(told.value)


@pytest.mark.parametrize(
    ('settings', 'options', 'message'),
    [
        ({'optim.learning_rate': 0.01}, {}, 'holds another cross-validation .*optim.learning_rate is 0.05 there'),
        ({'crossval.folds': 4}, {}, 'holds another cross-validation .*crossval.folds is 3 there and 4 here'),
        ({}, {'fold': 3}, 'fold=3 is none of the 3 folds'),
        ({'crossval.side_by_side': True}, {'fold': 0}, 'fold=0 is one fold alone'),
        ({'crossval.afterwards': 'soup'}, {}, 'was begun with crossval.afterwards=none'),
    ],
)
def test_a_folder_of_something_else_is_one_line(copied, make, settings, options, message):
    before = content(copied)
    with pytest.raises(UserError, match=message) as caught:
        crossval.run(make(run_dir=str(copied), **settings), **options)
    assert '\n' not in str(caught.value)
    assert content(copied) == before


def test_a_single_run_of_the_same_configuration_is_no_cross_validation(make, tmp_path):
    config = make(run_dir=str(tmp_path / 'run'))
    finetune.run(config)
    before = content(tmp_path)
    with pytest.raises(UserError, match='holds a single run, no cross-validation'):
        crossval.run(config)
    (tmp_path / 'notes').mkdir()
    (tmp_path / 'notes' / 'mine.txt').write_text('mine')
    with pytest.raises(UserError, match='is not empty and holds no cross-validation'):
        crossval.run(make(run_dir=str(tmp_path / 'notes')))
    (tmp_path / 'notes' / 'mine.txt').unlink()
    (tmp_path / 'notes').rmdir()
    assert content(tmp_path) == before


def test_pictures_with_other_labels_than_when_a_fold_was_run_are_one_line(make, tmp_path):
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (24, 12, 12, 3), dtype=np.uint8), np.arange(24) % 2
    config = make(run_dir=str(tmp_path / 'run'), **{'data.validation_fraction': 0.0, 'train.steps': 1})
    crossval.run(config, ArraySource(images, labels, ('a', 'b')), fold=0)
    with pytest.raises(UserError, match=r'the labels of .* have changed since .*folds.json was written') as caught:
        crossval.run(config, ArraySource(images, 1 - labels, ('a', 'b')))
    assert '\n' not in str(caught.value)
    with pytest.raises(UserError, match=r'duplicates.json does not list the duplicates among these 20 images'):
        crossval.run(config, ArraySource(images[:20], labels[:20], ('a', 'b')))
    assert not (tmp_path / 'run' / 'fold-1').exists()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'data.batch_size': 20}, 'fold-0: data.batch_size=20 is larger than the training part of 18'),
        ({'train.stop_step': 5}, 'train.stop_step=5 is beyond the 2 steps'),
        ({'data.examples_per_class': 9}, 'fold-0: data.examples_per_class=9'),
        ({'crossval.folds': 13}, "class 'ant' has 12 examples, too few for crossval.folds=13"),
        ({'crossval.duplicate_embeddings': 0.9, 'transfer.strategy': 'scratch'}, 'needs pretrained weights'),
        ({'crossval.duplicate_embeddings': 0.9, 'data.duplicates': 'ignore'}, 'data.duplicates=ignore does not look'),
        (
            {'transfer.strategy': 'gradual', 'crossval.afterwards': 'refit', 'transfer.batch_norm': 'follow'},
            'unfreezes when validation stalls, and there is no validation part',
        ),
        ({'crossval.file': 'nowhere.json'}, 'there is no file of folds nowhere.json'),
        (
            {'crossval.side_by_side': True, 'loss.class_balance': 'inverse'},
            'loss.class_balance=inverse weighs the classes of each fold',
        ),
        (
            {'crossval.side_by_side': True, 'data.placement': 'stream'},
            'folds side by side keep their 3. training images on the devices, and data.placement=stream',
        ),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(make, tmp_path, settings, message):
    with pytest.raises(UserError, match=message) as caught:
        crossval.run(make(run_dir=str(tmp_path / 'run'), **settings))
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'run').exists()


def test_folds_of_another_experiment_are_run_again_as_they_are(crossed, make, tmp_path):
    file = str(crossed[0].folder / 'folds.json')
    config = make(run_dir=str(tmp_path / 'run'), **{'crossval.file': file, 'seed': 4, 'crossval.folds': 2})
    assert crossval.run(config, fold=2) is None
    assert (tmp_path / 'run' / 'folds.json').read_bytes() == (crossed[0].folder / 'folds.json').read_bytes()
    theirs, own = (
        json.loads((folder / 'fold-2' / 'split.json').read_text()) for folder in (crossed[0].folder, tmp_path / 'run')
    )
    assert own['test'] == theirs['test']
    assert sorted(own['train']['ids'] + own['validation']['ids']) == sorted(
        theirs['train']['ids'] + theirs['validation']['ids']
    )


def test_the_saved_configuration_is_that_of_the_experiment(crossed, make):
    saved = read_config(crossed[0].folder)
    assert saved.crossval.folds == 3
    assert saved.train.steps == 2
    own = read_config(crossed[0].folder / 'fold-0')
    assert own.train.steps == 2
    assert own.optim == saved.optim


def test_planted_copies_are_listed_with_the_fold_they_are_in(make, tmp_path):
    config = make(run_dir=str(tmp_path / 'run'), **{'data.source': 'digits', 'train.steps': 1})
    crossval.run(config, planted(), fold=0)
    record = json.loads((tmp_path / 'run' / 'duplicates.json').read_text())
    assert len(record['pairs']) == 12
    divisions = json.loads((tmp_path / 'run' / 'folds.json').read_text())['divisions']
    fold_of = {name: each['fold'] for each in divisions for name in each['test']}
    assert all(fold_of[first] == fold_of[second] for first, second, *_ in record['pairs'])
    page = (tmp_path / 'run' / 'duplicates.html').read_text()
    assert all(f'fold {number}' in page for number in range(3))


def test_a_fold_that_diverges_leaves_the_others_as_they_are(make, tmp_path, monkeypatch):
    config = make(run_dir=str(tmp_path / 'run'))
    run = finetune.run

    titles = []

    def fails(own, **options):
        titles.append(options['title'])
        if own.run_dir.endswith('fold-1'):
            raise UserError('lost')
        return run(own, **options)

    monkeypatch.setattr(finetune, 'run', fails)
    with pytest.raises(UserError, match='lost'):
        crossval.run(config)
    assert titles == ['tiny fold-0 (1 of 3)', 'tiny fold-1 (2 of 3)']  # what the progress bars are called
    assert (tmp_path / 'run' / 'fold-0' / 'result.json').exists()
    assert not (tmp_path / 'run' / 'result.json').exists()


def test_every_fold_draws_alike(crossed):
    # The order of examples and the augmentation follow the seed alone, so that folds differ by their images.
    configs = [read_config(crossed[0].folder / name) for name in FOLDS]
    assert configs[0] == configs[1] == configs[2]
    assert jax.tree.all(jax.tree.map(lambda a, b: a == b, configs[0].seed, configs[1].seed))
