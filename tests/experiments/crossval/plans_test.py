"""The runs of the folds: their length, their directories, and what is found to be wrong before any of them."""

import dataclasses

import numpy as np
import pytest

from jtransfer import config as config_lib
from jtransfer.errors import UserError
from jtransfer.experiments.crossval.divide import CrossValidation, divide
from jtransfer.experiments.crossval.plans import check_directory, find_plan, plan_folds, prepare_folds
from jtransfer.experiments.run.directory import write_config, write_json
from jtransfer.experiments.run.prepare import prepare
from jtransfer.tasks.base import Task
from tests.experiments.crossval.divide_test import config_of, noise
from tests.experiments.pictures import Pictures


def planned(tmp_path, source=None, **settings):
    config = config_of(**settings)
    crossing = divide(config, tmp_path, source or noise())
    return plan_folds(config, crossing, tmp_path)


def test_every_fold_takes_as_many_steps_as_the_mean_training_part(tmp_path):
    # Two patients of many pictures and eight of few: the folds differ in size.
    source = noise(48, groups=[f'g{min(i // 4, 5) if i < 40 else i}' for i in range(48)])
    plans = planned(tmp_path, source, **{'train.epochs': 3, 'train.steps': 0, 'crossval.folds': 2})
    sizes = [len(plan.parts.train) for plan in plans]
    assert len({plan.config.train.steps for plan in plans}) == 1
    assert plans[0].config.train.steps == 3 * np.mean(sizes) / 4
    assert all(plan.config.train.epochs == 0 for plan in plans)


def test_the_parts_of_a_fold_are_made_once(tmp_path, monkeypatch):
    calls = []
    parts = CrossValidation.parts
    monkeypatch.setattr(
        CrossValidation, 'parts', lambda self, fold, config: calls.append(fold) or parts(self, fold, config)
    )
    plans = planned(tmp_path, **{'crossval.folds': 6})
    assert len(calls) == len(plans) == 6


def test_the_first_phase_is_one_epoch_of_the_mean_in_every_fold(tmp_path):
    plans = planned(tmp_path, **{'transfer.strategy': 'one_then_all', 'train.epochs': 5, 'data.batch_size': 5})
    # 16 of 24 images are trained on: four batches of five.
    assert [round(plan.config.transfer.first_phase * plan.config.train.steps) for plan in plans] == [4, 4, 4]
    plans = planned(tmp_path, **{'transfer.strategy': 'one_then_all', 'transfer.first_phase': 0.5})
    assert [plan.config.transfer.first_phase for plan in plans] == [0.5] * 3


@pytest.mark.parametrize(
    ('repeats', 'names'),
    [
        (1, ['fold-0', 'fold-1', 'fold-2']),
        (2, [f'repeat-{repeat}-fold-{fold}' for repeat in range(2) for fold in range(3)]),
    ],
)
def test_directories_are_named_by_repeat_and_fold(tmp_path, repeats, names):
    plans = planned(tmp_path, **{'crossval.repeats': repeats})
    assert [plan.path.name for plan in plans] == names
    assert [plan.path.parent for plan in plans] == [tmp_path] * len(names)
    assert [find_plan(plans, number).path.name for number in range(len(names))] == names
    for number in (-1, len(names)):
        with pytest.raises(UserError, match=f'^fold={number} is none of the {len(names)} folds'):
            find_plan(plans, number)


def test_a_fold_that_cannot_be_trained_stops_all_of_them(tmp_path):
    with pytest.raises(UserError, match=r'fold-0: data.batch_size=17 is larger than the training part of 16'):
        planned(tmp_path, **{'data.batch_size': 17})
    labels = np.array([[1, 0]] * 3 + [[1, 1]] * 9, np.float32)
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    source = Pictures(images, labels, (Task('', 'multi_label', ('x', 'y')),))
    source = dataclasses.replace(source, labels=np.where(np.arange(12)[:, None] < 8, 0, labels).astype(np.float32))
    config = config_of(**{'crossval.folds': 6})
    crossing = divide(config, tmp_path, source)
    # A division that stratification avoids where it can.
    first = dataclasses.replace(crossing.folds[0], test=np.array([0, 1]), train=np.arange(2, 12))
    crossing = dataclasses.replace(crossing, folds=(first, *crossing.folds[1:]))
    with pytest.raises(UserError, match='fold-0: none of the 2 examples of the test part has any of the labels'):
        plan_folds(config, crossing, tmp_path)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'train.steps': 4, 'train.epochs': 0.0, 'train.stop_step': 9}, 'train.stop_step=9 is beyond the 4 steps'),
        ({'evaluate.scales': (1.0, 1.001)}, 'two of them make inputs of'),
        (
            {'augment.sizes': (8, 16), 'augment.size_schedule': 'progressive', 'train.steps': 1, 'train.epochs': 0.0},
            '2 sizes one after another need as many steps, not 1',
        ),
    ],
)
def test_what_stops_a_run_is_found_without_one(tmp_path, settings, message):
    with pytest.raises(UserError, match=message):
        prepare_folds(planned(tmp_path, **{'data.batch_size': 8, **settings}))


def test_the_folds_share_a_network_and_a_plan_and_have_steps_of_their_own(tmp_path):
    plans = planned(tmp_path, noise(26), **{'data.batch_size': 8, 'loss.class_balance': 'inverse'})
    first, *others = prepare_folds(plans)
    assert first.model.class_names == ('a', 'b')
    for prepared, plan in zip((first, *others), plans, strict=True):
        assert (prepared.config, prepared.parts) == (plan.config, plan.parts)
        alone = prepare(plan.config, plan.parts, model=first.model, plan=first.plan)
        steps, expected = prepared.step_parts, alone.step_parts
        assert steps.criterion.terms == expected.criterion.terms
        assert dataclasses.replace(steps, criterion=expected.criterion) == expected
    assert all(other.model is first.model and other.plan is first.plan for other in others)
    assert any(other.step_parts.criterion.terms != first.step_parts.criterion.terms for other in others)


def test_a_directory_of_anything_else_is_refused(tmp_path):
    first, second, third = planned(tmp_path)
    for plan in (first, second, third):
        check_directory(plan)
    first.path.mkdir()
    (first.path / 'notes.txt').write_text('mine')
    with pytest.raises(UserError, match='is not empty and holds no run'):
        check_directory(first)
    other = config_lib.replace(second.config, 'optim.learning_rate', 0.5)
    second.path.mkdir()
    write_config(second.path, other)
    with pytest.raises(UserError, match=r'holds another configuration .*optim.learning_rate'):
        check_directory(second)
    write_json(second.path / 'result.json', {})
    assert second.finished
    with pytest.raises(UserError, match=r'holds a finished run of another configuration .*optim.learning_rate'):
        check_directory(second)
    third.path.mkdir()
    write_config(third.path, third.config)
    check_directory(third)
    write_json(third.path / 'result.json', {})
    check_directory(third)
