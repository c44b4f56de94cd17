"""What a model makes of examples that are handed over."""

import numpy as np
import pytest

import jtransfer as jt
from jtransfer.errors import UserError
from jtransfer.experiments.predict.asked import Asked
from jtransfer.tasks import Task


@pytest.fixture(scope='module')
def model():
    return jt.load_model(architecture='resnet_tiny', class_names=('a', 'b', 'c'), head_init='normal')


@pytest.fixture(scope='module')
def images():
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (20 + size, 24, 3), np.uint8) for size in range(5)]


def test_a_list_and_a_source_are_predicted_alike(model, images):
    probabilities = jt.predict(model, images)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    source = jt.ArraySource(images, [0, 1, 0, 1, 0], ('x', 'y'))  # of other classes: labels are of no account
    np.testing.assert_array_equal(jt.predict(model, source), probabilities)
    metrics = jt.evaluate_model(
        model, jt.ArraySource(images, probabilities.argmax(1), ('a', 'b', 'c'), every_class=False)
    )
    assert metrics.top1 == 1
    assert np.abs(jt.predict(model, images, flips=True) - probabilities).max() > 1e-4


def test_several_tasks_are_by_name(images):
    tasks = (Task('kind', 'single_label', ('a', 'b')), Task('size', 'regression', ('width', 'height')))
    model = jt.load_model(architecture='resnet_tiny', tasks=tasks, head_init='normal')
    found = jt.predict(model, images)
    assert {name: values.shape for name, values in found.items()} == {'kind': (5, 2), 'size': (5, 2)}


def test_the_labels_of_a_source_are_not_read(model, images):
    source = jt.ArraySource(images, [1] * 5, ('x', 'y'), every_class=False)
    asked = Asked(source, model)
    assert asked.ids == tuple(f'array/{number}' for number in range(5))
    assert asked[3]['labels'] == {'': 0}
    np.testing.assert_array_equal(asked[3]['image'], images[3])


def test_what_cannot_be_predicted_is_one_line(model, images):
    with pytest.raises(UserError, match='there are no examples to predict'):
        jt.predict(model, [])
    with pytest.raises(UserError, match=r'an image is a uint8 array .* not float64 of shape \(8, 8, 3\)'):
        jt.predict(model, [np.zeros((8, 8, 3))])
    with pytest.raises(UserError, match='the network has no head, and predicts nothing'):
        jt.predict(jt.load_model(architecture='resnet_tiny', num_classes=0), images)
