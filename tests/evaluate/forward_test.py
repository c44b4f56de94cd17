"""The forward pass of evaluation: the same logits however many pictures there are and whoever holds the weights."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.special import softmax

from jtransfer import models
from jtransfer.evaluate import forward as forward_module
from jtransfer.evaluate.forward import make_forward
from jtransfer.models.heads import Linear
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
    return np.asarray(jax.jit(network.apply)(model.variables, inputs)[''])


@pytest.mark.parametrize('count', [24, 16, 8, 13, 1])
def test_every_batch_size_gives_the_same_logits(model, forward, expected, count):
    logits = forward(model.variables, {'image': IMAGES[:count]})['']
    assert logits.dtype == np.float32
    assert len(logits.devices()) == (1 if count % 8 else 8)
    assert np.ptp(expected, axis=0).min() > 1e-3
    np.testing.assert_allclose(logits, expected[:count], rtol=1e-5, atol=1e-5)


def test_it_makes_no_difference_where_the_weights_are(model, forward, expected):
    on_host = jax.tree.map(np.array, model.variables)
    on_last = jax.device_put(on_host, jax.devices()[-1])
    for variables in (on_host, on_last):
        for count in (16, 13):
            np.testing.assert_allclose(
                forward(variables, {'image': IMAGES[:count]})[''], expected[:count], rtol=1e-5, atol=1e-5
            )


@pytest.mark.parametrize('count', [16, 13])
def test_with_flips_it_is_the_mean_of_an_image_and_its_mirror_image(model, forward, count):
    plain, mirrored = (
        forward(model.variables, {'image': pixels})[''] for pixels in (IMAGES[:count], IMAGES[:count, :, ::-1])
    )
    assert np.abs(plain - mirrored).max() > 1e-3
    flips = make_forward(model.network, model.preprocessing, flips=True)(model.variables, {'image': IMAGES[:count]})['']
    assert flips.dtype == np.float32
    mean = (softmax(plain, axis=1) + softmax(mirrored, axis=1)) / 2
    np.testing.assert_allclose(softmax(flips, axis=1), mean, rtol=1e-5)


def test_flips_change_nothing_in_a_symmetric_picture(model, forward):
    symmetric = np.concatenate([IMAGES[:8, :, :8], IMAGES[:8, :, 7::-1]], axis=2)
    flips = make_forward(model.network, model.preprocessing, flips=True)(model.variables, {'image': symmetric})['']
    np.testing.assert_allclose(
        softmax(flips, axis=1), softmax(forward(model.variables, {'image': symmetric})[''], axis=1), rtol=1e-5
    )


@pytest.mark.parametrize('flips', [False, True])
def test_each_size_is_compiled_once(model, flips, monkeypatch):
    if model.architecture == 'vit_tiny_test':
        pytest.skip('takes one size')
    traced, apply = [], type(model.network).apply

    def counting(network, variables, inputs, **kwargs):
        traced.append(inputs['image'].shape)
        return apply(network, variables, inputs, **kwargs)

    monkeypatch.setattr(type(model.network), 'apply', counting)
    forward_module._program.cache_clear()
    run = make_forward(model.network, model.preprocessing, flips=flips)
    for side in (16, 8, 16, 8):
        run(model.variables, {'image': IMAGES[:8, :side, :side]})
    assert traced == [(8, 16, 16, 3), (8, 8, 8, 3)]


def test_runs_of_one_network_share_a_program_and_code_of_someone_elses_is_asked_anew(model, forward):
    before = forward_module._program.cache_info().hits
    again = make_forward(model.network.clone(), dataclasses.replace(model.preprocessing))
    assert forward_module._program.cache_info().hits == before + 1
    np.testing.assert_array_equal(
        again(model.variables, {'image': IMAGES[:8]})[''], forward(model.variables, {'image': IMAGES[:8]})['']
    )

    @dataclasses.dataclass(frozen=True)
    class Theirs(Linear):
        pass

    make_forward(model.network.clone(heads={'': Theirs(3)}), model.preprocessing)
    assert forward_module._program.cache_info().hits == before + 1
