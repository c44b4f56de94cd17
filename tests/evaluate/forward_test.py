"""The forward pass of evaluation: the same logits however many pictures there are and whoever holds the weights."""

import jax
import numpy as np
import pytest

from jtransfer import models
from jtransfer.evaluate.forward import make_forward
from jtransfer.pretrained.model import load_model

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope='module', params=['resnet_tiny', 'vit_tiny_test'])
def model(request):
    return load_model(architecture=request.param, class_names=('a', 'b', 'c'), head_init='normal')


@pytest.fixture(scope='module')
def forward(model):
    return make_forward(model.network, model.preprocessing)


@pytest.fixture(scope='module')
def expected(model):
    """On one device, and without `normalise`."""
    mean, std = np.array(model.preprocessing.mean), np.array(model.preprocessing.std)
    inputs = ((IMAGES / 255 - mean) / std).astype(np.float32)
    network = models.create(model.architecture, num_classes=3)
    return np.asarray(jax.jit(network.apply)(model.variables, inputs))


@pytest.mark.parametrize('count', [24, 16, 8, 13, 1])
def test_every_batch_size_gives_the_same_logits(model, forward, expected, count):
    logits = forward(model.variables, IMAGES[:count])
    assert logits.dtype == np.float32
    assert len(logits.devices()) == (1 if count % 8 else 8)
    assert np.ptp(expected, axis=0).min() > 1e-3
    np.testing.assert_allclose(logits, expected[:count], rtol=1e-5, atol=1e-5)


def test_it_makes_no_difference_where_the_weights_are(model, forward, expected):
    on_host = jax.tree.map(np.array, model.variables)
    on_last = jax.device_put(on_host, jax.devices()[-1])
    for variables in (on_host, on_last):
        for count in (16, 13):
            np.testing.assert_allclose(forward(variables, IMAGES[:count]), expected[:count], rtol=1e-5, atol=1e-5)
