"""MobileNetV2 and its published names against the references, from the fixtures of tests/golden/make_mobilenet.py."""

import flax.linen as nn
import numpy as np
import pytest

from jtransfer.models.mobilenet_v2.network import MobileNetV2
from jtransfer.models.network import Network
from jtransfer.pretrained.load.namemap import choose
from jtransfer.pretrained.names import namings
from tests.golden import check

TENSORFLOW = {'padding': 'tensorflow', 'eps': 1e-3}
TINY = {
    'widths': (4, 6, 8, 8),
    'depths': (1, 2, 2, 1),
    'expansions': (1, 6, 6, 6),
    'strides': (1, 2, 2, 1),
    'stem_width': 8,
    'top_width': 24,
}
# torchvision and timm round to multiples of four.
ROUNDED = TINY | {'widths': (4, 8, 8, 8)}
HUGGING_FACE = {'widths': (2, 2, 4, 6, 10, 16, 32), 'stem_width': 4, 'top_width': 128}
CASES = {
    'mobilenet_torchvision': ('torchvision', ROUNDED),
    'mobilenet_timm': ('timm', ROUNDED),
    'mobilenet_keras': ('keras', TINY | TENSORFLOW),
    'mobilenet_hf': ('huggingface', HUGGING_FACE | TENSORFLOW),
}
TRAINED = ('mobilenet_torchvision', 'mobilenet_timm', 'mobilenet_keras')


def case(name):
    """Network, naming and what the reference said."""
    source, kwargs = CASES[name]
    network = Network(MobileNetV2(**kwargs), {'': 5})
    return network, check.naming_called(source, 'mobilenet_v2', network), check.golden(name)


@pytest.mark.parametrize('name', CASES)
def test_evaluation(name):
    network, naming, arrays = case(name)
    assert len(check.evaluation(network, naming, arrays)) >= 3


@pytest.mark.parametrize('name', TRAINED)
def test_training(name):
    check.training(*case(name))


@pytest.mark.parametrize('name', CASES)
def test_names_go_there_and_back(name):
    check.round_trip(*case(name))


@pytest.mark.parametrize('name', CASES)
def test_a_file_is_recognised_by_its_names(name):
    network, naming, arrays = case(name)
    assert choose(namings('mobilenet_v2', network.backbone), list(check.state(arrays)), name) == naming


@pytest.mark.parametrize(
    ('name', 'wrong'),
    [
        ('mobilenet_timm', {'padding': 'tensorflow'}),
        ('mobilenet_timm', {'eps': 1e-3}),
        ('mobilenet_keras', {'padding': 'torch'}),
        ('mobilenet_keras', {'eps': 1e-5}),
    ],
)
def test_the_wrong_padding_or_epsilon_would_be_noticed(name, wrong):
    network, naming, arrays = case(name)
    with pytest.raises(AssertionError, match='of the largest magnitude'):
        check.evaluation(network.clone(backbone=network.backbone.clone(**wrong)), naming, arrays)


@pytest.mark.parametrize('name', TRAINED)
def test_a_relu_without_an_end_would_be_noticed(name, monkeypatch):
    monkeypatch.setattr(nn, 'relu6', nn.relu)
    with pytest.raises(AssertionError, match='of the largest magnitude'):
        check.evaluation(*case(name))


def test_a_stranger_s_classifier_is_ignored():
    network, naming, arrays = case('mobilenet_keras')
    file = check.state(arrays) | {'dense_Dense1/kernel': np.zeros((24, 100), np.float32)}
    del file['predictions/kernel'], file['predictions/bias']
    assert choose(namings('mobilenet_v2', network.backbone), list(file), 'model.json') == naming
    converted = naming.to_ours(file, check.shapes(network, arrays['image']))
    assert converted.ignored == ('dense_Dense1/kernel',)
    assert not converted.unknown


def test_a_depthwise_kernel_has_its_one_input_channel_third():
    network, naming, arrays = case('mobilenet_keras')
    theirs = arrays['state/block_1_depthwise/depthwise_kernel']
    ours = naming.to_ours(check.state(arrays), check.shapes(network, arrays['image'])).values
    kernel = ours['params/backbone/stage2/block0/depthwise/conv/kernel']
    assert (theirs.shape, kernel.shape) == ((3, 3, 24, 1), (3, 3, 1, 24))
    np.testing.assert_array_equal(kernel[:, :, 0], theirs[..., 0])
