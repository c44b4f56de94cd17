"""Which views a network is asked for, and the mean of their probabilities."""

import numpy as np
import pytest
from scipy.special import expit, softmax

from jtransfer.config.evaluate import Evaluate
from jtransfer.errors import UserError
from jtransfer.evaluate.views import average_views, kinds_of, make_views
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.inputs.image_held import ImageViews
from jtransfer.pretrained.model import load_model
from jtransfer.tasks.base import Task, single_label


@pytest.fixture(scope='module', params=['resnet_tiny', 'vit_tiny_test'])
def model(request):
    return load_model(architecture=request.param, class_names=('a', 'b', 'c'))


@pytest.mark.parametrize('count', [1, 2, 7])
def test_the_softmax_of_the_average_is_the_mean_of_the_softmaxes(count):
    logits = np.random.default_rng(count).normal(0, 5, (count, 4, 3)).astype(np.float32)
    average = average_views(*({'': view} for view in logits))['']
    assert average.dtype == np.float32
    mean = softmax(logits.astype(np.float64), axis=2).mean(0)
    np.testing.assert_allclose(softmax(average, axis=1), mean, rtol=1e-5)
    np.testing.assert_allclose(np.exp(average), mean, rtol=1e-5)


def test_probabilities_too_small_for_float32_stay_finite():
    logits = np.float32([[0, -300, -500]])
    average = np.asarray(average_views({'': logits}, {'': logits[:, [0, 2, 1]]})[''])
    np.testing.assert_allclose(average, [[0, -300 - np.log(2), -300 - np.log(2)]], rtol=1e-6)


@pytest.mark.parametrize('count', [1, 2, 7])
def test_several_labels_average_their_sigmoids_and_numbers_themselves(count):
    outputs = np.random.default_rng(count).normal(0, 5, (count, 4, 3)).astype(np.float32)
    labels = average_views(*({'': view} for view in outputs), kinds=(('', 'multi_label'),))['']
    assert labels.dtype == np.float32
    np.testing.assert_allclose(expit(labels), expit(outputs.astype(np.float64)).mean(0), rtol=1e-5)
    numbers = average_views(*({'': view} for view in outputs), kinds=(('', 'regression'),))['']
    np.testing.assert_allclose(numbers, outputs.mean(0), rtol=1e-5, atol=1e-6)
    pair = {'': np.float32([[-300, 300]])}, {'': np.float32([[-200, 200]])}
    far = average_views(*pair, kinds=(('', 'multi_label'),))['']
    np.testing.assert_allclose(far, [[-200 - np.log(2), 200 + np.log(2)]], rtol=1e-6)


def test_each_of_several_tasks_is_averaged_in_its_own_way():
    tasks = (Task('a', 'regression', ('x',)), single_label(('y', 'z'), 'b'))
    first = {'a': np.float32([[1]]), 'b': np.float32([[0, 3]])}
    second = {'a': np.float32([[2]]), 'b': np.float32([[2, -1]])}
    average = average_views(first, second, kinds=kinds_of(tasks))
    np.testing.assert_array_equal(average['a'], [[1.5]])
    np.testing.assert_allclose(average['b'], average_views({'': first['b']}, {'': second['b']})[''], rtol=1e-6)
    assert kinds_of(tasks[1:]) == (('b', 'single_label'),)
    assert kinds_of([single_label(('y', 'z'))]) == (('', 'single_label'),)


def test_views_are_those_of_the_settings(model):
    plain = make_views(model.network, model.variables, model.preprocessing, Evaluate())
    assert plain == ImageViews(model.preprocessing, side_multiple=plain.side_multiple)
    assert plain.name == 'none'
    views = make_views(model.network, model.variables, model.preprocessing, Evaluate(flips=True, crops=5))
    assert views.name == 'flips, 5 crops'


def test_sizes_are_for_networks_without_a_fixed_one(model):
    evaluate = Evaluate(scales=(1.0, 1.5))
    if model.architecture == 'vit_tiny_test':
        message = r'evaluate\.scales=1\.5 is not for this network: an image of 24×24 pixels gives 10 tokens, but'
        with pytest.raises(UserError, match=message) as raised:
            make_views(model.network, model.variables, model.preprocessing, evaluate)
        assert '\n' not in str(raised.value)
    else:
        views = make_views(model.network, model.variables, model.preprocessing, evaluate)
        assert [size.shape for size in views.sizes] == [(16, 16), (24, 24)]


def test_scales_that_round_to_one_size_are_refused(model):
    with pytest.raises(UserError, match=r'scales=\(1\.0, 1\.01\): two of them make inputs of 16×16 pixels'):
        make_views(model.network, model.variables, model.preprocessing, Evaluate(scales=(1.0, 1.01)))


def test_crops_of_what_is_squashed_to_the_input_are_refused(model):
    message = r'evaluate\.crops=5: resized, the pictures are as large as .* \(crop fraction 1\).*; leave'
    with pytest.raises(UserError, match=message):
        make_views(model.network, model.variables, ImagePreprocessor(16, squash=True), Evaluate(crops=5))
    views = make_views(
        model.network, model.variables, ImagePreprocessor(16, squash=True, crop_fraction=0.9), Evaluate(crops=5)
    )
    assert views.room
