"""Our networks against timm's, from the fixtures that make_golden.py wrote."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jtransfer.models.network import Network
from jtransfer.models.resnet import ResNet
from jtransfer.models.vit import ViT

WIDTHS = (8, 6, 8, 10)
TINY_VIT = {'patch': 8, 'dim': 24, 'blocks': 2, 'heads': 3}
RESNETS = {
    'resnet_basic': ResNet('basic', (1, 1, 1, 2), WIDTHS),
    'resnet_bottleneck': ResNet('bottleneck', (1, 1, 1, 2), WIDTHS),
    'resnet_cifar': ResNet('basic', (1, 1, 1, 1), WIDTHS, stem='cifar'),
}
VITS = {
    'vit_token': ViT(**TINY_VIT),
    'vit_avg': ViT(**TINY_VIT, class_token=False, pool='avg', gelu='tanh'),
    'vit_token_avg': ViT(**TINY_VIT, pool='avg'),
}
BACKBONES = RESNETS | VITS


def golden(name):
    """The fixture's arrays, the network they belong to, and its variables."""
    with np.load(pathlib.Path(__file__).parent / 'golden' / f'{name}.npz') as file:
        arrays = dict(file)
    leaves = {key: value for key, value in arrays.items() if key.split('/')[0] in ('params', 'batch_stats')}
    return arrays, Network(BACKBONES[name], 5), traverse_util.unflatten_dict(leaves, sep='/')


def assert_close(ours, theirs, relative=2e-5):
    """Within a share of the largest magnitude; 4e-6 was measured, and a wrong GELU or epsilon is beyond it."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=relative * np.abs(theirs).max())


@pytest.mark.parametrize('name', BACKBONES)
def test_names_and_shapes_are_those_of_init(name):
    arrays, network, variables = golden(name)
    ours = jax.eval_shape(network.init, jax.random.key(0), jnp.asarray(arrays['image']))
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, ours)


@pytest.mark.parametrize('name', BACKBONES)
def test_evaluation_matches_timm(name):
    arrays, network, variables = golden(name)

    @jax.jit
    def forward(variables, images):
        return network.apply(variables, images), network.apply(variables, images, method='features')

    logits, features = forward(variables, arrays['image'])
    assert_close(logits, arrays['logits'])
    compared = [key.removeprefix('feature/') for key in arrays if key.startswith('feature/')]
    assert len(compared) >= 3
    for stage in compared:
        assert_close(features[stage], arrays[f'feature/{stage}'])


@pytest.mark.parametrize('name', RESNETS)
def test_training_mode_and_statistics_match_timm(name):
    arrays, network, variables = golden(name)
    step = jax.jit(functools.partial(network.apply, train=True, mutable=['batch_stats']))
    logits, updated = step(variables, arrays['image'])
    assert_close(logits, arrays['train/logits'])
    statistics = traverse_util.flatten_dict(updated, sep='/')
    assert len(statistics) > 20
    for key, value in statistics.items():
        assert_close(value, arrays[f'train/{key}'])
        assert np.abs(value - arrays[key]).max() > 1e-3


def test_the_wrong_gelu_would_be_noticed():
    arrays, _, variables = golden('vit_avg')
    exact = Network(ViT(**TINY_VIT, class_token=False, pool='avg', gelu='erf'), 5)
    with pytest.raises(AssertionError, match='Not equal'):
        assert_close(jax.jit(exact.apply)(variables, arrays['image']), arrays['logits'])
