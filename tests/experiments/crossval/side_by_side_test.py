"""Folds side by side on eight simulated devices: what a run of each alone leaves."""

import json
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from jtransfer.experiments.crossval import crossval
from jtransfer.experiments.run.directory import read_config, read_result
from jtransfer.experiments.run.outputs import OUTPUTS, read_outputs
from jtransfer.pretrained.model import load_model
from jtransfer.train.logs.log import read_log
from tests.experiments.tasks_test import LIGHT, pictures

pytestmark = pytest.mark.usefixtures('compile_once')
SETTINGS = {
    'transfer.strategy': 'fine_tune',
    'data.validation_fraction': 0.25,
    'crossval.folds': 3,
    'train.steps': 4,
    'train.evaluate_every': 2,
    'optim.learning_rate': 0.01,
}
FOLDS = [f'fold-{number}' for number in range(3)]


@pytest.fixture(scope='module')
def both(tiny_config, tmp_path_factory, compile_once):
    """The same cross-validation one after another and side by side."""
    folder = tmp_path_factory.mktemp('both')
    results = []
    for name, side in (('one', False), ('side', True)):
        settings = SETTINGS | {'run_dir': str(folder / name), 'crossval.side_by_side': side}
        results.append(crossval.run(tiny_config(**settings)))
    return results


def close(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=2e-3, atol=2e-4, err_msg=name)


def test_there_are_devices_for_all_folds():
    assert jax.local_device_count() == 8


def test_side_by_side_is_one_after_another(both):
    one, side = both
    assert side.scores == one.scores
    assert side.steps == one.steps == 4
    for name in FOLDS:
        close(load_file(one.folder / name / 'model.safetensors'), load_file(side.folder / name / 'model.safetensors'))
        first, second = (read_outputs(each.folder / name / 'evaluation' / OUTPUTS) for each in both)
        assert first.ids == second.ids
        np.testing.assert_allclose(first.outputs[''], second.outputs[''], rtol=1e-3, atol=1e-4)
        for key in ('chosen_step', 'train_examples', 'examples', 'part', 'skipped_images', 'trainable_parameters'):
            assert read_result(one.folder / name)[key] == read_result(side.folder / name)[key]
        losses = [[row['train/loss'] for row in read_log(each.folder / name / 'metrics.jsonl')] for each in both]
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert side.pooled.loss == pytest.approx(one.pooled.loss, rel=1e-4)
    assert (one.folder / 'folds.json').read_bytes() == (side.folder / 'folds.json').read_bytes()


def test_a_fold_leaves_the_same_files(both):
    def files(folder):
        names = {str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file()}
        return {name for name in names if '/checkpoints/' not in name}

    one, side = both
    assert files(one.folder) == files(side.folder)
    for name in FOLDS:
        assert (one.folder / name / 'split.json').read_bytes() == (side.folder / name / 'split.json').read_bytes()
        assert read_config(one.folder / name) == read_config(side.folder / name)


def test_what_one_begins_the_other_may_go_on_with(both, tiny_config, tmp_path):
    shutil.copytree(both[0].folder, tmp_path / 'run')
    for name in ('fold-0', 'fold-2'):
        shutil.rmtree(tmp_path / 'run' / name)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'run' / 'fold-1').rglob('*')}
    said = []
    settings = SETTINGS | {'run_dir': str(tmp_path / 'run'), 'crossval.side_by_side': True}
    result = crossval.run(tiny_config(**settings), say=said.append)
    assert any(line.startswith('2 folds side by side') for line in said)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert result.scores == both[0].scores
    for name in FOLDS:
        close(
            load_file(both[0].folder / name / 'model.safetensors'),
            load_file(tmp_path / 'run' / name / 'model.safetensors'),
        )


def test_numbers_are_learnt_side_by_side_in_the_scale_of_their_fold(tiny_config, tmp_path):
    source = pictures((LIGHT,), count=24)
    settings = SETTINGS | {'run_dir': str(tmp_path / 'run'), 'crossval.side_by_side': True, 'crossval.folds': 2}
    crossval.run(tiny_config(**settings | {'data.duplicates': 'ignore', 'train.steps': 1}), source)
    position = {name: index for index, name in enumerate(source.ids)}
    for name in FOLDS[:2]:
        split = json.loads((tmp_path / 'run' / name / 'split.json').read_text())
        trained = source.labels[[position[example] for example in split['train']['ids']]].astype(float)
        (task,) = load_model(tmp_path / 'run' / name).tasks
        assert task.offset == pytest.approx(trained.mean(axis=0).tolist())
        assert task.scale == pytest.approx(trained.std(axis=0).tolist())
        # Of labels in thousands it would be in millions.
        assert read_log(tmp_path / 'run' / name / 'metrics.jsonl')[0]['train/loss'] < 100
