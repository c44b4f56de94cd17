"""The mean of several networks' outputs against the mean of their probabilities."""

import numpy as np
import pytest
from scipy.special import expit, softmax

from jtransfer.tasks.average import mean_outputs
from jtransfer.tasks.base import Task

OUTPUTS = np.random.default_rng(0).normal(0, 4, (3, 5, 4))


def test_probabilities_of_one_label_are_averaged():
    mean = mean_outputs(Task('', 'single_label', tuple('abcd')), OUTPUTS)
    np.testing.assert_allclose(softmax(mean, axis=-1), softmax(OUTPUTS, axis=-1).mean(axis=0), rtol=1e-12)


def test_probabilities_of_several_labels_are_averaged():
    mean = mean_outputs(Task('', 'multi_label', tuple('abcd')), OUTPUTS)
    np.testing.assert_allclose(expit(mean), expit(OUTPUTS).mean(axis=0), rtol=1e-12)


def test_numbers_are_averaged():
    task = Task('', 'regression', tuple('abcd'))
    np.testing.assert_allclose(mean_outputs(task, OUTPUTS), OUTPUTS.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize('kind', ['single_label', 'multi_label'])
def test_certain_networks_stay_finite(kind):
    outputs = np.array([[[900.0, -900.0]], [[-900.0, 900.0]]])
    assert np.isfinite(mean_outputs(Task('', kind, ('a', 'b')), outputs)).all()


def test_a_single_network_is_itself():
    np.testing.assert_array_equal(mean_outputs(Task('', 'multi_label', tuple('abcd')), OUTPUTS[:1]), OUTPUTS[0])
