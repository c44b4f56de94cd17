"""Numbers to be predicted: scaled by the training part alone, and back in their own units."""

import dataclasses
import json

import numpy as np
import pytest

from jtransfer.data.measurable import check_parts
from jtransfer.data.part import Part
from jtransfer.data.parts import Parts
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.experiments.run.standardise import fit_scaling, own_units, scaled_part, standardise
from jtransfer.pretrained.model import load_model
from jtransfer.tasks.base import Task, single_label
from jtransfer.tasks.metrics.regression import regression_metrics
from jtransfer.tasks.task_json import from_dict, to_dict
from tests.experiments.pictures import Pictures

KIND = single_label(('a', 'b'), 'kind')
AGE = Task('age', 'regression', ('years', 'constant'))
N = 10


def source():
    ages = np.random.default_rng(0).normal(50, 20, (N, 2)).astype(np.float32)
    ages[:, 1] = 7
    ages[3] = np.nan
    labels = {'kind': np.arange(N, dtype=np.int32) % 2, 'age': ages}
    return Pictures(np.zeros((N, 4, 4, 3), np.uint8), labels, (KIND, AGE))


def parts(**changes):
    whole = source()
    train, rest = Part(whole, np.arange(6)), Part(whole, np.arange(6, N))
    return Parts(**{'train': train, 'validation': rest, 'test': rest, 'class_names': whole.class_names, **changes})


def test_mean_and_deviation_are_those_of_the_labelled_training_images():
    data = parts()
    model, scaled = standardise(load_model(architecture='resnet_tiny', tasks=(KIND, AGE)), data)
    known = np.delete(source().labels['age'][:6], 3, axis=0).astype(np.float64)
    task = model.tasks[1]
    assert task.offset == pytest.approx(known.mean(axis=0))
    assert task.scale == pytest.approx((known[:, 0].std(), 1.0))
    assert model.tasks[0] == KIND
    train = scaled.train.labels['age']
    np.testing.assert_allclose(np.nanmean(train, axis=0), 0, atol=1e-6)
    assert np.nanstd(train[:, 0]) == pytest.approx(1)
    assert np.isnan(train[3]).all()
    assert scaled.train[3]['labels']['kind'] == 1
    np.testing.assert_array_equal(scaled.train[2]['labels']['age'], train[2])
    np.testing.assert_array_equal(scaled.train.labels['kind'], data.train.labels['kind'])
    assert scaled.test is data.test
    back = own_units(model.tasks, {'kind': np.zeros((4, 2), np.float32), 'age': scaled.validation.labels['age']})
    np.testing.assert_allclose(back['age'], data.validation.labels['age'], rtol=1e-6)
    assert back['kind'].shape == (4, 2)


def test_a_scaling_that_is_there_already_stays():
    told = dataclasses.replace(AGE, offset=(1.0, 2.0), scale=(3.0, 4.0))
    assert fit_scaling((KIND, told), source().labels) == (KIND, told)
    np.testing.assert_allclose(
        scaled_part(Part(source(), np.arange(2)), (KIND, told)).labels['age'],
        (source().labels['age'][:2] - (1, 2)) / (3, 4),
        rtol=1e-6,
    )


def test_without_numbers_nothing_changes():
    whole = Pictures(np.zeros((4, 4, 4, 3), np.uint8), np.array([0, 1, 0, 1], np.int32), (single_label(('a', 'b')),))
    data = Parts(Part(whole, np.arange(2)), None, Part(whole, np.arange(2, 4)), whole.class_names)
    model = load_model(architecture='resnet_tiny', class_names=('a', 'b'))
    same, scaled = standardise(model, data)
    assert same is model
    assert scaled is data


@pytest.mark.parametrize('name', ['train', 'validation', 'test'])
def test_a_part_without_any_label_is_named(name):
    data = parts(**{name: Part(source(), np.array([3]))})
    with pytest.raises(UserError, match=f'none of the 1 examples of the {name} part has a label for age'):
        check_parts(data)


TIME = Task('', 'regression', ('time', 'count'))
HOURS = 1.7e9 + 3600 * np.arange(8) + 0.5
COUNTS = 2.0**40 + np.arange(8)


def timed():
    images = np.zeros((8, 4, 4, 3), np.uint8)
    whole = ArraySource(images, np.stack([HOURS, COUNTS], axis=1), tasks=(TIME,))
    train, rest = Part(whole, np.arange(5)), Part(whole, np.arange(5, 8))
    return Parts(train, rest, rest, whole.class_names)


def test_large_numbers_are_centred_before_they_are_rounded():
    model, scaled = standardise(load_model(architecture='resnet_tiny', tasks=(TIME,)), timed())
    (task,) = model.tasks
    assert task.offset == (1.7e9 + 7200.5, 2.0**40 + 2)
    assert task.scale == pytest.approx((3600 * np.sqrt(2), np.sqrt(2)), rel=1e-15)
    assert scaled.train.labels[''].dtype == np.float32
    np.testing.assert_allclose(scaled.train.labels[''][:, 0], np.arange(-2, 3) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(scaled.train.labels[''][:, 1], np.arange(-2, 3) / np.sqrt(2), rtol=1e-6)
    back = own_units(model.tasks, scaled.validation.labels)['']
    assert back.dtype == np.float64
    np.testing.assert_allclose(back[:, 0], HOURS[5:], rtol=0, atol=2e-3)
    np.testing.assert_allclose(back[:, 1], COUNTS[5:], rtol=0, atol=1e-6)
    assert from_dict(json.loads(json.dumps(to_dict(task)))) == task


def test_the_measure_of_large_numbers_is_that_of_their_differences():
    predicted = HOURS + np.random.default_rng(0).normal(0, 60, 8)
    metrics = regression_metrics(predicted[:, None], HOURS[:, None], ('time',))
    assert metrics.mae == pytest.approx(np.abs(predicted - HOURS).mean(), rel=1e-9)
    small = regression_metrics((predicted - 1.7e9)[:, None], (HOURS - 1.7e9)[:, None], ('time',))
    assert metrics.r2 == pytest.approx(small.r2, rel=1e-9)
    assert 0.9 < metrics.r2 < 1


@pytest.mark.parametrize('scaling', [{'offset': (0.0, 0.0), 'scale': (1.0, 1.0)}, {'offset': (0.0, 2.0**40)}])
def test_a_stated_scaling_that_rounds_the_numbers_away_is_refused(scaling):
    task = dataclasses.replace(TIME, **scaling)
    with pytest.raises(UserError, match=r'time: .* offset 0 and scale 1, float32, .* rounds the numbers by about'):
        standardise(load_model(architecture='resnet_tiny', tasks=(task,)), timed())


def test_large_numbers_that_are_all_alike_are_zero():
    alike = np.full((8, 2), 1.7e9 + 0.1)
    (task,) = fit_scaling((TIME,), {'': alike})
    assert (task.offset, task.scale) == ((1.7e9 + 0.1,) * 2, (1.0, 1.0))


def test_numbers_without_a_finite_deviation_are_refused():
    with pytest.raises(UserError, match='numbers of time, count are too large'):
        fit_scaling((TIME,), {'': np.array([[1e300, 0.0], [-1e300, 1.0]])})
