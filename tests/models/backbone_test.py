"""The contract, family by family, on networks as they are published; nothing is computed."""

import functools

import jax
import jax.numpy as jnp
import pytest

from jtransfer import models, rules

NAMES = (
    'resnet18d',
    'cifar_resnet20',
    'bit_r50x1',
    'vit_ti16',
    'deit_ti16_distilled',
    'dinov2_s14_reg4',
    'siglip_b16',
    'convnext_atto',
    'mobilenetv2_035',
    'vgg11_bn',
    'alexnet',
    'googlenet_aux',
)


@functools.cache
def shapes(name):
    """The network, and the shapes of its variables by path."""
    network = models.create(name, num_classes=3)
    size = models.describe(name).image_size
    return network, rules.flatten(jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, size, size, 3))))


def test_every_family_is_here():
    assert {models.describe(name).family for name in models.variant_names()} == {
        models.describe(name).family for name in NAMES
    }


@pytest.mark.parametrize('name', NAMES)
def test_parameters_live_in_stages_and_every_one_has_a_layer_number(name):
    network, variables = shapes(name)
    numbers: dict[str, set[int]] = {}
    for path in variables:
        collection, top, stage = path.split('/')[:3]
        below = path.removeprefix(f'{collection}/')
        if top == 'head':
            assert network.depth(below) == network.backbone.head_depth
        else:
            assert stage in network.stages
            numbers.setdefault(stage, set()).add(network.depth(below))
    # Stages come one after another, and no number between the first and the head's is left out.
    flat = [number for stage in network.stages for number in sorted(numbers.get(stage, ()))]
    assert flat == sorted(flat)
    assert {*flat, network.backbone.head_depth} == set(range(network.backbone.head_depth + 1))


@pytest.mark.parametrize('name', NAMES)
def test_the_kernel_that_reads_the_image_is_the_one_it_names(name):
    network, variables = shapes(name)
    kernel = variables[f'params/backbone/{network.backbone.input_kernel}']
    assert kernel.shape[-2] == 3
    size = models.describe(name).image_size
    other = rules.flatten(jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, size, size, 5))))
    changed = {path for path, leaf in variables.items() if other[path].shape != leaf.shape}
    assert changed == {f'params/backbone/{network.backbone.input_kernel}'}


@pytest.mark.parametrize('name', NAMES)
def test_every_stage_has_an_output_and_the_pooled_features_fit_the_head(name):
    network, variables = shapes(name)
    size = models.describe(name).image_size
    images = jnp.zeros((2, size, size, 3))
    features = jax.eval_shape(functools.partial(network.apply, method='features'), rules.unflatten(variables), images)
    assert {*network.stages, 'pooled'} <= set(features)
    pooled = features['pooled']
    assert pooled.dtype == jnp.float32
    kernels = [leaf.shape for path, leaf in variables.items() if path.startswith('params/head/') and leaf.ndim == 2]
    assert any(pooled.shape == (2, network.backbone.pooled_parts * kernel[0]) for kernel in kernels)


@pytest.mark.parametrize('name', NAMES)
def test_positions_have_the_prefix_that_the_family_states(name):
    network, variables = shapes(name)
    positions = variables.get('params/backbone/embed/pos_embed')
    if positions is None:
        assert network.prefix_tokens == network.backbone.prefix_positions == 0
    else:
        patches = (models.describe(name).image_size // network.backbone.patch) ** 2
        assert positions.shape[1] == network.backbone.prefix_positions + patches
