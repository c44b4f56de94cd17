"""Numbers to be predicted: scaled by the training part alone, and back in their own units."""

import dataclasses

import numpy as np
import pytest

from jtransfer.data.part import Part
from jtransfer.data.parts import Parts
from jtransfer.errors import UserError
from jtransfer.experiments.standardise import fit_scaling, own_units, scaled_part, standardise
from jtransfer.pretrained.model import load_model
from jtransfer.tasks import Task, single_label
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
    assert scaled.train[3]['label']['kind'] == 1
    np.testing.assert_array_equal(scaled.train[2]['label']['age'], train[2])
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
    with pytest.raises(UserError, match=f'none of the 1 images of the {name} part has a label for age'):
        standardise(load_model(architecture='resnet_tiny', tasks=(KIND, AGE)), data)
